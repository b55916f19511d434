//! What decides the bits of a training besides its inputs.

use crate::arithmetic::Arithmetic;
use crate::processor;
use tch::Kind;
use trainer_protocol::Environment;

/// Raised by every change after which a job gives other bits than before: a training that was begun before one goes on, and
/// says that it is not bit-exact.
const BITS: u32 = 2;

/// The same of trainings in bf16 on CPUs; a change of both raises both.
const BITS_IN_BF16: u32 = 5;

/// What this process runs on and computes in. What a classifier predicts is fp32 in any case.
#[must_use]
pub fn environment(arithmetic: &Arithmetic) -> Environment {
    let bits = match (arithmetic.kind, arithmetic.on_gpu()) {
        (Kind::BFloat16, false) => BITS_IN_BF16,
        _ => BITS,
    };
    Environment {
        trainer: format!("{}+bits.{bits}", env!("CARGO_PKG_VERSION")),
        libtorch: env!("LIBTORCH_VERSION").to_owned(),
        precision: arithmetic.precision().to_owned(),
        device: if arithmetic.on_gpu() { "cuda" } else { "cpu" }.to_owned(),
        threads: tch::get_num_threads().unsigned_abs(),
        cpu_capability: processor::capability(match arithmetic.on_gpu() {
            true => Kind::Float,
            false => arithmetic.kind,
        }),
        gpu: arithmetic.gpu.clone(),
    }
}

/// Milliseconds since this process was started, to the hundredth of a second that Linux counts in; `None` elsewhere.
#[must_use]
pub fn age_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; the 20th field behind it is the start, in clock ticks since boot.
    let started: f64 = stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = std::fs::read_to_string("/proc/uptime")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some(((uptime - started / 100.0).max(0.0) * 1000.0) as u64)
}

/// Most memory that this process has held so far, in bytes; 0 where it is not known.
#[must_use]
pub fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
