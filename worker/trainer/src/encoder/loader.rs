//! Hands the tensors of a checkpoint to the layers, and tells what was missing, new or left over.

use super::layers::Weight;
use super::{Config, Family, HeadKind, Weights};
use crate::arithmetic::Arithmetic;
use crate::failure::{Failure, Result};
use crate::memory;
use crate::optimizer::Parameter;
use crate::random::Random;
use std::collections::BTreeSet;
use tch::{Device, Kind, Tensor};

/// Where the layer over the labels comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// The checkpoint's own; it must be there.
    FromCheckpoint,
    /// New, because the labels are.
    New,
}

/// What became of a checkpoint's tensors.
#[derive(Debug)]
pub struct Used {
    /// The model's, in the order in which they were loaded.
    pub parameters: Vec<Parameter>,
    /// Names of those that the checkpoint did not have.
    pub initialised: Vec<String>,
    /// Names of the checkpoint's tensors that the model has no use for, sorted.
    pub unused: Vec<String>,
}

/// Loads one model.
#[derive(Debug)]
pub struct Loader<'a> {
    weights: &'a mut Weights,
    family: &'static Family,
    head: HeadKind,
    /// The seed of new tensors, where training follows; then every tensor is a leaf of its own.
    training: Option<u64>,
    device: Device,
    /// Does training compute in bf16?
    in_bf16: bool,
    /// Is what is loaded now used once in a pass?
    once: bool,
    classifier: Classifier,
    deviation: f64,
    parameters: Vec<Parameter>,
    /// What the names of the encoder's tensors begin with below the prefix: `embeddings`, `encoder`.
    parts: BTreeSet<String>,
    wrong: Vec<String>,
    /// Names of tensors with values that are not finite.
    not_finite: Vec<String>,
    /// Names of the tensors that were initialised.
    initialised: Vec<String>,
}

impl<'a> Loader<'a> {
    /// A loader of config.json's family with `head` from `weights`. `training` is the seed of new tensors; `None` loads to use only.
    ///
    /// # Errors
    ///
    /// Where config.json has no usable `initializer_range`.
    pub fn new(
        config: &Config,
        weights: &'a mut Weights,
        head: HeadKind,
        classifier: Classifier,
        training: Option<u64>,
    ) -> Result<Self> {
        Ok(Self {
            weights,
            family: config.family(),
            head,
            training,
            device: Device::Cpu,
            in_bf16: false,
            once: false,
            classifier,
            deviation: config.number("initializer_range")?,
            parameters: Vec::new(),
            parts: BTreeSet::new(),
            wrong: Vec::new(),
            not_finite: Vec::new(),
            initialised: Vec::new(),
        })
    }

    /// Lets tensors lie where `arithmetic` computes, and be as its training needs them.
    #[must_use]
    pub fn onto(self, arithmetic: &Arithmetic) -> Self {
        Self {
            device: arithmetic.device,
            in_bf16: arithmetic.kind == Kind::BFloat16,
            ..self
        }
    }

    /// Says whether what is loaded next is used once in a pass: of what is used more often the gradients are summed, which
    /// bf16 has too few digits for.
    pub(crate) fn used_once(&mut self, once: bool) {
        self.once = once;
    }

    /// Is the model built on the CPU?
    pub(crate) fn is_on_cpu(&self) -> bool {
        self.device == Device::Cpu
    }

    /// A tensor of the encoder, with or without the family's prefix in the file.
    pub(crate) fn encoder(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let full = self.full(name);
        if !self.parts.contains(part(name)) {
            self.parts.insert(part(name).to_owned());
        }
        let found = self.take(name, shape);
        self.keep(full, shape, found, false)
    }

    /// A tensor of the encoder that is computed with.
    pub(crate) fn weight(&mut self, name: &str, shape: &[i64]) -> Weight {
        let whole = self.encoder(name, shape);
        let narrow = match self.parameters.last_mut() {
            Some(parameter) if self.once && self.in_bf16 && self.device == Device::Cpu => parameter.narrow(),
            _ => None,
        };
        Weight { whole, narrow }
    }

    /// A tensor of the head that does not depend on the labels. `name` is the full one.
    pub(crate) fn head(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let short = name.strip_prefix(self.family.prefix).unwrap_or(name);
        let found = self.take(short, shape);
        self.keep(name.to_owned(), shape, found, self.training.is_some())
    }

    /// `weight` or `bias` of the layer over the labels.
    pub(crate) fn classifier(&mut self, part: &str, shape: &[i64]) -> Tensor {
        let name = format!("{}.{part}", self.family.classifier(self.head));
        match self.classifier {
            Classifier::FromCheckpoint => {
                let found = self.take(&name, shape);
                self.keep(name, shape, found, false)
            }
            Classifier::New => {
                self.weights.take(&name);
                self.keep(name, shape, None, true)
            }
        }
    }

    /// A layer that the bare model does not use, but that belongs into its export where it is there: a pooler.
    pub(crate) fn pass_on(&mut self, layer: &str) {
        if self.head != HeadKind::Bare {
            return;
        }
        for part in ["weight", "bias"] {
            let name = format!("{layer}.{part}");
            if let Some(value) = self.find(&name) {
                let value = value.to_device(self.device);
                self.parameters.push(Parameter::new(name, value));
            }
        }
    }

    /// Gives up where so much is missing that the rest does not matter: config.json may ask for any number of layers.
    pub(crate) fn still_fits(&self) -> Result<()> {
        if self.wrong.len() < 64 {
            return Ok(());
        }
        Err(self.misfit())
    }

