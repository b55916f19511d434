//! DistilBERT (Sanh et al., 2019) as `transformers.models.distilbert` has it.

use super::activation::Activation;
use super::embeddings::{Embeddings, PositionIds, TokenTypes};
use super::heads::{FirstToken, Head};
use super::transformer_layer::{self, LayerNames, TransformerLayer};
use super::{Config, Encoder, Family, HeadKind, Loader, attention};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use tch::Tensor;

pub(super) const FAMILIES: &[Family] = &[Family {
    model_type: "distilbert",
    prefix: "distilbert.",
    class_stem: "DistilBert",
    text_classifier: "classifier",
    token_classifier: "classifier",
    positions: PositionIds::FromZero,
    renamed: &[
        ("hidden_size", "dim"),
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("intermediate_size", "hidden_dim"),
        ("hidden_act", "activation"),
        ("hidden_dropout_prob", "dropout"),
        ("attention_probs_dropout_prob", "attention_dropout"),
    ],
    defaults: r#"{
        "vocab_size": 30522, "max_position_embeddings": 512, "n_layers": 6, "n_heads": 12, "dim": 768,
        "hidden_dim": 3072, "dropout": 0.1, "attention_dropout": 0.1, "activation": "gelu",
        "initializer_range": 0.02, "seq_classif_dropout": 0.2, "pad_token_id": 0
    }"#,
    ignored: &[],
    load: |config, loader, head| Ok(Box::new(DistilBert::load(config, loader, head)?)),
}];

/// `TransformerBlock`.
const LAYER: LayerNames = LayerNames {
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    intermediate: "ffn.lin1",
    output: "ffn.lin2",
    output_norm: "output_layer_norm",
    attention_output_dropout: false,
    output_dropout: true,
};

/// Fixed in the architecture.
const EPSILON: f64 = 1e-12;

#[derive(Debug)]
struct DistilBert {
    embeddings: Embeddings,
    layers: Vec<TransformerLayer>,
    head: Head,
}

impl DistilBert {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        let hidden = config.size("hidden_size")?;
        let pre_classifier = FirstToken {
            dropout_before: None,
            dense: "pre_classifier",
            activation: Activation::Relu,
            dropout: config.dropout("seq_classif_dropout")?,
        };
        let token_dropout = config.dropout("hidden_dropout_prob")?;
        Ok(Self {
            embeddings: Embeddings::load(config, loader, hidden, EPSILON, TokenTypes::Without)?,
            layers: TransformerLayer::load_all(config, loader, "transformer.layer", &LAYER, EPSILON)?,
            head: Head::load(loader, head, hidden, &pre_classifier, token_dropout),
        })
    }
}

impl Encoder for DistilBert {
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let x = self.embeddings.forward(batch, dropout);
        let bias = attention::bias(batch);
        transformer_layer::forward_all(&self.layers, x, self.head.reads(), bias.as_ref(), dropout, tape)
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        self.head.logits(hidden, dropout)
    }
}
