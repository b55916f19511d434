//! One step of AdamW as many small pieces of work, shared by threads.

use super::Factors;
use crate::bf16::{self, Bf16, Number, Numbers};
use crate::native::threads;

/// Elements of a piece of work, about.
const PIECE: usize = 1 << 15;

/// Elements that are updated together.
pub(super) struct Piece<'a> {
    values: &'a mut [f32],
    /// The same in bf16, where training computes with it.
    narrow: Option<&'a mut [Bf16]>,
    /// `None` is a gradient of zero, which moments outlive.
    gradient: Option<Numbers<'a>>,
    /// `None` where they are zero and stay so: only the decay is left.
    moments: Option<(&'a mut [f32], &'a mut [f32])>,
    factors: Factors,
}

/// All of a parameter: its values, and those in bf16 where there are such.
pub(super) fn dense_pieces<'a>(
    (values, narrow): (&'a mut [f32], Option<&'a mut [Bf16]>),
    gradient: Numbers<'a>,
    (first, second): (&'a mut [f32], &'a mut [f32]),
    factors: Factors,
) -> impl Iterator<Item = Piece<'a>> {
    let moments = first.chunks_mut(PIECE).zip(second.chunks_mut(PIECE));
    let mut narrow = narrow.map(|narrow| narrow.chunks_mut(PIECE));
    let all = values.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(moments);
    all.map(move |((values, gradient), moments)| Piece {
        values,
        narrow: narrow.as_mut().and_then(Iterator::next),
        gradient: Some(gradient),
        moments: Some(moments),
        factors,
    })
}

/// Which rows of a table ever had a gradient. The others have moments of zero, so that all of their update is the decay: to
/// leave it out is AdamW to the bit.
#[derive(Debug)]
pub(super) struct Touched {
    rows: Vec<bool>,
    width: usize,
}

impl Touched {
    /// Before the first step.
    pub(super) fn none(rows: usize, width: usize) -> Self {
        Self {
            rows: vec![false; rows],
            width,
        }
    }

    /// As the moments say, after a checkpoint.
    pub(super) fn of(first: &[f32], second: &[f32], width: usize) -> Self {
        let moments = first.chunks(width).zip(second.chunks(width));
        let any = |row: &[f32]| row.iter().any(|x| *x != 0.0);
        Self {
            rows: moments.map(|(first, second)| any(first) || any(second)).collect(),
            width,
        }
    }

    /// What is to be done for all rows of the table.
    pub(super) fn pieces<'a>(
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
                    narrow: None,
                    gradient: gradient.map(Numbers::Fp32),
                    moments: touched.then_some(moments),
                    factors,
                });
            }
        }
        pieces
    }
}

/// As many threads as libtorch uses, each with about as much to do.
pub(super) fn in_parallel(mut pieces: Vec<Piece<'_>>) {
    let threads = tch::get_num_threads().max(1) as usize;
    let total: usize = pieces.iter().map(|piece| piece.values.len()).sum();
    let share = total.div_ceil(threads).max(PIECE);
    let mut shares = Vec::new();
    while let Some(last) = pieces.last() {
        let mut size = last.values.len();
        let mut from = pieces.len() - 1;
        while from > 0 && size < share {
            from -= 1;
            size += pieces[from].values.len();
        }
        shares.push(pieces.split_off(from));
    }
    threads::for_each(shares, |share| share.into_iter().for_each(Piece::update));
}

impl Piece<'_> {
    fn update(self) {
        let zeros;
        let gradient = match self.gradient {
            Some(gradient) => gradient,
            None => {
                zeros = vec![0.0; self.values.len()];
                Numbers::Fp32(&zeros)
            }
        };
        match (self.moments, gradient) {
            (Some((first, second)), Numbers::Fp32(g)) => update(self.values, g, first, second, self.factors),
            (Some((first, second)), Numbers::Bf16(g)) => update(self.values, g, first, second, self.factors),
            (None, _) => self.values.iter_mut().for_each(|p| *p *= self.factors.keep),
        }
        if let Some(narrow) = self.narrow {
            bf16::narrow(self.values, narrow);
        }
    }
}

// Without contraction of products and sums, the bits are the same at any width of vectors.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn update<T: Number>(p: &mut [f32], g: &[T], m: &mut [f32], v: &mut [f32], f: Factors) {
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = g.wide() * f.clipping;
        *m += f.weight1 * (g - *m);
        *v = *v * f.beta2 + f.weight2 * g * g;
        *p = *p * f.keep - f.size * *m / (v.sqrt() / f.root + f.epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn threads_share_the_work_and_give_the_bits_of_one() {
        let tensor = |scale: f64| Tensor::arange((1 << 19) + 7, (Kind::Float, Device::Cpu)).sin() * scale;
        let (gradient, mut shared, mut whole) = (tensor(0.1), tensor(1.0), tensor(1.0));
        let moments = || (vec![0.0; (1 << 19) + 7], vec![0.0; (1 << 19) + 7]);
        let factors = Factors::new(1, 0.7, 1e-3, 0.01);
        let g = memory::floats(&gradient);
        let (mut m, mut v) = moments();
        let values = (memory::floats_mut(&mut shared), None);
        in_parallel(dense_pieces(values, Numbers::Fp32(g), (&mut m, &mut v), factors).collect());
        let (mut m, mut v) = moments();
        update(memory::floats_mut(&mut whole), g, &mut m, &mut v, factors);
        assert_eq!(memory::floats(&shared), memory::floats(&whole));
    }
}
