//! AdamW (Loshchilov and Hutter, 2019) with moments that can be saved, equal to `torch.optim.AdamW` up to rounding.

use crate::memory;
use tch::{Kind, Tensor, no_grad};

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
pub fn gradients(loss: &Tensor, parameters: &[Parameter]) -> crate::failure::Result<Vec<Tensor>> {
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
    use tch::Device;

    #[test]
    fn gradients_are_clipped_to_the_global_norm() {
        let mut gradients = vec![Tensor::from_slice(&[3.0_f32, 0.0]), Tensor::from_slice(&[4.0_f32])];
        assert!((clip(&mut gradients, 0.0) - 5.0).abs() < 1e-12);
        assert_eq!(memory::floats(&gradients[1]), [4.0]);
        assert!((clip(&mut gradients, 1.0) - 5.0).abs() < 1e-12);
        assert!((clip(&mut gradients, 0.0) - 1.0).abs() < 1e-6);
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
