//! Losses and norms of steps whose numbers nobody has read yet: to read one is to wait for a GPU.

use crate::failure::{Failure, Result};
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// A step that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Its number, from 1.
    pub(crate) step: u64,
    /// A scalar.
    pub(crate) loss: Tensor,
    /// A scalar.
    pub(crate) norm: Tensor,
    pub(crate) rate: f64,
    pub(crate) rows: u64,
    pub(crate) tokens: u64,
}

/// The same with its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) step: u64,
    pub(crate) loss: f64,
    pub(crate) norm: f64,
    pub(crate) rate: f64,
    pub(crate) rows: u64,
    pub(crate) tokens: u64,
}

/// Steps since the last look.
#[derive(Debug)]
pub(crate) struct Readings {
    taken: Vec<Taken>,
    last: Instant,
}

/// People want to see that it goes on.
const EVERY: Duration = Duration::from_secs(1);

impl Readings {
    pub(crate) fn new() -> Self {
        Self {
            taken: Vec::new(),
            last: Instant::now(),
        }
    }

    /// Another step.
    pub(crate) fn push(&mut self, taken: Taken) {
        self.taken.push(taken);
    }

    /// Whether to look although nothing needs the numbers: on a CPU, where it costs nothing, and once a second.
    pub(crate) fn is_due(&self, device: Device) -> bool {
        device == Device::Cpu || self.last.elapsed() >= EVERY
    }

    /// The numbers of all steps since the last look.
    ///
    /// # Errors
    ///
    /// A user's failure that names the first step at which loss or norm are not numbers: a training that diverged does
    /// not come back.
    pub(crate) fn read(&mut self) -> Result<Vec<Reading>> {
        let taken = std::mem::take(&mut self.taken);
        let scalars = taken.iter().flat_map(|it| [&it.loss, &it.norm]);
        let scalars: Vec<Tensor> = scalars.map(|scalar| scalar.to_kind(Kind::Double)).collect();
        let mut readings = Vec::new();
        if !scalars.is_empty() {
            let numbers = Vec::<f64>::try_from(Tensor::stack(&scalars, 0).to_device(Device::Cpu))?;
            let read = |(it, numbers): (&Taken, &[f64])| Reading {
                step: it.step,
                loss: numbers[0],
                norm: numbers[1],
                rate: it.rate,
                rows: it.rows,
                tokens: it.tokens,
            };
            readings.extend(taken.iter().zip(numbers.chunks(2)).map(read));
        }
        readings.iter().try_for_each(refuse_nan)?;
        self.last = Instant::now();
        Ok(readings)
    }
}

fn refuse_nan(reading: &Reading) -> Result<()> {
    let Reading { step, loss, norm, .. } = reading;
    if loss.is_finite() && norm.is_finite() {
        return Ok(());
    }
    Err(Failure::user(format!(
        "training diverged at step {step}: loss {loss}, gradient norm {norm}; try a smaller training.learning_rate"
    )))
}
