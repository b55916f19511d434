//! Rows to batches: which rows come together, and how they are padded.

use crate::random::Random;
use crate::tokens::Row;
use tch::{Device, Kind, Tensor};

/// Target of a position that does not count (PyTorch's `ignore_index`).
pub const IGNORED: i64 = -100;

/// One row with what the model shall say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its tokens.
    pub row: Row,
    /// Label ids: one for a text, one a token (or [`IGNORED`]) for a sentence; empty where there is no gold.
    pub targets: Vec<i64>,
}

/// Rows of one forward pass, padded to the longest of them.
#[derive(Debug)]
pub struct Batch {
    /// Token ids, `[rows, tokens]`.
    pub ids: Tensor,
    /// Token types, likewise.
    pub types: Tensor,
    /// 1 at tokens, 0 at padding, likewise.
    pub mask: Tensor,
    /// `[rows]`, or `[rows, tokens]` padded with [`IGNORED`]; empty where there is no gold.
    pub targets: Tensor,
    /// Rows.
    pub rows: u64,
    /// Tokens without padding.
    pub tokens: u64,
    /// What the layers compute in. Their sums are fp32 in any case.
    pub kind: Kind,
}

impl Batch {
    /// Pads `examples` with the token `padding`.
    #[must_use]
    pub fn new(examples: &[&Example], padding: i64) -> Self {
        let longest = |lengths: &dyn Fn(&Example) -> usize| examples.iter().map(|e| lengths(e)).max().unwrap_or(0);
        let tokens = longest(&|e| e.row.ids.len());
        let ids = padded(
            examples.iter().map(|e| e.row.ids.iter().map(|id| i64::from(*id))),
            tokens,
            padding,
        );
        let types = padded(
            examples.iter().map(|e| e.row.types.iter().map(|id| i64::from(*id))),
            tokens,
            0,
        );
        let mask = padded(examples.iter().map(|e| e.row.ids.iter().map(|_| 1)), tokens, 0);
        let width = longest(&|e| e.targets.len());
        let targets = padded(examples.iter().map(|e| e.targets.iter().copied()), width, IGNORED);
        Self {
            ids,
            types,
            mask,
            targets: if width == 1 { targets.squeeze_dim(1) } else { targets },
            rows: examples.len() as u64,
            tokens: examples.iter().map(|e| e.row.ids.len() as u64).sum(),
            kind: Kind::Float,
        }
    }

    /// The same on `device`. Nothing waits for a copy to a GPU.
    #[must_use]
    pub fn on(self, device: Device) -> Self {
        if device == self.ids.device() {
            return self;
        }
        let copied = |tensor: &Tensor| match device {
            Device::Cuda(_) => tensor.pin_memory(device).to_device_(device, tensor.kind(), true, false),
            _ => tensor.to_device(device),
        };
        Self {
            ids: copied(&self.ids),
            types: copied(&self.types),
            mask: copied(&self.mask),
            targets: copied(&self.targets),
            ..self
        }
    }

    /// Has a row tokens that are padding?
    #[must_use]
    pub fn is_padded(&self) -> bool {
        self.tokens != self.ids.numel() as u64
    }
}

fn padded(rows: impl ExactSizeIterator<Item = impl Iterator<Item = i64>>, width: usize, filler: i64) -> Tensor {
    let count = rows.len();
    let mut values = Vec::with_capacity(count * width);
    for (done, row) in rows.enumerate() {
        values.extend(row);
        values.resize((done + 1) * width, filler);
    }
    Tensor::from_slice(&values).view([count as i64, width as i64])
}

/// Batches whose lengths are near are cut from so many batches' worth of shuffled rows (as `transformers`'
/// `group_by_length` does).
const GROUP: usize = 50;

/// The batches of one epoch, as indices into rows of these token `lengths`: every row once, a pure function of `seed`
/// and `epoch`. Rows of a batch have near lengths, which spares padding; the order of the batches is random.
#[must_use]
pub fn shuffled(lengths: &[usize], size: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut random = Random::at(seed, &[u64::MAX - 1, epoch]);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    random.shuffle(&mut order);
    for group in order.chunks_mut(size * GROUP) {
        group.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(size).map(<[usize]>::to_vec).collect();
    random.shuffle(&mut batches);
    batches
}

/// The batches of an evaluation: longest rows first.
#[must_use]
pub fn by_length(lengths: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    order.chunks(size).map(<[usize]>::to_vec).collect()
}

/// The same with as many rows a batch as have `tokens` tokens with their padding, and at least one.
#[must_use]
pub fn by_tokens(lengths: &[usize], tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    let mut batches = Vec::new();
    let mut rest = &order[..];
    while let Some(longest) = rest.first() {
        let rows = (tokens / lengths[*longest].max(1)).clamp(1, rest.len());
        let (batch, others) = rest.split_at(rows);
        batches.push(batch.to_vec());
        rest = others;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example(ids: &[u32], targets: &[i64]) -> Example {
        Example {
            row: Row {
                ids: ids.to_vec(),
                types: vec![0; ids.len()],
                words: vec![None; ids.len()],
            },
            targets: targets.to_vec(),
        }
    }

    #[test]
    fn rows_are_padded_to_the_longest() {
        let (short, long) = (example(&[5, 6], &[1, 2]), example(&[7, 8, 9], &[3, 4, 5]));
        let batch = Batch::new(&[&short, &long], 0);
        assert_eq!(Vec::<Vec<i64>>::try_from(&batch.ids).unwrap(), [[5, 6, 0], [7, 8, 9]]);
        assert_eq!(Vec::<Vec<i64>>::try_from(&batch.mask).unwrap(), [[1, 1, 0], [1, 1, 1]]);
        assert_eq!(
            Vec::<Vec<i64>>::try_from(&batch.targets).unwrap(),
            [[1, 2, IGNORED], [3, 4, 5]]
        );
        assert_eq!((batch.rows, batch.tokens), (2, 5));
    }

    #[test]
    fn texts_have_one_target_a_row() {
        let rows = [example(&[1, 2], &[4]), example(&[3], &[0])];
        let batch = Batch::new(&[&rows[0], &rows[1]], 0);
        assert_eq!(Vec::<i64>::try_from(&batch.targets).unwrap(), [4, 0]);
    }

    proptest! {
        #[test]
        fn every_row_comes_once_an_epoch(lengths in prop::collection::vec(1_usize..200, 1..400), size in 1_usize..40, seed: u64) {
            let batches = shuffled(&lengths, size, seed, 3);
            prop_assert_eq!(&batches, &shuffled(&lengths, size, seed, 3));
            prop_assert_eq!(batches.len(), lengths.len().div_ceil(size));
            let mut rows: Vec<usize> = batches.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
        }

        #[test]
        fn batches_by_tokens_are_as_large_as_they_may_be(lengths in prop::collection::vec(0_usize..200, 0..400), tokens in 1_usize..500) {
            let batches = by_tokens(&lengths, tokens);
            prop_assert_eq!(batches.concat(), by_length(&lengths, lengths.len().max(1)).concat());
            for (number, batch) in batches.iter().enumerate() {
                let longest = lengths[batch[0]].max(1);
                prop_assert!(batch.len() == 1 || batch.len() * longest <= tokens);
                prop_assert!(number + 1 == batches.len() || (batch.len() + 1) * longest > tokens);
            }
        }
    }
}
