//! MPNet (Song et al., 2020) as `transformers.models.mpnet` has it: RoBERTa's positions, no types, and a bias for the
//! distance between two tokens that all layers share.

use super::activation::Activation;
use super::embeddings::{Embeddings, PositionIds, TokenTypes};
use super::heads::{FirstToken, Head};
use super::layers::Embedding;
use super::transformer_layer::{self, LayerNames, TransformerLayer};
use super::{Config, Encoder, Family, HeadKind, Loader, attention};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use tch::{Device, Kind, Tensor};

pub(super) const FAMILIES: &[Family] = &[Family {
    model_type: "mpnet",
    prefix: "mpnet.",
    class_stem: "MPNet",
    text_classifier: "classifier.out_proj",
    token_classifier: "classifier",
    positions: PositionIds::After(1),
    renamed: &[],
    defaults: r#"{
        "vocab_size": 30527, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "relative_attention_num_buckets": 32, "pad_token_id": 1
    }"#,
    ignored: &[],
    load: |config, loader, head| Ok(Box::new(MpNet::load(config, loader, head)?)),
}];

/// `MPNetLayer`.
const LAYER: LayerNames = LayerNames {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
    attention_output_dropout: true,
    output_dropout: true,
};

/// Distances fall into so many buckets, whatever config.json says of the table's rows.
const BUCKETS: i64 = 32;

/// From this distance on they share one.
const FURTHEST: f64 = 128.0;

#[derive(Debug)]
struct MpNet {
    embeddings: Embeddings,
    layers: Vec<TransformerLayer>,
    relative_attention_bias: Embedding,
    head: Head,
}

impl MpNet {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        let hidden = config.size("hidden_size")?;
        let epsilon = config.number("layer_norm_eps")?;
        let dropout = config.dropout("hidden_dropout_prob")?;
        let classification_head = FirstToken {
            dropout_before: Some(dropout),
            dense: "classifier.dense",
            activation: Activation::Tanh,
            dropout,
        };
        let rows = config.size("relative_attention_num_buckets")?;
        if rows < BUCKETS {
            return Err(config.wrong("relative_attention_num_buckets", &format!("at least {BUCKETS}")));
        }
        let heads = config.heads("num_attention_heads", hidden)?;
        let model = Self {
            embeddings: Embeddings::load(config, loader, hidden, epsilon, TokenTypes::Without)?,
            layers: TransformerLayer::load_all(config, loader, "encoder.layer", &LAYER, epsilon)?,
            relative_attention_bias: Embedding::load(loader, "encoder.relative_attention_bias", rows, heads, -1),
            head: Head::load(loader, head, hidden, &classification_head, dropout),
        };
        loader.pass_on("pooler.dense");
        Ok(model)
    }

    /// For each head and pair of tokens, `[1, heads, tokens, tokens]`.
    fn bias(&self, tokens: i64, device: Device) -> Tensor {
        let bias = self.relative_attention_bias.forward(&buckets(tokens).to_device(device));
        bias.permute([2, 0, 1]).unsqueeze(0)
    }
}

/// `relative_position_bucket` of every pair of `tokens`: half of the buckets are for tokens ahead; in each half one bucket
/// for every small distance, then logarithmically wider ones. `[tokens, tokens]`.
fn buckets(tokens: i64) -> Tensor {
    let positions = Tensor::arange(tokens, (Kind::Int64, Device::Cpu));
    let behind = positions.unsqueeze(1) - positions.unsqueeze(0);
    let half = BUCKETS / 2;
    let exact = half / 2;
    let distance = behind.abs();
    let wide = (distance.to_kind(Kind::Float) / exact as f64).log() / (FURTHEST / exact as f64).ln();
    let wide = (wide * (half - exact) as f64).to_kind(Kind::Int64) + exact;
    let bucket = distance.where_self(&distance.lt(exact), &wide.clamp_max(half - 1));
    behind.lt(0).to_kind(Kind::Int64) * half + bucket
}

impl Encoder for MpNet {
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let x = self.embeddings.forward(batch, dropout);
        let distance = self.bias(batch.ids.size()[1], batch.ids.device());
        let bias = match attention::bias(batch) {
            Some(padding) => distance + padding,
            None => distance,
        };
        transformer_layer::forward_all(&self.layers, x, self.head.reads(), Some(&bias), dropout, tape)
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        self.head.logits(hidden, dropout)
    }
}
