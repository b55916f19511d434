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
    /// Of parameters whose gradients come by rows.
    touched: Vec<Option<Touched>>,
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
            touched: parameters.iter().map(|_| None).collect(),
        }
    }

    /// Goes on after `step` steps; the moments have been filled with those of then.
    pub(crate) fn resume_at(&mut self, step: u64) {
        self.step = step;
        self.touched.fill_with(|| None);
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

    /// One step at `rate` along `gradients`, which are in the order of `parameters`. Every element is on its own, so the
    /// bits depend neither on threads nor on whether a gradient comes by rows.
    pub fn step(&mut self, parameters: &mut [Parameter], gradients: &[Tensor], rate: f64) {
        self.step += 1;
        let mut pieces = Vec::new();
        let gradients: Vec<Gradient> = gradients.iter().map(Gradient::of).collect();
        let moments = self.first.iter_mut().zip(&mut self.second).zip(&mut self.touched);
        for ((parameter, gradient), ((first, second), touched)) in parameters.iter_mut().zip(&gradients).zip(moments) {
            let decay = if parameter.value.dim() > 1 { self.decay } else { 0.0 };
            let factors = Factors::new(self.step, rate, decay);
            let width = parameter.value.size().last().map_or(1, |width| *width as usize);
            let values = memory::floats_mut(&mut parameter.value);
            let (first, second) = (memory::floats_mut(first), memory::floats_mut(second));
            let floats = memory::floats(&gradient.values);
            match &gradient.rows {
                None => pieces.extend(dense_pieces(values, floats, (first, second), factors)),
                Some(rows) => {
                    let touched = touched.get_or_insert_with(|| Touched::of(first, second, width));
                    pieces.extend(touched.pieces(values, (rows, floats), (first, second), factors));
                }
            }
        }
        in_parallel(pieces);
    }
}

/// Elements of a piece of work, about.
const PIECE: usize = 1 << 15;

/// Elements that are updated together.
struct Piece<'a> {
    values: &'a mut [f32],
    /// `None` is a gradient of zero, which moments outlive.
    gradient: Option<&'a [f32]>,
    /// `None` where they are zero and stay so: only the decay is left.
    moments: Option<(&'a mut [f32], &'a mut [f32])>,
    factors: Factors,
}

fn dense_pieces<'a>(
    values: &'a mut [f32],
    gradient: &'a [f32],
    (first, second): (&'a mut [f32], &'a mut [f32]),
    factors: Factors,
) -> impl Iterator<Item = Piece<'a>> {
    let moments = first.chunks_mut(PIECE).zip(second.chunks_mut(PIECE));
    let all = values.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(moments);
    all.map(move |((values, gradient), moments)| Piece {
        values,
        gradient: Some(gradient),
        moments: Some(moments),
        factors,
    })
}

/// What is not zero of a gradient.
struct Gradient {
    /// In rising order, where the gradient comes by rows.
    rows: Option<Vec<usize>>,
    values: Tensor,
}

impl Gradient {
    fn of(gradient: &Tensor) -> Self {
        let ids = |gradient: &Tensor| {
            let indices = gradient.internal_indices();
            let mut ids = vec![0_i64; indices.numel()];
            indices.copy_data(&mut ids, indices.numel());
            ids.into_iter().map(|id| id as usize).collect()
        };
        Self {
            rows: gradient.is_sparse().then(|| ids(gradient)),
            values: values(gradient),
        }
    }
}

/// Which rows of a table ever had a gradient. The others have moments of zero, so that all of their update is the decay: to
/// leave it out is AdamW to the bit.
#[derive(Debug)]
struct Touched {
    rows: Vec<bool>,
    width: usize,
}

impl Touched {
    fn of(first: &[f32], second: &[f32], width: usize) -> Self {
        let moments = first.chunks(width).zip(second.chunks(width));
        let any = |row: &[f32]| row.iter().any(|x| *x != 0.0);
        Self {
            rows: moments.map(|(first, second)| any(first) || any(second)).collect(),
            width,
        }
    }

    /// What is to be done for all rows of the table.
    fn pieces<'a>(
        &mut self,
        values: &'a mut [f32],
        (ids, gradient): (&[usize], &'a [f32]),
        (first, second): (&'a mut [f32], &'a mut [f32]),
        factors: Factors,
    ) -> Vec<Piece<'a>> {
        let width = self.width;
        let mut with_gradient = ids.iter().zip(gradient.chunks(width)).peekable();
        let moments = first.chunks_mut(width).zip(second.chunks_mut(width));
        let rows = self.rows.iter_mut().zip(values.chunks_mut(width)).zip(moments);
        let mut pieces = Vec::new();
        for (id, ((touched, values), moments)) in rows.enumerate() {
            let gradient = with_gradient
                .next_if(|(row, _)| **row == id)
                .map(|(_, gradient)| gradient);
            *touched |= gradient.is_some();
            if *touched || factors.keep < 1.0 {
                pieces.push(Piece {
                    values,
                    gradient,
                    moments: touched.then_some(moments),
                    factors,
                });
            }
        }
        pieces
    }
}

