//! Where a model computes, and in what.

use crate::failure::{Failure, Result};
use crate::native::gpu::{self, Card};
use crate::processor;
use tch::Kind;
use trainer_protocol::{Device, Precision};

/// The device of a model, and the kind of its training's numbers; parameters and moments are fp32 in any case, and so are
/// sums of gradients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arithmetic {
    /// Where tensors lie.
    pub device: tch::Device,
    /// [`Kind::Float`] or [`Kind::BFloat16`].
    pub kind: Kind,
    /// The GPU's name and compute capability.
    pub gpu: Option<String>,
}

impl Default for Arithmetic {
    /// fp32 on the CPU.
    fn default() -> Self {
        Self {
            device: tch::Device::Cpu,
            kind: Kind::Float,
            gpu: None,
        }
    }
}

impl Arithmetic {
    /// What `device` and `precision` mean on this machine. To be called before other threads begin: it loads CUDA.
    ///
    /// # Errors
    ///
    /// A user's failure where CUDA is asked for and cannot be used; it says what is missing and what to do.
    pub fn resolve(device: Device, precision: Precision) -> Result<Self> {
        let card = match device {
            Device::Cpu => None,
            Device::Auto => gpu().ok(),
            Device::Cuda => Some(gpu().map_err(|reason| absent(&reason))?),
        };
        let able = match &card {
            Some(card) => card.capability >= (8, 0),
            None => processor::is_fast_in_bf16(),
        };
        let kind = match precision {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Auto if able => Kind::BFloat16,
            Precision::Auto => Kind::Float,
        };
        Ok(Self {
            device: card.as_ref().map_or(tch::Device::Cpu, |_| tch::Device::Cuda(0)),
            kind,
            gpu: card.map(|card| format!("{} ({}.{})", card.name, card.capability.0, card.capability.1)),
        })
    }

    /// Is it a GPU that computes?
    #[must_use]
    pub fn on_gpu(&self) -> bool {
        self.device.is_cuda()
    }

    /// `fp32` or `bf16`, as the environment has it.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        match self.kind {
            Kind::BFloat16 => "bf16",
            _ => "fp32",
        }
    }

    /// As an earlier part of the training had it.
    pub fn set_precision(&mut self, precision: &str) {
        self.kind = match precision {
            "bf16" => Kind::BFloat16,
            _ => Kind::Float,
        };
    }
}

/// The first GPU, ready to be used.
fn gpu() -> std::result::Result<Card, String> {
    gpu::load_cuda()?;
    let card = gpu::card()?;
    if !tch::Cuda::is_available() {
        return Err("libtorch finds no GPU that it can use".into());
    }
    Ok(card)
}

fn absent(reason: &str) -> Failure {
    Failure::user(format!(
        "device: cuda was asked for and cannot be used: {reason}. It takes an NVIDIA driver, a GPU that \
         CUDA_VISIBLE_DEVICES does not hide, and libtorch with its CUDA libraries (scripts/setup.sh installs them where \
         there is a GPU); or publish the job with --accelerator cpu"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_is_computed_in() {
        let of = |precision| Arithmetic::resolve(Device::Cpu, precision).unwrap();
        assert_eq!(of(Precision::Fp32), Arithmetic::default());
        assert_eq!(of(Precision::Bf16).precision(), "bf16");
        let expected = match processor::is_fast_in_bf16() {
            true => "bf16",
            false => "fp32",
        };
        assert_eq!(of(Precision::Auto).precision(), expected);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_that_says_what_to_do() {
        match Arithmetic::resolve(Device::Cuda, Precision::Auto) {
            Ok(found) => assert!(found.on_gpu() && found.gpu.is_some()),
            Err(failure) => {
                let text = failure.to_string();
                assert!(
                    text.contains("cuda was asked for") && text.contains("--accelerator cpu"),
                    "{text}"
                );
                let auto = Arithmetic::resolve(Device::Auto, Precision::Fp32).unwrap();
                assert_eq!(auto, Arithmetic::default());
            }
        }
    }
}
