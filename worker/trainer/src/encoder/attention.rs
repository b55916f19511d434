//! Multi-head scaled dot-product attention (Vaswani et al., 2017), shared by the families.

use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::native::attention as native;
use tch::{Device, Kind, Tensor};

/// What is added to attention scores: 0 at tokens, the smallest fp32 at padding; `[rows, 1, 1, tokens]`. `None` where there
/// is no padding, for attention in fp32 is faster without.
pub(crate) fn bias(batch: &Batch) -> Option<Tensor> {
    if !batch.is_padded() {
        return None;
    }
    let padding: Tensor = batch.mask.to_kind(Kind::Float) * -1.0 + 1.0;
    Some((padding * f64::from(f32::MIN)).unsqueeze(1).unsqueeze(1))
}

/// Attention of `query`, `key` and `value`, each `[rows, tokens, hidden]`, in `heads` parts of the hidden size; dropout
/// with `probability` is on the attention weights. There may be queries of some tokens only.
pub(crate) fn attend(
    [query, key, value]: [Tensor; 3],
    heads: i64,
    bias: Option<&Tensor>,
    probability: f64,
    dropout: &mut Dropout,
) -> Tensor {
    let [rows, tokens, hidden] = [query.size()[0], query.size()[1], query.size()[2]];
    if let Some(bias) = of_keys(&query, rows, key.size()[1], bias) {
        let mask = dropout.mask(&[rows, heads, tokens, bias.size()[1]], probability);
        return native::attend([&query, &key, &value], heads, &bias, mask.as_ref());
    }
    let split = |x: Tensor| x.view([rows, -1, heads, hidden / heads]).transpose(1, 2);
    let [query, key, value] = [query, key, value].map(split);
    let mixed = if query.device().is_cuda() {
        fused(&query, &key, &value, bias, dropout.within(probability))
    } else {
        plain(&query, &key, &value, bias, probability, dropout)
    };
    mixed.transpose(1, 2).contiguous().view([rows, tokens, hidden])
}

/// The `bias` of each key of `query`'s rows, for [`native::attend`]: `[rows, keys]`, of as many keys as its tables have. `None`
/// where that is not for such numbers, or not for such a bias: one that is not the same for all queries or is trained.
fn of_keys(query: &Tensor, rows: i64, tokens: i64, bias: Option<&Tensor>) -> Option<Tensor> {
    if query.device().is_cuda() || query.kind() != Kind::BFloat16 {
        return None;
    }
    if bias.is_some_and(|bias| bias.size() != [rows, 1, 1, tokens] || bias.requires_grad()) {
        return None;
    }
    let lanes = native::LANES as i64;
    let keys = (tokens.max(1) + lanes - 1) / lanes * lanes;
    let all = Tensor::full([rows, keys], f64::from(f32::MIN), (Kind::Float, Device::Cpu));
    let mut of_tokens = all.narrow(1, 0, tokens);
    match bias {
        Some(bias) => of_tokens.copy_(&bias.view([rows, tokens])),
        None => drop(of_tokens.fill_(0.0)),
    }
    Some(all)
}

/// On CPUs faster than libtorch's fused operation for short texts.
fn plain(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    bias: Option<&Tensor>,
    probability: f64,
    dropout: &mut Dropout,
) -> Tensor {
    let size = query.size()[3];
    // In place: a table is as large as all that a layer computes besides, and the way back needs none but softmax's.
    let mut scores = query.matmul(&key.transpose(-2, -1)).g_div_scalar_((size as f64).sqrt());
    if let Some(bias) = bias {
        // fp32 where the bias is, as ever.
        scores = match scores.kind() == bias.kind() {
            true => scores.g_add_(bias),
            false => scores + bias,
        };
    }
    dropout.mix(scores.softmax(-1, Kind::Float), value, probability)
}

/// Flash attention, or the memory-efficient one where there is a `bias`.
fn fused(query: &Tensor, key: &Tensor, value: &Tensor, bias: Option<&Tensor>, probability: f64) -> Tensor {
    let bias = bias.map(|bias| bias.to_kind(query.kind()));
    Tensor::scaled_dot_product_attention(query, key, value, bias, probability, false, None, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same() {
        tch::manual_seed(3);
        let [query, key, value] = [(); 3].map(|()| Tensor::randn([2, 3, 7, 4], (Kind::Float, Device::Cpu)));
        let padding = Tensor::from_slice(&[0.0_f32, 0.0, 0.0, 0.0, 0.0, f32::MIN, f32::MIN]).view([1, 1, 1, 7]);
        for bias in [None, Some(&padding)] {
            let one = plain(&query, &key, &value, bias, 0.1, &mut Dropout::off());
            let other = fused(&query, &key, &value, bias, 0.0);
            assert!((one - other).abs().max().double_value(&[]) < 1e-6);
        }
    }
}
