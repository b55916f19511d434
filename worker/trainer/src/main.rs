//! The `trainer` binary.

/// MKL takes its fast path only where this answers 1 (it would ask the CPU for its maker otherwise).
#[expect(
    unsafe_code,
    reason = "the symbol must be exported under its C name; the function reads and writes nothing"
)]
#[unsafe(no_mangle)]
pub extern "C" fn mkl_serv_intel_cpu_true() -> i32 {
    1
}

fn main() {
    println!(
        "{}",
        tch::Tensor::ones([2, 2], (tch::Kind::Float, tch::Device::Cpu))
            .sum(tch::Kind::Float)
            .double_value(&[])
    );
}
