//! What of the processor decides the bits and the pace of a training.

use crate::native;
use std::sync::OnceLock;
use tch::Kind;

/// Instructions of x86-64 that multiply matrices of bf16, as Linux names them, the fastest first.
const OF_BF16: [&str; 2] = ["amx_bf16", "avx512_bf16"];

/// The kernels that libtorch chooses (`at::native::cpu_capability`) and, for a training in bf16, the instructions that
/// oneDNN has to multiply by: `AVX512` or `AVX512+AMX_BF16`.
pub(crate) fn capability(kind: Kind) -> String {
    let kernels = match std::env::var("ATEN_CPU_CAPABILITY") {
        Ok(forced) => forced.to_uppercase(),
        Err(_) => detected().to_owned(),
    };
    match kind {
        Kind::BFloat16 => format!("{kernels}+{}", Bf16::here().name()),
        _ => kernels,
    }
}

/// Is a training in bf16 faster here than one in fp32? With AMX it is by half; with AVX-512's instructions alone it was
/// slower where it was measured (docs/performance.md).
pub(crate) fn is_fast_in_bf16() -> bool {
    static FAST: OnceLock<bool> = OnceLock::new();
    *FAST.get_or_init(|| Bf16::here().is_fast())
}

/// What multiplies matrices of bf16.
#[derive(Debug)]
struct Bf16 {
    /// The fastest that the CPU has.
    has: Option<&'static str>,
    /// What oneDNN may use at most, where somebody says so.
    most: Option<String>,
}

impl Bf16 {
    fn here() -> Self {
        let most = ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"].map(std::env::var);
        let most = most.into_iter().find_map(Result::ok).unwrap_or_default();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self::of(&cpuinfo, native::may_use_amx(), &most)
    }

    /// Of the text of `/proc/cpuinfo`, whether the system lets this process use AMX, and the value of oneDNN's variable.
    fn of(cpuinfo: &str, may_use_amx: bool, most: &str) -> Self {
        let flags = cpuinfo
            .lines()
            .find(|line| line.starts_with("flags"))
            .unwrap_or_default();
        let has = |name: &&str| {
            let is_there = flags.split_whitespace().any(|flag| flag == *name);
            is_there && (may_use_amx || *name != OF_BF16[0])
        };
        let most = most.to_uppercase();
        Self {
            has: OF_BF16.into_iter().find(has),
            most: Some(most).filter(|most| !["", "ALL", "DEFAULT"].contains(&most.as_str())),
        }
    }

    fn name(&self) -> String {
        let has = self.has.unwrap_or("none").to_uppercase();
        match &self.most {
            Some(most) => format!("{has}<={most}"),
            None => has,
        }
    }

    fn is_fast(&self) -> bool {
        self.has == Some("amx_bf16") && self.most.as_ref().is_none_or(|most| most.contains("AMX"))
    }
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
    fn the_table() {
        let amx = "avx512_bf16 amx_bf16 amx_tile";
        for (flags, most, name, is_fast) in [
            (amx, "", "AMX_BF16", true),
            (amx, "all", "AMX_BF16", true),
            (amx, "AVX512_CORE_AMX", "AMX_BF16<=AVX512_CORE_AMX", true),
            (amx, "avx512_core_bf16", "AMX_BF16<=AVX512_CORE_BF16", false),
            ("avx512_bf16 avx512_fp16", "", "AVX512_BF16", false),
            ("avx512_bf16", "AVX512_CORE_AMX", "AVX512_BF16<=AVX512_CORE_AMX", false),
            // A whole word it must be.
            ("avx2 amx_bf16x", "", "NONE", false),
        ] {
            let cpuinfo = format!("processor\t: 0\nmodel name\t: amx_bf16\nflags\t\t: fpu {flags} sse\n");
            let found = Bf16::of(&cpuinfo, true, most);
            assert_eq!(
                (found.name().as_str(), found.is_fast()),
                (name, is_fast),
                "{flags} {most}"
            );
        }
        assert_eq!(Bf16::of("", true, "").name(), "NONE");
        // A sandbox may show AMX and refuse it.
        let refused = Bf16::of(&format!("flags\t\t: {amx}\n"), false, "");
        assert_eq!((refused.name().as_str(), refused.is_fast()), ("AVX512_BF16", false));
    }

    #[test]
    fn the_instructions_are_a_matter_of_bf16_alone() {
        let (whole, half) = (capability(Kind::Float), capability(Kind::BFloat16));
        assert!(!whole.contains('+'), "{whole}");
        assert!(half.starts_with(&format!("{whole}+")), "{half}");
    }
}
