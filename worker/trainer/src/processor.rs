//! What of the processor decides the bits and the pace of a training.

use tch::Kind;

/// Instructions that multiply matrices of bf16, as Linux names them, the fastest first.
const OF_BF16: [&str; 2] = ["amx_bf16", "avx512_bf16"];

/// The kernels that libtorch chooses (`at::native::cpu_capability`) and, for a training in bf16, the instructions by which
/// oneDNN multiplies: `AVX512` or `AVX512+AMX_BF16`.
pub(crate) fn capability(kind: Kind) -> String {
    let kernels = match std::env::var("ATEN_CPU_CAPABILITY") {
        Ok(forced) => forced.to_uppercase(),
        Err(_) => detected().to_owned(),
    };
    match kind {
        Kind::BFloat16 => format!("{kernels}+{}", bf16_instructions()),
        _ => kernels,
    }
}

/// Is a training in bf16 faster here than one in fp32? With AMX it is by half; with AVX-512's instructions alone it was
/// slower where it was measured (docs/performance.md).
pub(crate) fn is_fast_in_bf16() -> bool {
    bf16_instructions().contains("AMX")
}

/// `NONE` where there are none. oneDNN can be told to use less than there is.
fn bf16_instructions() -> String {
    match std::env::var("ONEDNN_MAX_CPU_ISA") {
        Ok(most) if !["ALL", "DEFAULT"].contains(&most.to_uppercase().as_str()) => most.to_uppercase(),
        _ => of_flags(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()).to_uppercase(),
    }
}

/// What the flags in the text of `/proc/cpuinfo` name.
fn of_flags(cpuinfo: &str) -> &'static str {
    let flags = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
    OF_BF16.into_iter().find(has).unwrap_or("none")
}

#[cfg(target_arch = "x86_64")]
fn detected() -> &'static str {
    use std::arch::is_x86_feature_detected as has;
    let wide = has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") && has!("fma");
    match (wide, has!("avx2") && has!("fma")) {
        (true, _) => "AVX512",
        (_, true) => "AVX2",
        _ => "DEFAULT",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> &'static str {
    "DEFAULT"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_instructions_for_bf16_are_named_as_a_whole_word_of_the_flags() {
        let of = |flags| {
            of_flags(&format!(
                "processor\t: 0\nmodel name\t: amx_bf16\nflags\t\t: fpu {flags} sse\n"
            ))
        };
        assert_eq!(of("avx512_bf16 amx_bf16 amx_tile"), "amx_bf16");
        assert_eq!(of("avx512_bf16 avx512_fp16"), "avx512_bf16");
        assert_eq!(of("avx2 amx_bf16x"), "none");
        assert_eq!(of_flags(""), "none");
    }

    #[test]
    fn the_instructions_are_a_matter_of_bf16_alone() {
        let (whole, half) = (capability(Kind::Float), capability(Kind::BFloat16));
        assert!(!whole.contains('+'), "{whole}");
        assert!(half.starts_with(&format!("{whole}+")), "{half}");
    }
}
