//! Hands the tensors of a checkpoint to the layers, and tells what was missing, new or left over.

use super::{Config, Family, HeadKind, Weights};
use crate::failure::{Failure, Result};
use crate::optimizer::Parameter;
use crate::random::Random;
use tch::{Device, Kind, Tensor};

/// Where the layer over the labels comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// The checkpoint's own; it must be there.
    FromCheckpoint,
    /// New, because the labels are.
    New,
}

/// Loads one model.
#[derive(Debug)]
pub struct Loader<'a> {
    weights: &'a mut Weights,
    family: &'static Family,
    bare: bool,
    /// The seed of new tensors, where training follows; then every tensor is a leaf of its own.
    training: Option<u64>,
    classifier: Classifier,
    deviation: f64,
    parameters: Vec<Parameter>,
    wrong: Vec<String>,
    /// Names of the tensors that were initialised.
    initialised: Vec<String>,
}

impl<'a> Loader<'a> {
    /// A loader of `family` with `head` from `weights`. `training` is the seed of new tensors; `None` loads to use only.
    ///
    /// # Errors
    ///
    /// Where config.json has no usable `initializer_range`.
    pub fn new(
        config: &Config,
        family: &'static Family,
        weights: &'a mut Weights,
        head: HeadKind,
        classifier: Classifier,
        training: Option<u64>,
    ) -> Result<Self> {
        Ok(Self {
            weights,
            family,
            bare: head == HeadKind::Bare,
            training,
            classifier,
            deviation: config.number("initializer_range", 0.02)?,
            parameters: Vec::new(),
            wrong: Vec::new(),
            initialised: Vec::new(),
        })
    }

    /// A tensor of the encoder, with or without the family's prefix in the file.
    pub(crate) fn encoder(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let full = self.full(name);
        let found = self.take(name, shape);
        self.keep(full, shape, found, false)
    }

    /// A tensor of the head that does not depend on the labels. `name` is the full one.
    pub(crate) fn head(&mut self, name: &str, shape: &[i64]) -> Tensor {
        let short = name.strip_prefix(self.family.prefix).unwrap_or(name);
        let found = self.take(short, shape);
        self.keep(name.to_owned(), shape, found, self.training.is_some())
    }

    /// A tensor whose shape is that of the labels.
    pub(crate) fn classifier(&mut self, name: &str, shape: &[i64]) -> Tensor {
        match self.classifier {
            Classifier::FromCheckpoint => {
                let found = self.take(name, shape);
                self.keep(name.to_owned(), shape, found, false)
            }
            Classifier::New => {
                self.weights.take(name);
                self.keep(name.to_owned(), shape, None, true)
            }
        }
    }

    /// A tensor that the model does not use, but that belongs into its export where it is there.
    pub(crate) fn pass_on(&mut self, name: &str) {
        let prefixed = format!("{}{name}", self.family.prefix);
        if let Some(value) = self.weights.take(&prefixed).or_else(|| self.weights.take(name)) {
            let name = self.full(name);
            self.parameters.push(Parameter { name, value });
        }
    }

    /// The parameters in the order in which they were loaded, and the names of those that are new.
    ///
    /// # Errors
    ///
    /// A user's failure that names every tensor that is missing (beyond a new head) or of another shape.
    pub fn finish(self) -> Result<(Vec<Parameter>, Vec<String>)> {
        if !self.wrong.is_empty() {
            let (file, count) = (&self.weights.file, self.wrong.len());
            let shown = self.wrong.iter().take(8).cloned().collect::<Vec<_>>().join("; ");
            let more = if count > 8 {
                format!(" and {} more", count - 8)
            } else {
                String::new()
            };
            return Err(Failure::user(format!("{file} does not fit config.json: {shown}{more}")));
        }
        let unused: Vec<&str> = self
            .weights
            .left()
            .filter(|name| !name.ends_with("position_ids"))
            .collect();
        if !unused.is_empty() {
            eprintln!("not used from {}: {}", self.weights.file, unused.join(", "));
        }
        if !self.initialised.is_empty() {
            eprintln!("newly initialised: {}", self.initialised.join(", "));
        }
        Ok((self.parameters, self.initialised))
    }

    fn full(&self, name: &str) -> String {
        if self.bare {
            name.to_owned()
        } else {
            format!("{}{name}", self.family.prefix)
        }
    }

    fn take(&mut self, name: &str, shape: &[i64]) -> Option<Tensor> {
        let prefixed = format!("{}{name}", self.family.prefix);
        let found = self.weights.take(&prefixed).or_else(|| self.weights.take(name))?;
        if found.size() != shape {
            self.wrong
                .push(format!("{name} has the shape {:?}, not {shape:?}", found.size()));
        }
        Some(found)
    }

    fn keep(&mut self, name: String, shape: &[i64], found: Option<Tensor>, may_be_new: bool) -> Tensor {
        let value = match found {
            Some(found) if self.training.is_some() => found.copy(),
            Some(found) => found,
            None if may_be_new => {
                self.initialised.push(name.clone());
                self.initial(shape)
            }
            None => {
                self.wrong.push(format!("{name} is missing"));
                // It is not used: `finish` refuses the model.
                Tensor::zeros([0], (Kind::Float, Device::Cpu))
            }
        };
        let value = if self.training.is_some() {
            value.set_requires_grad(true)
        } else {
            value
        };
        let used = value.shallow_clone();
        self.parameters.push(Parameter { name, value });
        used
    }

    /// Weights are drawn from a normal distribution (`initializer_range`), biases are zero.
    fn initial(&self, shape: &[i64]) -> Tensor {
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
