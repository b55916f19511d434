//! The layers that every family is made of, with PyTorch's names of their tensors. Parameters are fp32; a layer computes
//! in the kind of what comes in.

use super::Loader;
use super::activation::Activation;
use crate::native::{self, kept::gelu_linear};
use tch::{Device, Kind, Tensor};

/// A parameter as a layer uses it.
#[derive(Debug)]
pub(crate) struct Weight {
    /// fp32.
    pub(crate) whole: Tensor,
    /// [`crate::optimizer::Parameter::narrow`].
    pub(crate) narrow: Option<Tensor>,
}

impl Weight {
    /// In `kind`.
    fn of(&self, kind: Kind) -> Tensor {
        match &self.narrow {
            Some(narrow) if kind == Kind::BFloat16 => narrow.shallow_clone(),
            _ => self.whole.to_kind(kind),
        }
    }
}

/// `torch.nn.Linear`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Weight,
}

impl Linear {
    /// Of the encoder.
    pub(crate) fn load(loader: &mut Loader<'_>, name: &str, inputs: i64, outputs: i64) -> Self {
        Self {
            weight: loader.weight(&format!("{name}.weight"), &[outputs, inputs]),
            bias: loader.weight(&format!("{name}.bias"), &[outputs]),
        }
    }

    /// Of the head, below what the labels shape; initialised where the checkpoint lacks it and training follows. `name` is
    /// the full one.
    pub(crate) fn load_head(loader: &mut Loader<'_>, name: &str, inputs: i64, outputs: i64) -> Self {
        Self {
            weight: whole(loader.head(&format!("{name}.weight"), &[outputs, inputs])),
            bias: whole(loader.head(&format!("{name}.bias"), &[outputs])),
        }
    }

    /// The layer whose outputs are the labels.
    pub(crate) fn load_classifier(loader: &mut Loader<'_>, inputs: i64, labels: i64) -> Self {
        Self {
            weight: whole(loader.classifier("weight", &[labels, inputs])),
            bias: whole(loader.classifier("bias", &[labels])),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight.of(x.kind()), &self.bias.of(x.kind()))
    }

    /// The layer on what `activation` makes of `x`. On a CPU GELU is computed again on the way back: what it gives is a
    /// fifth of what a layer would keep, and takes a hundredth of a step.
    pub(crate) fn forward_activated(&self, x: &Tensor, activation: Activation) -> Tensor {
        match activation.gelu().filter(|_| x.device() == Device::Cpu) {
            Some(form) => gelu_linear(x, form, &self.weight.of(x.kind()), &self.bias.of(x.kind())),
            None => self.forward(&activation.apply(x)),
        }
    }
}

/// One that is not kept in bf16 too.
fn whole(whole: Tensor) -> Weight {
    Weight { whole, narrow: None }
}

/// `torch.nn.functional.linear`. On a GPU the bias is added on its own: for a product with a bias libtorch asks cuBLASLt each
/// time which way is best, and the CPU is what a step waits for.
fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    match x.device().is_cuda() {
        true => x.matmul(&weight.tr()) + bias,
        false => native::linear::linear(x, weight, bias),
    }
}

/// What each of `linears`, which have outputs of one size, makes of `x`: one product of matrices for all.
pub(crate) fn side_by_side<const N: usize>(linears: [&Linear; N], x: &Tensor) -> [Tensor; N] {
    let joined = |part: fn(&Linear) -> &Weight| Tensor::cat(&linears.map(|linear| part(linear).of(x.kind())), 0);
    let outputs = linear(x, &joined(|linear| &linear.weight), &joined(|linear| &linear.bias));
    let mut parts = outputs.chunk(N as i64, -1).into_iter();
    std::array::from_fn(|_| parts.next().expect("as many parts as layers"))
}

/// `torch.nn.LayerNorm` over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Weight,
    bias: Weight,
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn load(loader: &mut Loader<'_>, name: &str, size: i64, epsilon: f64) -> Self {
        Self {
            weight: loader.weight(&format!("{name}.weight"), &[size]),
            bias: loader.weight(&format!("{name}.bias"), &[size]),
            epsilon,
        }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let size = self.weight.whole.size();
        x.layer_norm(
            size.as_slice(),
            Some(&self.weight.of(x.kind())),
            Some(&self.bias.of(x.kind())),
            self.epsilon,
            false,
        )
    }
}

/// `torch.nn.Embedding`.
#[derive(Debug)]
pub(crate) struct Embedding {
    weight: Tensor,
    /// Row that gets no gradient; -1 for none.
    padding: i64,
    /// Is its gradient that of the rows which were used, and not one of its own size?
    by_rows: bool,
}

/// Values of a table from which on its gradient comes by rows: a batch uses few of a vocabulary's. Not on a GPU, where the
/// optimizer takes none such.
const LARGE: usize = 1 << 16;

impl Embedding {
    pub(crate) fn load(loader: &mut Loader<'_>, name: &str, count: i64, size: i64, padding: i64) -> Self {
        let weight = loader.encoder(&format!("{name}.weight"), &[count, size]);
        Self::of(weight, padding, loader)
    }

    /// One of which nothing but rows is asked for, never [`Self::first`].
    pub(crate) fn of_words(loader: &mut Loader<'_>, count: i64, size: i64, padding: i64) -> Self {
        let weight = loader.table("embeddings.word_embeddings.weight", &[count, size]);
        Self::of(weight, padding, loader)
    }

    fn of(weight: Tensor, padding: i64, loader: &Loader<'_>) -> Self {
        Self {
            by_rows: weight.numel() >= LARGE && loader.is_on_cpu(),
            weight,
            padding,
        }
    }

    /// Rows of the table at `ids`. Its gradient is deterministic, unlike that of `Tensor::index`.
    pub(crate) fn forward(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.weight, ids, self.padding, false, self.by_rows)
    }

    /// How many rows the table has.
    pub(crate) fn count(&self) -> i64 {
        self.weight.size()[0]
    }

    /// The first `count` rows.
    pub(crate) fn first(&self, count: i64) -> Tensor {
        self.weight.narrow(0, 0, count)
    }
}
