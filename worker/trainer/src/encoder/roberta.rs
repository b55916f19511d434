//! RoBERTa (Liu et al., 2019), XLM-RoBERTa (Conneau et al., 2019) and CamemBERT (Martin et al., 2019) as
//! `transformers.models.{roberta,xlm_roberta,camembert}` have them: one architecture under three names.

use super::activation::Activation;
use super::embeddings::{Embeddings, PositionIds, TokenTypes};
use super::heads::{FirstToken, Head};
use super::transformer_layer::{self, BERT, TransformerLayer};
use super::{Config, Encoder, Family, HeadKind, Loader, attention};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use tch::Tensor;

pub(super) const FAMILIES: &[Family] = &[
    ROBERTA,
    Family {
        model_type: "xlm-roberta",
        class_stem: "XLMRoberta",
        defaults: OF_ITS_LIKES,
        ..ROBERTA
    },
    Family {
        model_type: "camembert",
        class_stem: "Camembert",
        defaults: OF_ITS_LIKES,
        ..ROBERTA
    },
];

const ROBERTA: Family = Family {
    model_type: "roberta",
    prefix: "roberta.",
    class_stem: "Roberta",
    text_classifier: "classifier.out_proj",
    token_classifier: "classifier",
    positions: PositionIds::AfterPadTokenId,
    renamed: &[],
    defaults: r#"{
        "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 1, "is_decoder": false
    }"#,
    ignored: &[],
    load: |config, loader, head| Ok(Box::new(Roberta::load(config, loader, head)?)),
};

/// The defaults of `XLMRobertaConfig` and `CamembertConfig`: BERT's vocabulary, for whatever reason.
const OF_ITS_LIKES: &str = r#"{
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
    "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 1, "is_decoder": false
}"#;

#[derive(Debug)]
struct Roberta {
    embeddings: Embeddings,
    layers: Vec<TransformerLayer>,
    head: Head,
}

impl Roberta {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        config.refuse_variants()?;
        let hidden = config.size("hidden_size")?;
        let epsilon = config.number("layer_norm_eps")?;
        let dropout = config.classifier_dropout("classifier_dropout")?;
        let classification_head = FirstToken {
            dropout_before: Some(dropout),
            dense: "classifier.dense",
            activation: Activation::Tanh,
            dropout,
        };
        let model = Self {
            embeddings: Embeddings::load(config, loader, hidden, epsilon, TokenTypes::With)?,
            layers: TransformerLayer::load_all(config, loader, "encoder.layer", &BERT, epsilon)?,
            head: Head::load(loader, head, hidden, &classification_head, dropout),
        };
        loader.pass_on("pooler.dense");
        Ok(model)
    }
}

impl Encoder for Roberta {
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let x = self.embeddings.forward(batch, dropout);
        let bias = attention::bias(batch);
        transformer_layer::forward_all(&self.layers, x, self.head.reads(), bias.as_ref(), dropout, tape)
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        self.head.logits(hidden, dropout)
    }
}
