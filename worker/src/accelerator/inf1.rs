//! AWS Inferentia 1. Its SDK is for inference alone: a job trains on the host's processors, the chip serves what is
//! compiled from the model later. So all that is asked for here is that the host is one of the kind.

use std::path::Path;

/// The device nodes of the Neuron driver.
pub(super) fn devices(dev: &Path) -> Result<Vec<String>, String> {
    let nodes = super::device_nodes(dev, "neuron");
    if nodes.is_empty() {
        return Err(format!(
            "there is no {}/neuron<N>: is the Neuron driver loaded?",
            dev.display()
        ));
    }
    Ok(nodes
        .into_iter()
        .map(|number| format!("{}/neuron{number}", dev.display()))
        .collect())
}
