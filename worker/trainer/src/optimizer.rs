//! AdamW (Loshchilov and Hutter, 2019) with moments that can be saved, equal to `torch.optim.AdamW` up to rounding.

use crate::failure::Result;
use crate::memory;
use crate::native;
use tch::{Device, Kind, Tensor, no_grad};

/// A named tensor that is trained.
#[derive(Debug)]
pub struct Parameter {
    /// Its name in the checkpoint.
    pub name: String,
    /// Contiguous fp32; shares its storage with the layer that uses it.
    pub value: Tensor,
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
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The numbers of one step, rounded to fp32 once, from f64 (as PyTorch does: `1.0_f32 - 0.999_f32` is 1e-5 off).
#[derive(Clone, Copy)]
struct Factors {
    weight1: f32,
    beta2: f32,
    weight2: f32,
    keep: f32,
    size: f32,
    root: f32,
    epsilon: f32,
}

impl Factors {
    fn new(step: u64, rate: f64, decay: f64) -> Self {
        let step = step as f64;
        Self {
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
        let zeros = || parameters.iter().map(|p| no_grad(|| p.value.zeros_like())).collect();
        Self {
            decay,
            step: 0,
            first: zeros(),
            second: zeros(),
        }
    }

    /// Clips `gradients` to the norm `limit` (0: not) and takes a step along them. Gives their norm before, a scalar where
    /// the parameters are. On a GPU nothing waits for it, and a step along what is not finite is left out.
    ///
    /// # Errors
    ///
    /// Where the GPU fails.
    pub fn clipped_step(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &mut [Tensor],
        limit: f64,
        rate: f64,
    ) -> Result<Tensor> {
        if parameters.iter().all(|p| p.value.device() == Device::Cpu) {
            let norm = clip(gradients, limit);
            self.step(parameters, gradients, rate);
            return Ok(Tensor::from(norm));
        }
        self.fused_step(parameters, gradients, limit, rate)
    }

    /// The same by libtorch's fused operations.
    fn fused_step(&mut self, parameters: &[Parameter], gradients: &[Tensor], limit: f64, rate: f64) -> Result<Tensor> {
        self.step += 1;
        let norm = native::norm(gradients)?;
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
            let group = native::Group {
                values: of(&values),
                gradients: of(gradients),
                first: of(&self.first),
                second: of(&self.second),
            };
            let numbers = native::Step {
                rate,
                betas: (BETA1, BETA2),
                decay: if decays { self.decay } else { 0.0 },
                epsilon: EPSILON,
            };
            native::adamw(&group, &step, numbers, &scale, &skip)?;
        }
        Ok(norm)
    }

    /// One step at `rate` along `gradients`, which are in the order of `parameters`.
    pub fn step(&mut self, parameters: &mut [Parameter], gradients: &[Tensor], rate: f64) {
        self.step += 1;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, gradient), (first, second)) in parameters.iter_mut().zip(gradients).zip(moments) {
            let decay = if parameter.value.dim() > 1 { self.decay } else { 0.0 };
            let factors = Factors::new(self.step, rate, decay);
            let values = memory::floats_mut(&mut parameter.value);
            let (first, second) = (memory::floats_mut(first), memory::floats_mut(second));
            in_two_threads(values, memory::floats(gradient), first, second, factors);
        }
    }
}

/// Large tensors are halved between two threads; every element is on its own, so the bits do not depend on it.
fn in_two_threads(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], factors: Factors) {
    if p.len() < 1 << 18 {
        return update(p, g, m, v, factors);
    }
    let half = p.len() / 2;
    let (p, p2) = p.split_at_mut(half);
    let (g, g2) = g.split_at(half);
    let (m, m2) = m.split_at_mut(half);
    let (v, v2) = v.split_at_mut(half);
    std::thread::scope(|scope| {
        scope.spawn(|| update(p2, g2, m2, v2, factors));
        update(p, g, m, v, factors);
    });
}

fn update(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], f: Factors) {
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        *m += f.weight1 * (g - *m);
        *v = *v * f.beta2 + f.weight2 * g * g;
        *p = *p * f.keep - f.size * *m / (v.sqrt() / f.root + f.epsilon);
    }
}