/// As many threads as libtorch uses, each with about as much to do.
fn in_parallel(mut pieces: Vec<Piece<'_>>) {
    let threads = tch::get_num_threads().max(1) as usize;
    let total: usize = pieces.iter().map(|piece| piece.values.len()).sum();
    let share = total.div_ceil(threads).max(PIECE);
    std::thread::scope(|scope| {
        while let Some(last) = pieces.last() {
            let mut size = last.values.len();
            let mut from = pieces.len() - 1;
            while from > 0 && size < share {
                from -= 1;
                size += pieces[from].values.len();
            }
            let mine = pieces.split_off(from);
            match pieces.is_empty() {
                true => mine.into_iter().for_each(Piece::update),
                false => drop(scope.spawn(|| mine.into_iter().for_each(Piece::update))),
            }
        }
    });
}

impl Piece<'_> {
    fn update(self) {
        let zeros;
        let gradient = match self.gradient {
            Some(gradient) => gradient,
            None => {
                zeros = vec![0.0; self.values.len()];
                &zeros
            }
        };
        match self.moments {
            Some((first, second)) => update(self.values, gradient, first, second, self.factors),
            None => self.values.iter_mut().for_each(|p| *p *= self.factors.keep),
        }
    }
}

// Without contraction of products and sums, the bits are the same at any width of vectors.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
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
        let values = values(g);
        let blocks = memory::floats(&values).chunks(1 << 14);
        blocks.map(sum_of_squares).sum::<f64>()
    };
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    let scale = limit / (norm + 1e-6);
    if limit > 0.0 && scale < 1.0 {
        no_grad(|| {
            for gradient in gradients {
                let _ = values(gradient).g_mul_scalar_(scale);
            }
        });
    }
    norm
}

/// Those of a gradient that may not be zero.
fn values(gradient: &Tensor) -> Tensor {
    match gradient.is_sparse() {
        true => gradient.internal_values(),
        false => gradient.shallow_clone(),
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
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
            match sum.is_sparse() {
                true => *sum = (&*sum + more).coalesce(),
                false => *sum += more,
            }
        }
    });
}

/// Gradients of `loss` in the order of `parameters`, contiguous fp32; zero for a parameter that `loss` does not depend on.
/// That of a large table is a coalesced sparse tensor of the rows that were used.
pub fn gradients(loss: &Tensor, parameters: &[Parameter]) -> Result<Vec<Tensor>> {
    let leaves: Vec<&Tensor> = parameters.iter().map(|p| &p.value).collect();
    let gradients = Tensor::f_run_backward(&[loss], &leaves, false, false)?;
    let gradient = |(gradient, parameter): (&Tensor, &Parameter)| match gradient.defined() {
        true if gradient.is_sparse() => gradient.coalesce(),
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

    /// A gradient for three rows of `table`, two of them the same row.
    fn by_rows(table: &Tensor, step: i64) -> Tensor {
        let ids = Tensor::from_slice(&[step, 2, step]);
        let values = Tensor::arange(3 * 4, (Kind::Float, Device::Cpu)).cos().view([3, 4]) * step as f64;
        Tensor::sparse_coo_tensor_indices_size(
            &ids.unsqueeze(0),
            &values,
            table.size(),
            (Kind::Float, Device::Cpu),
            false,
        )
        .coalesce()
    }

    #[test]
    fn a_gradient_by_rows_gives_the_bits_of_a_whole_one() {
        for decay in [0.0, 0.1] {
            let parameters = || {
                let value = Tensor::arange(9 * 4, (Kind::Float, Device::Cpu)).sin().view([9, 4]);
                vec![Parameter {
                    name: String::new(),
                    value,
                }]
            };
            let (mut rows, mut whole) = (parameters(), parameters());
            let (mut one, mut other) = (AdamW::new(&rows, decay), AdamW::new(&whole, decay));
            for step in 1..=6 {
                let gradient = by_rows(&rows[0].value, step);
                other.step(&mut whole, &[gradient.to_dense(None, false)], 1e-2);
                one.step(&mut rows, &[gradient], 1e-2);
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

    #[test]
    fn gradients_by_rows_are_clipped_and_added_as_whole_ones_are() {
        let table = Tensor::zeros([9, 4], (Kind::Float, Device::Cpu));
        let mut rows = vec![by_rows(&table, 1)];
        accumulate(&mut rows, &[by_rows(&table, 5)]);
        let dense = |g: &Tensor| g.to_dense(None, false);
        let mut whole = vec![dense(&by_rows(&table, 1)) + dense(&by_rows(&table, 5))];
        assert!(dense(&rows[0]).equal(&whole[0]));
        let (norm, same) = (clip(&mut rows, 0.5), clip(&mut whole, 0.5));
        assert!((norm - same).abs() < 1e-6 && norm > 0.5);
        assert!((dense(&rows[0]) - &whole[0]).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn threads_share_the_work_and_give_the_bits_of_one() {
        let tensor = |scale: f64| Tensor::arange((1 << 19) + 7, (Kind::Float, Device::Cpu)).sin() * scale;
        let (gradient, mut shared, mut whole) = (tensor(0.1), tensor(1.0), tensor(1.0));
        let moments = || (vec![0.0; (1 << 19) + 7], vec![0.0; (1 << 19) + 7]);
        let factors = Factors::new(1, 1e-3, 0.01);
        let g = memory::floats(&gradient);
        let (mut m, mut v) = moments();
        in_parallel(dense_pieces(memory::floats_mut(&mut shared), g, (&mut m, &mut v), factors).collect());
        let (mut m, mut v) = moments();
        update(memory::floats_mut(&mut whole), g, &mut m, &mut v, factors);
        assert_eq!(memory::floats(&shared), memory::floats(&whole));
    }
}
