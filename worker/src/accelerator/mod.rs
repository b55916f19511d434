//! What this host can train on.

mod cpu;
mod gpu;
mod inf1;

use shared::job::Accelerator;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the jobs of this worker ask for.
    pub accelerator: Accelerator,
    /// For people, one a device.
    pub devices: Vec<String>,
}

/// The host does not have what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to find the accelerator {accelerator}: {reason}")]
pub struct NotFound {
    accelerator: Accelerator,
    reason: String,
}

/// Looks for the accelerator that was asked for; asked for none, the host's CPUs are used.
///
/// # Errors
/// [`NotFound`]: there is no such device, or its driver does not answer.
pub fn probe(asked: Option<Accelerator>) -> Result<Found, NotFound> {
    let accelerator = asked.unwrap_or(Accelerator::Cpu);
    let devices = match accelerator {
        Accelerator::Cpu => Ok(vec![cpu::describe()]),
        Accelerator::Gpu => gpu::devices(std::path::Path::new("/dev")),
        Accelerator::Inf1 => inf1::devices(std::path::Path::new("/dev")),
    };
    match devices {
        Ok(devices) => Ok(Found { accelerator, devices }),
        Err(reason) => Err(NotFound { accelerator, reason }),
    }
}

/// Names below `folder` that are `prefix` and a number, in order of the number.
fn device_nodes(folder: &std::path::Path, prefix: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut numbers: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::{NotFound, device_nodes, gpu, inf1, probe};
    use shared::job::Accelerator;

    #[test]
    fn the_cpu_is_always_there() {
        let found = probe(None).unwrap();
        assert_eq!(found.accelerator, Accelerator::Cpu);
        assert_eq!(found.devices.len(), 1);
    }

    #[test]
    fn only_numbered_nodes_are_devices() {
        let dev = tempfile::tempdir().unwrap();
        for name in ["neuron10", "neuron2", "neuron", "neuronctl", "nvidiactl"] {
            std::fs::write(dev.path().join(name), "").unwrap();
        }
        assert_eq!(device_nodes(dev.path(), "neuron"), [2, 10]);
        assert_eq!(inf1::devices(dev.path()).unwrap().len(), 2);
        assert!(gpu::devices(dev.path()).is_err());
    }

    #[test]
    fn missing_device_is_named() {
        let dev = tempfile::tempdir().unwrap();
        let reason = inf1::devices(dev.path()).unwrap_err();
        let error = NotFound {
            accelerator: Accelerator::Inf1,
            reason,
        };
        assert!(
            error.to_string().contains("inf1") && error.to_string().contains("neuron"),
            "{error}"
        );
    }
}
