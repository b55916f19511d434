//! ALBERT (Lan et al., 2019) as `transformers.models.albert` has it: layers share their weights in groups.

use super::activation::Activation;
use super::embeddings::{Embeddings, PositionIds, TokenTypes};
use super::heads::{FirstToken, Head};
use super::layers::Linear;
use super::transformer_layer::{self, LayerNames, TransformerLayer, Wanted};
use super::{Config, Encoder, Family, HeadKind, Loader, attention};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use tch::Tensor;

pub(super) const FAMILIES: &[Family] = &[Family {
    model_type: "albert",
    prefix: "albert.",
    class_stem: "Albert",
    text_classifier: "classifier",
    token_classifier: "classifier",
    positions: PositionIds::FromZero,
    renamed: &[],
    defaults: r#"{
        "vocab_size": 30000, "embedding_size": 128, "hidden_size": 4096, "num_hidden_layers": 12,
        "num_hidden_groups": 1, "num_attention_heads": 64, "intermediate_size": 16384, "inner_group_num": 1,
        "hidden_act": "gelu_new", "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0,
        "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "classifier_dropout_prob": 0.1, "pad_token_id": 0
    }"#,
    ignored: &[],
    load: |config, loader, head| Ok(Box::new(Albert::load(config, loader, head)?)),
}];

/// `AlbertLayer`.
const LAYER: LayerNames = LayerNames {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    attention_output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    intermediate: "ffn",
    output: "ffn_output",
    output_norm: "full_layer_layer_norm",
    attention_output_dropout: true,
    output_dropout: false,
};

#[derive(Debug)]
struct Albert {
    embeddings: Embeddings,
    mapping: Linear,
    groups: Vec<Vec<TransformerLayer>>,
    /// The group that is used as each layer.
    order: Vec<usize>,
    head: Head,
}

impl Albert {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        let (size, hidden) = (config.size("embedding_size")?, config.size("hidden_size")?);
        let epsilon = config.number("layer_norm_eps")?;
        let dropout = config.dropout("classifier_dropout_prob")?;
        let pooler = FirstToken {
            dropout_before: None,
            dense: "albert.pooler",
            activation: Activation::Tanh,
            dropout,
        };
        let model = Self {
            embeddings: Embeddings::load(config, loader, size, epsilon, TokenTypes::With)?,
            mapping: Linear::load(loader, "encoder.embedding_hidden_mapping_in", size, hidden),
            groups: (0..config.layers("num_hidden_groups")?)
                .map(|group| load_group(config, loader, group, epsilon))
                .collect::<Result<_>>()?,
            order: order(config.layers("num_hidden_layers")?, config.layers("num_hidden_groups")?),
            head: Head::load(loader, head, hidden, &pooler, dropout),
        };
        loader.pass_on("pooler");
        Ok(model)
    }
}

/// The layers of one group.
fn load_group(config: &Config, loader: &mut Loader<'_>, group: i64, epsilon: f64) -> Result<Vec<TransformerLayer>> {
    let stack = format!("encoder.albert_layer_groups.{group}.albert_layers");
    (0..config.layers("inner_group_num")?)
        .map(|layer| TransformerLayer::load(config, loader, &format!("{stack}.{layer}"), &LAYER, epsilon))
        .collect()
}

/// For each of `layers` its group, computed as `AlbertTransformer` does.
fn order(layers: i64, groups: i64) -> Vec<usize> {
    let each = layers as f64 / groups as f64;
    (0..layers).map(|layer| (layer as f64 / each) as usize).collect()
}

impl Encoder for Albert {
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let bias = attention::bias(batch);
        let mut x = self.mapping.forward(&self.embeddings.forward(batch, dropout));
        for (number, group) in self.order.iter().enumerate() {
            let is_last = number + 1 == self.order.len();
            let wanted = if is_last { self.head.reads() } else { Wanted::All };
            x = transformer_layer::forward_all(&self.groups[*group], x, wanted, bias.as_ref(), dropout, tape);
        }
        x
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        self.head.logits(hidden, dropout)
    }
}
