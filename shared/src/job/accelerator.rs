//! Kinds of hosts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Kinds of hosts; each has a queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Any host.
    Cpu,
    /// NVIDIA.
    Gpu,
    /// AWS Inferentia 1: trains on the host's CPU, its chip serves what is compiled later.
    Inf1,
}

/// Text that names no accelerator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no accelerator (cpu, gpu or inf1)")]
pub struct UnknownAccelerator(String);

impl Accelerator {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Gpu, Self::Inf1];

    /// The word in settings, messages and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Inf1 => "inf1",
        }
    }

    /// What an EC2 instance type (`self-hosted-runner-type` of the CI matrix) has: `inf1.*` Inferentia, the families
    /// `g…` and `p…` NVIDIA (`g5.xlarge`, `p4d.24xlarge`), everything else a CPU.
    #[must_use]
    pub fn of_runner(instance_type: &str) -> Self {
        let family = instance_type.split('.').next().unwrap_or_default();
        let nvidia = |letter| {
            family
                .strip_prefix(letter)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        match family {
            "inf1" => Self::Inf1,
            _ if instance_type.contains('.') && (nvidia('g') || nvidia('p')) => Self::Gpu,
            _ => Self::Cpu,
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Accelerator {
    type Err = UnknownAccelerator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|a| a.as_str() == text);
        known.ok_or_else(|| UnknownAccelerator(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_types_name_their_accelerator() {
        let cases = [
            ("inf1.2xlarge", Accelerator::Inf1),
            ("inf2.xlarge", Accelerator::Cpu),
            ("g4dn.xlarge", Accelerator::Gpu),
            ("g5.12xlarge", Accelerator::Gpu),
            ("p3.2xlarge", Accelerator::Gpu),
            ("p4d.24xlarge", Accelerator::Gpu),
            ("m5.large", Accelerator::Cpu),
            ("c7g.large", Accelerator::Cpu),
            ("gpu", Accelerator::Cpu),
            ("ubuntu-latest", Accelerator::Cpu),
            ("", Accelerator::Cpu),
        ];
        for (runner, accelerator) in cases {
            assert_eq!(Accelerator::of_runner(runner), accelerator, "{runner}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for accelerator in Accelerator::ALL {
            assert_eq!(accelerator.to_string().parse(), Ok(accelerator));
        }
        assert!("tpu".parse::<Accelerator>().is_err());
    }
}
