//! AdamW (Loshchilov and Hutter, 2019) with moments that can be saved, equal to `torch.optim.AdamW` up to rounding.

mod gradients;
mod pieces;

pub use gradients::{accumulate, gradients};

use crate::failure::Result;
use crate::memory;
use crate::native::gpu;
use gradients::{Gradient, clipping, norm};
use pieces::{Touched, dense_pieces, in_parallel};
use tch::{Device, Kind, Tensor, no_grad};

/// A named tensor that is trained.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in the checkpoint.
    pub name: String,
    /// Contiguous fp32; shares its storage with the layer that uses it.
    pub value: Tensor,
    /// The nearest numbers of bf16, where training computes with those on a CPU: then its gradient is that of these, and the
    /// optimizer writes both. `None` where a layer makes them anew each time.
    narrow: Option<Tensor>,
}

impl Parameter {
    /// One that is fp32 only.
    #[must_use]
    pub fn new(name: String, value: Tensor) -> Self {
        Self {
            name,
            value,
            narrow: None,
        }
    }

    /// Lets training compute with its numbers of bf16, which are given.
    pub(crate) fn narrow(&mut self) -> Option<Tensor> {
        let narrow = self.value.detach().to_kind(Kind::BFloat16);
        let narrow = narrow.set_requires_grad(self.value.requires_grad());
        self.narrow = Some(narrow.shallow_clone());
        Some(narrow)
    }

    /// After `value` was changed: the numbers of bf16 again, or none where `kind` is what training computes in from now on.
    pub(crate) fn renew(&mut self, kind: Kind) {
        match &mut self.narrow {
            Some(narrow) if kind == Kind::BFloat16 => no_grad(|| narrow.copy_(&self.value)),
            narrow => *narrow = None,
        }
    }

    /// Lets it stay as it is in training.
    pub(crate) fn freeze(&self) {
        for tensor in [Some(&self.value), self.narrow.as_ref()].into_iter().flatten() {
            let _ = tensor.set_requires_grad(false);
        }
    }

    /// Of each value.
    pub(crate) fn bytes_of_gradient(&self) -> u64 {
        self.leaf().kind().elt_size_in_bytes() as u64
    }

    /// What a training's graph begins with.
    fn leaf(&self) -> &Tensor {
        self.narrow.as_ref().unwrap_or(&self.value)
    }
}

/// The optimizer over a fixed list of parameters.
#[derive(Debug)]
pub struct AdamW {
    decay: f64,
    /// Steps taken.
    pub(crate) step: u64,
    /// First moments, one a parameter and of its size.
    pub(crate) first: Vec<Tensor>,
    /// Second moments likewise.
    pub(crate) second: Vec<Tensor>,
    /// Of parameters whose gradients come by rows.
    touched: Vec<Option<Touched>>,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The numbers of one step, rounded to fp32 once, from f64 (as PyTorch does: `1.0_f32 - 0.999_f32` is 1e-5 off).
#[derive(Clone, Copy)]
struct Factors {
    /// Of the gradient, for its norm.
    clipping: f32,
    weight1: f32,
    beta2: f32,
    weight2: f32,
    keep: f32,
    size: f32,
    root: f32,
    epsilon: f32,
}

impl Factors {
    fn new(step: u64, clipping: f32, rate: f64, decay: f64) -> Self {
        let step = step as f64;
        Self {
            clipping,
            weight1: (1.0 - BETA1) as f32,
            beta2: BETA2 as f32,
            weight2: (1.0 - BETA2) as f32,
            keep: (1.0 - rate * decay) as f32,
            size: (rate / (1.0 - BETA1.powf(step))) as f32,
            root: (1.0 - BETA2.powf(step)).sqrt() as f32,
            epsilon: EPSILON as f32,
        }
    }
}

impl AdamW {
    /// Moments of zero. `decay` is decoupled and spares biases and normalisation, that is, all that has one dimension.
    #[must_use]
    pub fn new(parameters: &[Parameter], decay: f64) -> Self {
        // Rows of a vocabulary that no text uses have moments that are never written to.
        let zeros_like = |value: &Tensor| match value.device() {
            Device::Cpu => memory::zeros(&value.size()),
            _ => no_grad(|| value.zeros_like()),
        };
        let zeros = || parameters.iter().map(|p| zeros_like(&p.value)).collect();
        Self {
            decay,
            step: 0,
            first: zeros(),
            second: zeros(),
            touched: parameters.iter().map(|_| None).collect(),
        }
    }

