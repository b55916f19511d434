//! Activation functions by the names that config.json gives them (`transformers.activations.ACT2FN`).

use super::Config;
use crate::failure::Result;
use std::ffi::CStr;
use tch::Tensor;

/// Between the two layers of a feed-forward block or of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// With the error function.
    Gelu,
    /// With the approximation by tanh.
    GeluTanh,
    Relu,
    Silu,
    Tanh,
}

/// Names that config.json may use.
const NAMES: [(&str, Activation); 9] = [
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

impl Activation {
    /// The one that `key` of config.json names.
    pub(crate) fn from_config(config: &Config, key: &str) -> Result<Self> {
        let name = config.text(key)?;
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, activation)| *activation)
            .ok_or_else(|| config.wrong(key, &format!("one of {}", NAMES.map(|(known, _)| known).join(", "))))
    }

    /// What libtorch calls this form of GELU, if it is one.
    pub(crate) fn gelu(self) -> Option<&'static CStr> {
        match self {
            Self::Gelu => Some(c"none"),
            Self::GeluTanh => Some(c"tanh"),
            Self::Relu | Self::Silu | Self::Tanh => None,
        }
    }

    pub(crate) fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
        }
    }
}
