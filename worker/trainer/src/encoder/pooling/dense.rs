//! The linear layer that some sentence-transformers repositories have behind their pooling.

use super::read;
use crate::encoder::activation::Activation;
use crate::encoder::read_checkpoint;
use crate::failure::{Failure, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// `sentence_transformers.models.Dense`.
#[derive(Debug)]
pub(super) struct Dense {
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Option<Activation>,
    residual: Residual,
}

/// What is added to the activated vector.
#[derive(Debug)]
enum Residual {
    Nothing,
    /// What came in.
    Same,
    /// What came in, brought to the size of what goes out.
    Projected(Tensor),
}

/// `<folder>/config.json`; what it leaves out is as the class has it by default.
#[derive(Deserialize)]
struct Settings {
    in_features: i64,
    out_features: i64,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    activation_function: Option<String>,
    #[serde(default)]
    module_input_name: Option<String>,
    #[serde(default)]
    module_output_name: Option<String>,
    #[serde(default)]
    use_residual: bool,
}

fn yes() -> bool {
    true
}

/// What it reads and writes; the other names are those of tokens.
const VECTOR: &str = "sentence_embedding";

impl Settings {
    fn activation(&self, file: &str) -> Result<Option<Activation>> {
        match self.activation_function.as_deref() {
            None | Some("torch.nn.modules.activation.Tanh") => Ok(Some(Activation::Tanh)),
            Some("torch.nn.modules.linear.Identity") => Ok(None),
            Some("torch.nn.modules.activation.ReLU") => Ok(Some(Activation::Relu)),
            Some("torch.nn.modules.activation.GELU") => Ok(Some(Activation::Gelu)),
            Some("torch.nn.modules.activation.SiLU") => Ok(Some(Activation::Silu)),
            Some(other) => Err(Failure::user(format!(
                "{file}: activation_function `{other}` is not known (known: torch.nn.modules.linear.Identity, \
                 torch.nn.modules.activation.Tanh, ReLU, GELU and SiLU)"
            ))),
        }
    }

    fn check(&self, file: &str, inputs: i64) -> Result<()> {
        let names = [
            ("module_input_name", &self.module_input_name),
            ("module_output_name", &self.module_output_name),
        ];
        for (key, found) in names {
            if let Some(found) = found.as_deref().filter(|found| *found != VECTOR) {
                return Err(Failure::user(format!("{file}: {key} must be {VECTOR}, found {found}")));
            }
        }
        if self.in_features != inputs {
            let found = self.in_features;
            return Err(Failure::user(format!(
                "{file}: in_features must be {inputs}, the size of the vectors that come in, found {found}"
            )));
        }
        Ok(())
    }
}

impl Dense {
    /// Reads the module in `path` below `folder`, into which vectors of the size `inputs` come.
    pub(super) fn open(folder: &Path, name: &str, path: &str, inputs: i64) -> Result<Self> {
        let file = format!("{path}/config.json");
        let settings: Settings = read(folder, name, &file)?;
        let file = format!("{name}/{file}");
        settings.check(&file, inputs)?;
        let activation = settings.activation(&file)?;
        let module = format!("{name}/{path}");
        let mut tensors = read_checkpoint(&folder.join(path), &module)?;
        let outputs = settings.out_features;
        let mut take = |key: &str, shape: &[i64]| take(&mut tensors, &module, key, shape);
        Ok(Self {
            weight: take("linear.weight", &[outputs, inputs])?,
            bias: settings.bias.then(|| take("linear.bias", &[outputs])).transpose()?,
            activation,
            residual: match settings.use_residual {
                false => Residual::Nothing,
                true if inputs == outputs => Residual::Same,
                true => Residual::Projected(take("residual.weight", &[outputs, inputs])?),
            },
        })
    }

    /// Size of the vectors that go out.
    pub(super) fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// `[rows, outputs]` from `[rows, inputs]`.
    pub(super) fn apply(&self, x: &Tensor) -> Tensor {
        let linear = x.linear(&self.weight, self.bias.as_ref());
        let activated = self
            .activation
            .map_or(linear.shallow_clone(), |activation| activation.apply(&linear));
        match &self.residual {
            Residual::Nothing => activated,
            Residual::Same => activated + x,
            Residual::Projected(weight) => activated + x.linear::<&Tensor>(weight, None),
        }
    }
}

fn take(tensors: &mut BTreeMap<String, Tensor>, module: &str, key: &str, shape: &[i64]) -> Result<Tensor> {
    match tensors.remove(key) {
        Some(tensor) if tensor.size() == shape => Ok(tensor),
        Some(tensor) => Err(Failure::user(format!(
            "{module} does not fit its config.json: {key} has the shape {:?}, not {shape:?}",
            tensor.size()
        ))),
        None => Err(Failure::user(format!(
            "{module} does not fit its config.json: {key} is missing"
        ))),
    }
}