    /// Goes on after `step` steps; the moments have been filled with those of then.
    pub(crate) fn resume_at(&mut self, step: u64) {
        self.step = step;
        self.touched.fill_with(|| None);
    }

    /// Takes a step along `gradients`, clipped to the norm `limit` (0: not). Gives their norm before, a scalar where
    /// the parameters are. On a GPU nothing waits for it, and a step along what is not finite is left out.
    ///
    /// # Errors
    ///
    /// Where the GPU fails.
    pub fn clipped_step(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &[Tensor],
        limit: f64,
        rate: f64,
    ) -> Result<Tensor> {
        if parameters.iter().all(|p| p.value.device() == Device::Cpu) {
            let norm = norm(gradients);
            self.step(parameters, gradients, clipping(norm, limit), rate);
            return Ok(Tensor::from(norm));
        }
        self.fused_step(parameters, gradients, limit, rate)
    }

    /// The same by libtorch's fused operations.
    fn fused_step(&mut self, parameters: &[Parameter], gradients: &[Tensor], limit: f64, rate: f64) -> Result<Tensor> {
        self.step += 1;
        let norm = gpu::norm(gradients)?;
        let scale = match limit > 0.0 {
            true => ((&norm + 1e-6) / limit).clamp_min(1.0),
            false => norm.ones_like(),
        };
        let skip = norm.isfinite().logical_not().to_kind(Kind::Float);
        let step = norm.full_like(self.step as f64);
        for decays in [true, false] {
            let of = |tensors: &[Tensor]| {
                let chosen = parameters
                    .iter()
                    .zip(tensors)
                    .filter(|(p, _)| (p.value.dim() > 1) == decays);
                chosen.map(|(_, tensor)| tensor.shallow_clone()).collect::<Vec<_>>()
            };
            let values: Vec<Tensor> = parameters.iter().map(|p| p.value.detach()).collect();
            let group = gpu::Group {
                values: of(&values),
                gradients: of(gradients),
                first: of(&self.first),
                second: of(&self.second),
            };
            let numbers = gpu::Step {
                rate,
                betas: (BETA1, BETA2),
                decay: if decays { self.decay } else { 0.0 },
                epsilon: EPSILON,
            };
            gpu::adamw(&group, &step, numbers, &scale, &skip)?;
        }
        Ok(norm)
    }