    fn misfit(&self) -> Failure {
        let (file, wrong) = (&self.weights.file, some(&self.wrong));
        Failure::user(format!("{file} does not fit config.json: {wrong}"))
    }

    /// What was loaded.
    ///
    /// # Errors
    ///
    /// A user's failure that names every tensor that is missing (beyond a new head) or of another shape, or that the
    /// encoder has no place for.
    pub fn finish(self) -> Result<Used> {
        let file = &self.weights.file;
        if !self.wrong.is_empty() {
            return Err(self.misfit());
        }
        if !self.not_finite.is_empty() {
            let broken = some(&self.not_finite);
            return Err(Failure::user(format!(
                "{file} holds values that are no numbers, or infinite, in {broken}"
            )));
        }
        let (surplus, unused): (Vec<String>, Vec<String>) = self
            .weights
            .left()
            .map(str::to_owned)
            .partition(|name| self.is_surplus(name));
        if !surplus.is_empty() {
            return Err(Failure::user(format!(
                "{file} does not fit config.json, which has no place for {}",
                some(&surplus)
            )));
        }
        if !unused.is_empty() {
            eprintln!("not used from {file}: {}", unused.join(", "));
        }
        if !self.initialised.is_empty() {
            eprintln!("newly initialised: {}", self.initialised.join(", "));
        }
        Ok(Used {
            parameters: self.parameters,
            initialised: self.initialised,
            unused,
        })
    }

    /// Is `name`, which was left over, a part of the encoder that it cannot do without? Heads of other tasks, poolers and
    /// buffers can be left over.
    fn is_surplus(&self, name: &str) -> bool {
        let (inside, name) = match name.strip_prefix(self.family.prefix) {
            Some(name) => (true, name),
            None => (self.parts.contains(part(name)), name),
        };
        let harmless = ["position_ids", "token_type_ids"].iter().any(|end| name.ends_with(end))
            || part(name) == "pooler"
            || self.family.ignored.iter().any(|ignored| name.contains(ignored));
        inside && !harmless
    }

    /// A table of the encoder that is only looked up: on the CPU it stays in the private pages of its file, of which those
    /// that training changes are copied. All else that is trained is copied whole: the bits of a product may depend on
    /// where in a line of the cache its numbers begin, and a checkpoint has them elsewhere.
    pub(crate) fn table(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let full = self.full(name);
        self.parts.insert(part(name).to_owned());
        match self.take(name, shape) {
            Some(found) if self.is_on_cpu() => self.parameter(full, found),
            found => self.keep(full, shape, found, false),
        }
    }

    fn full(&self, name: &str) -> String {
        if self.head == HeadKind::Bare {
            name.to_owned()
        } else {
            format!("{}{name}", self.family.prefix)
        }
    }

    /// The tensor of this name, with or without the family's prefix in the file.
    fn find(&mut self, name: &str) -> Option<Tensor> {
        let prefixed = format!("{}{name}", self.family.prefix);
        self.weights.take(&prefixed).or_else(|| self.weights.take(name))
    }

    fn take(&mut self, name: &str, shape: &[i64]) -> Option<Tensor> {
        let found = self.find(name)?;
        if found.size() != shape {
            self.wrong
                .push(format!("{name} has the shape {:?}, not {shape:?}", found.size()));
        } else if !are_finite(memory::floats(&found)) {
            self.not_finite.push(name.to_owned());
        }
        Some(found)
    }

    fn keep(&mut self, name: String, shape: &[i64], found: Option<Tensor>, may_be_new: bool) -> Tensor {
        let value = match found {
            Some(found) if self.device != Device::Cpu => found.to_device(self.device),
            Some(found) if self.training.is_some() => found.copy(),
            Some(found) => found,
            None if may_be_new => {
                self.initialised.push(name.clone());
                self.initial(shape).to_device(self.device)
            }
            None => {
                self.wrong.push(format!("{name} is missing"));
                // It is not used: `finish` refuses the model.
                Tensor::zeros([0], (Kind::Float, Device::Cpu))
            }
        };
        self.parameter(name, value)
    }

    fn parameter(&mut self, name: String, value: Tensor) -> Tensor {
        let value = if self.training.is_some() {
            value.set_requires_grad(true)
        } else {
            value
        };
        let used = value.shallow_clone();
        self.parameters.push(Parameter::new(name, value));
        used
    }

    /// Weights are drawn from a normal distribution (`initializer_range`), biases are zero.
    fn initial(&self, shape: &[i64]) -> Tensor {
        if !self.wrong.is_empty() {
            // config.json's sizes are not those of the file: who knows what they are. `finish` refuses the model.
            return Tensor::zeros([0], (Kind::Float, Device::Cpu));
        }
        if shape.len() < 2 {
            return Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        }
        let place = self.parameters.len() as u64;
        let mut random = Random::at(self.training.unwrap_or_default(), &[u64::MAX, place]);
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| (random.normal() * self.deviation) as f32).collect();
        Tensor::from_slice(&values).view(shape)
    }
}

/// Read once where they lie: an operation of libtorch would make a table of the same size first, or a larger one.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn are_finite(values: &[f32]) -> bool {
    let all = |block: &[f32]| block.iter().fold(true, |all, value| all & value.is_finite());
    values.chunks(1 << 12).all(all)
}

/// Up to the first dot.
fn part(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The first eight of `all`, for a message.
fn some(all: &[String]) -> String {
    let shown = all.iter().take(8).cloned().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(8) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
