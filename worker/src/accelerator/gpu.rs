//! NVIDIA GPUs: the device nodes say whether there are any, `nvidia-smi` whether the driver answers.

use std::path::Path;
use std::process::{Command, Stdio};

/// One line a GPU, as `nvidia-smi -L` prints it.
pub(super) fn devices(dev: &Path) -> Result<Vec<String>, String> {
    if super::device_nodes(dev, "nvidia").is_empty() {
        return Err(format!("there is no {}/nvidia<N>", dev.display()));
    }
    let output = Command::new("nvidia-smi")
        .arg("-L")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("nvidia-smi cannot be run: {error}"))?;
    let listing = String::from_utf8_lossy(&output.stdout);
    let devices: Vec<String> = listing
        .lines()
        .filter(|line| line.starts_with("GPU "))
        .map(str::to_owned)
        .collect();
    if !output.status.success() || devices.is_empty() {
        return Err(format!("the driver does not answer: nvidia-smi -L: {}", listing.trim()));
    }
    Ok(devices)
}
