//! ELECTRA's discriminator (Clark et al., 2020) as `transformers.models.electra` has it.

use super::activation::Activation;
use super::embeddings::{Embeddings, PositionIds, TokenTypes};
use super::heads::{FirstToken, Head};
use super::layers::Linear;
use super::transformer_layer::{self, BERT, TransformerLayer};
use super::{Config, Encoder, Family, HeadKind, Loader, attention};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use tch::Tensor;

pub(super) const FAMILIES: &[Family] = &[Family {
    model_type: "electra",
    prefix: "electra.",
    class_stem: "Electra",
    text_classifier: "classifier.out_proj",
    token_classifier: "classifier",
    positions: PositionIds::FromZero,
    renamed: &[],
    defaults: r#"{
        "vocab_size": 30522, "embedding_size": 128, "hidden_size": 256, "num_hidden_layers": 12,
        "num_attention_heads": 4, "intermediate_size": 1024, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0, "is_decoder": false
    }"#,
    ignored: &[],
    load: |config, loader, head| Ok(Box::new(Electra::load(config, loader, head)?)),
}];

#[derive(Debug)]
struct Electra {
    embeddings: Embeddings,
    /// From the embeddings' size to the hidden size, where they differ.
    project: Option<Linear>,
    layers: Vec<TransformerLayer>,
    head: Head,
}

impl Electra {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        config.refuse_variants()?;
        let (size, hidden) = (config.size("embedding_size")?, config.size("hidden_size")?);
        let epsilon = config.number("layer_norm_eps")?;
        let dropout = config.classifier_dropout("classifier_dropout")?;
        let classification_head = FirstToken {
            dropout_before: Some(dropout),
            dense: "classifier.dense",
            activation: Activation::Gelu,
            dropout,
        };
        Ok(Self {
            embeddings: Embeddings::load(config, loader, size, epsilon, TokenTypes::With)?,
            project: (size != hidden).then(|| Linear::load(loader, "embeddings_project", size, hidden)),
            layers: TransformerLayer::load_all(config, loader, "encoder.layer", &BERT, epsilon)?,
            head: Head::load(loader, head, hidden, &classification_head, dropout),
        })
    }
}

impl Encoder for Electra {
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let mut x = self.embeddings.forward(batch, dropout);
        if let Some(project) = &self.project {
            x = project.forward(&x);
        }
        let bias = attention::bias(batch);
        transformer_layer::forward_all(&self.layers, x, self.head.reads(), bias.as_ref(), dropout, tape)
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        self.head.logits(hidden, dropout)
    }
}
