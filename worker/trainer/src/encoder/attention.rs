//! Multi-head scaled dot-product attention (Vaswani et al., 2017), shared by the families.

use crate::batches::Batch;
use crate::dropout::Dropout;
use tch::{Kind, Tensor};

/// What is added to attention scores: 0 at tokens, the smallest fp32 at padding; `[rows, 1, 1, tokens]`.
pub(crate) fn bias(batch: &Batch) -> Tensor {
    let padding: Tensor = batch.mask.to_kind(Kind::Float) * -1.0 + 1.0;
    (padding * f64::from(f32::MIN)).unsqueeze(1).unsqueeze(1)
}

/// Attention of `query`, `key` and `value`, each `[rows, tokens, hidden]`, in `heads` parts of the hidden size; dropout
/// with `probability` is on the attention weights.
pub(crate) fn attend(
    [query, key, value]: [Tensor; 3],
    heads: i64,
    bias: &Tensor,
    probability: f64,
    dropout: &mut Dropout,
) -> Tensor {
    let [rows, tokens, hidden] = [query.size()[0], query.size()[1], query.size()[2]];
    let size = hidden / heads;
    let split = |x: Tensor| x.view([rows, tokens, heads, size]).transpose(1, 2);
    let scores = split(query).matmul(&split(key).transpose(-2, -1)) / (size as f64).sqrt() + bias;
    let weights = dropout.apply(scores.softmax(-1, Kind::Float), probability);
    let mixed = weights.matmul(&split(value));
    mixed.transpose(1, 2).contiguous().view([rows, tokens, hidden])
}