/// Scales `gradients` down so that their global 2-norm is at most `limit` (`torch.nn.utils.clip_grad_norm_`); 0 leaves
/// them. Returns the norm before. Sums of fixed blocks are added in f64, so the bits do not depend on threads.
pub fn clip(gradients: &mut [Tensor], limit: f64) -> f64 {
    let square = |g: &Tensor| {
        let blocks = memory::floats(g).chunks(1 << 14);
        blocks.map(sum_of_squares).sum::<f64>()
    };
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    let scale = limit / (norm + 1e-6);
    if limit > 0.0 && scale < 1.0 {
        no_grad(|| {
            for gradient in gradients {
                let _ = gradient.g_mul_scalar_(scale);
            }
        });
    }
    norm
}

fn sum_of_squares(block: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; 16];
    for chunk in block.chunks(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x * x;
        }
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum()
}

/// Adds the gradients of another batch of the same step.
pub fn accumulate(sum: &mut [Tensor], more: &[Tensor]) {
    no_grad(|| {
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum += more;
        }
    });
}

/// Gradients of `loss` in the order of `parameters`, contiguous fp32; zero for a parameter that `loss` does not depend on.
pub fn gradients(loss: &Tensor, parameters: &[Parameter]) -> Result<Vec<Tensor>> {
    let leaves: Vec<&Tensor> = parameters.iter().map(|p| &p.value).collect();
    let gradients = Tensor::f_run_backward(&[loss], &leaves, false, false)?;
    let gradient = |(gradient, parameter): (&Tensor, &Parameter)| match gradient.defined() {
        true => gradient.to_kind(Kind::Float).contiguous(),
        false => no_grad(|| parameter.value.zeros_like()),
    };
    Ok(gradients.iter().zip(parameters).map(gradient).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn gradients_are_clipped_to_the_global_norm() {
        let mut gradients = vec![Tensor::from_slice(&[3.0_f32, 0.0]), Tensor::from_slice(&[4.0_f32])];
        assert!((clip(&mut gradients, 0.0) - 5.0).abs() < 1e-12);
        assert_eq!(memory::floats(&gradients[1]), [4.0]);
        assert!((clip(&mut gradients, 1.0) - 5.0).abs() < 1e-12);
        assert!((clip(&mut gradients, 0.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_fused_step_is_the_step() {
        let parameters = || {
            let value = |shape: &[i64]| {
                let count = shape.iter().product::<i64>();
                Tensor::arange(count, (Kind::Float, Device::Cpu)).sin().view(shape)
            };
            [&[5, 7][..], &[11]].map(|shape| Parameter {
                name: String::new(),
                value: value(shape).set_requires_grad(true),
            })
        };
        let (mut ours, fused) = (parameters(), parameters());
        let (mut one, mut other) = (AdamW::new(&ours, 0.1), AdamW::new(&fused, 0.1));
        for (step, limit) in [(1, 1.0), (2, 0.0), (3, 0.5)] {
            let gradients = || ours_gradients(step);
            let (mut g, h) = (gradients(), gradients());
            let norm = one.clipped_step(&mut ours, &mut g, limit, 1e-2).unwrap();
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
    fn two_threads_give_the_bits_of_one() {
        let tensor = |scale: f64| Tensor::arange(1 << 19, (Kind::Float, Device::Cpu)).sin() * scale;
        let (gradient, mut halves, mut whole) = (tensor(0.1), tensor(1.0), tensor(1.0));
        let moments = || (vec![0.0; 1 << 19], vec![0.0; 1 << 19]);
        let factors = Factors::new(1, 1e-3, 0.01);
        let g = memory::floats(&gradient);
        let (mut m, mut v) = moments();
        in_two_threads(memory::floats_mut(&mut halves), g, &mut m, &mut v, factors);
        let (mut m, mut v) = moments();
        update(memory::floats_mut(&mut whole), g, &mut m, &mut v, factors);
        assert_eq!(memory::floats(&halves), memory::floats(&whole));
    }
}