    /// One step at `rate` along `gradients` times `clipping`, in the order of `parameters`. Every element is on its own, so
    /// the bits depend neither on threads nor on whether a gradient comes by rows.
    fn step(&mut self, parameters: &mut [Parameter], gradients: &[Tensor], clipping: f32, rate: f64) {
        self.step += 1;
        let mut pieces = Vec::new();
        let gradients: Vec<Gradient> = gradients.iter().map(Gradient::of).collect();
        let moments = self.first.iter_mut().zip(&mut self.second).zip(&mut self.touched);
        for ((parameter, gradient), ((first, second), touched)) in parameters.iter_mut().zip(&gradients).zip(moments) {
            let decay = if parameter.value.dim() > 1 { self.decay } else { 0.0 };
            let factors = Factors::new(self.step, clipping, rate, decay);
            let width = parameter.value.size().last().map_or(1, |width| *width as usize);
            let values = memory::floats_mut(&mut parameter.value);
            let narrow = parameter.narrow.as_mut().map(memory::bf16_mut);
            let (first, second) = (memory::floats_mut(first), memory::floats_mut(second));
            match &gradient.rows {
                None => {
                    let numbers = memory::numbers(&gradient.values);
                    pieces.extend(dense_pieces((values, narrow), numbers, (first, second), factors));
                }
                Some(rows) => {
                    let floats = memory::floats(&gradient.values);
                    let touched = touched.get_or_insert_with(|| match self.step {
                        1 => Touched::none(values.len() / width, width),
                        _ => Touched::of(first, second, width),
                    });
                    pieces.extend(touched.pieces(values, (rows, floats), (first, second), factors));
                }
            }
        }
        in_parallel(pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradients::by_rows;

    #[test]
    fn the_fused_step_is_the_step() {
        let parameters = || {
            let value = |shape: &[i64]| {
                let count = shape.iter().product::<i64>();
                Tensor::arange(count, (Kind::Float, Device::Cpu)).sin().view(shape)
            };
            [&[5, 7][..], &[11]].map(|shape| Parameter::new(String::new(), value(shape).set_requires_grad(true)))
        };
        let (mut ours, fused) = (parameters(), parameters());
        let (mut one, mut other) = (AdamW::new(&ours, 0.1), AdamW::new(&fused, 0.1));
        for (step, limit) in [(1, 1.0), (2, 0.0), (3, 0.5)] {
            let gradients = || ours_gradients(step);
            let (g, h) = (gradients(), gradients());
            let norm = one.clipped_step(&mut ours, &g, limit, 1e-2).unwrap();
            let same = other.fused_step(&fused, &h, limit, 1e-2).unwrap();
            assert!((norm.double_value(&[]) - same.double_value(&[])).abs() < 1e-5);
        }
        for (ours, fused) in ours.iter().zip(&fused) {
            assert!((&ours.value - &fused.value).abs().max().double_value(&[]) < 1e-6);
        }
        let before = fused[0].value.copy();
        let broken = [
            Tensor::ones([5, 7], (Kind::Float, Device::Cpu)) * f64::NAN,
            Tensor::ones([11], (Kind::Float, Device::Cpu)),
        ];
        assert!(
            !other
                .fused_step(&fused, &broken, 1.0, 1e-2)
                .unwrap()
                .double_value(&[])
                .is_finite()
        );
        assert!(before.equal(&fused[0].value));
    }

    fn ours_gradients(step: i32) -> Vec<Tensor> {
        let gradient = |shape: &[i64]| {
            let count = shape.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * f64::from(step))
                .cos()
                .view(shape)
        };
        vec![gradient(&[5, 7]), gradient(&[11])]
    }

    #[test]
    fn numbers_of_bf16_follow_the_values_to_the_bit() {
        let count = (1 << 16) + 3;
        let value = || Tensor::arange(count, (Kind::Float, Device::Cpu)).sin().view([1, count]);
        let mut plain = [Parameter::new(String::new(), value())];
        let mut kept = [Parameter::new(String::new(), value())];
        let narrow = kept[0].narrow().unwrap();
        let (mut one, mut other) = (AdamW::new(&plain, 0.1), AdamW::new(&kept, 0.1));
        for step in 1..=3 {
            let gradient = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * f64::from(step)).cos();
            let gradient = gradient.view([1, count]).to_kind(Kind::BFloat16);
            let wide = gradient.to_kind(Kind::Float);
            let norm = one.clipped_step(&mut plain, &[wide], 1.0, 1e-2).unwrap();
            let same = other.clipped_step(&mut kept, &[gradient], 1.0, 1e-2).unwrap();
            assert_eq!(norm, same);
            assert!(plain[0].value.equal(&kept[0].value));
            assert!(narrow.equal(&plain[0].value.to_kind(Kind::BFloat16)));
        }
        no_grad(|| kept[0].value.copy_(&value()));
        kept[0].renew(Kind::BFloat16);
        assert!(narrow.equal(&value().to_kind(Kind::BFloat16)) && kept[0].leaf().equal(&narrow));
        kept[0].renew(Kind::Float);
        assert!(kept[0].leaf().equal(&value()));
    }

    #[test]
    fn gradients_of_bf16_are_added_in_fp32() {
        let of = |value: f64| Tensor::full([3], value, (Kind::BFloat16, Device::Cpu));
        let mut sum = [of(1.0)];
        accumulate(&mut sum, &[of(2_f64.powi(-10))]);
        accumulate(&mut sum, &[of(2_f64.powi(-11))]);
        let expected = 1.0 + 2_f32.powi(-10) + 2_f32.powi(-11);
        assert_eq!(memory::floats(&sum[0]), [expected; 3]);
    }

    #[test]
    fn a_gradient_by_rows_gives_the_bits_of_a_whole_one() {
        for decay in [0.0, 0.1] {
            let parameters = || {
                let value = Tensor::arange(9 * 4, (Kind::Float, Device::Cpu)).sin().view([9, 4]);
                vec![Parameter::new(String::new(), value)]
            };
            let (mut rows, mut whole) = (parameters(), parameters());
            let (mut one, mut other) = (AdamW::new(&rows, decay), AdamW::new(&whole, decay));
            for step in 1..=6 {
                let gradient = by_rows(&rows[0].value, step);
                other.step(&mut whole, &[gradient.to_dense(None, false)], 0.3, 1e-2);
                one.step(&mut rows, &[gradient], 0.3, 1e-2);
                if step == 3 {
                    // As after a checkpoint: which rows were touched is known by the moments.
                    one.resume_at(3);
                }
            }
            assert_eq!(memory::floats(&rows[0].value), memory::floats(&whole[0].value));
            assert_eq!(memory::floats(&one.first[0]), memory::floats(&other.first[0]));
            assert_eq!(memory::floats(&one.second[0]), memory::floats(&other.second[0]));
        }
    }
}
