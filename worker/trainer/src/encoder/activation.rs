//! Activation functions by the names that config.json gives them (`transformers.activations.ACT2FN`).

use super::Config;
use crate::failure::{Failure, Result};
use tch::Tensor;

/// Between the two layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// With the error function.
    Gelu,
    /// With the approximation by tanh.
    GeluTanh,
    Relu,
    Silu,
}

impl Activation {
    /// The one that `key` of config.json names.
    pub(crate) fn from_config(config: &Config, key: &str) -> Result<Self> {
        match config.text(key, "gelu")?.as_str() {
            "gelu" => Ok(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            other => Err(Failure::user(format!(
                "{}: {key} `{other}` is not known (known: gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish)",
                config.file()
            ))),
        }
    }

    pub(crate) fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
        }
    }
}
