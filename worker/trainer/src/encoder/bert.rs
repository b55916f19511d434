//! BERT (Devlin et al., 2018) as `transformers.models.bert` has it.

use super::activation::Activation;
use super::attention;
use super::layers::{Embedding, LayerNorm, Linear};
use super::{Config, Encoder, Family, HeadKind, Loader};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::{Failure, Result};
use tch::Tensor;

pub(super) const FAMILY: Family = Family {
    model_type: "bert",
    prefix: "bert.",
    classifier: "classifier",
    class_stem: "Bert",
    load: |config, loader, head| Ok(Box::new(Bert::load(config, loader, head)?)),
};

#[derive(Debug)]
struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    head: Head,
    dropout: f64,
}

#[derive(Debug)]
enum Head {
    Bare,
    Text {
        pooler: Linear,
        dropout: f64,
        classifier: Linear,
    },
    Token {
        dropout: f64,
        classifier: Linear,
    },
}

impl Bert {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        let positions = config.text("position_embedding_type", "absolute")?;
        if positions != "absolute" {
            return Err(Failure::user(format!(
                "{}: position_embedding_type `{positions}` is not known (known: absolute)",
                config.file()
            )));
        }
        let hidden = config.size("hidden_size")?;
        let epsilon = config.number("layer_norm_eps", 1e-12)?;
        let table = |loader: &mut Loader<'_>, name: &str, count, padding| {
            Embedding::load(loader, &format!("embeddings.{name}"), count, hidden, padding)
        };
        let padding = config.pad_token_id();
        Ok(Self {
            words: table(loader, "word_embeddings", config.size("vocab_size")?, padding),
            positions: table(
                loader,
                "position_embeddings",
                config.size("max_position_embeddings")?,
                -1,
            ),
            types: table(loader, "token_type_embeddings", config.size("type_vocab_size")?, -1),
            norm: LayerNorm::load(loader, "embeddings.LayerNorm", hidden, epsilon),
            layers: (0..config.size("num_hidden_layers")?)
                .map(|i| Layer::load(config, loader, &format!("encoder.layer.{i}")))
                .collect::<Result<_>>()?,
            head: Head::load(config, loader, head, hidden)?,
            dropout: config.number("hidden_dropout_prob", 0.1)?,
        })
    }
}

impl Head {
    fn load(config: &Config, loader: &mut Loader<'_>, kind: HeadKind, hidden: i64) -> Result<Self> {
        let dropout = config.number("classifier_dropout", config.number("hidden_dropout_prob", 0.1)?)?;
        let pooler = format!("{}pooler.dense", FAMILY.prefix);
        Ok(match kind {
            HeadKind::Bare => {
                loader.pass_on("pooler.dense.weight");
                loader.pass_on("pooler.dense.bias");
                Self::Bare
            }
            HeadKind::Text { labels } => Self::Text {
                pooler: Linear::load_head(loader, &pooler, hidden, hidden),
                dropout,
                classifier: Linear::load_classifier(loader, FAMILY.classifier, hidden, labels),
            },
            HeadKind::Token { labels } => Self::Token {
                dropout,
                classifier: Linear::load_classifier(loader, FAMILY.classifier, hidden, labels),
            },
        })
    }
}

impl Encoder for Bert {
    fn hidden(&self, batch: &Batch, dropout: &mut Dropout) -> Tensor {
        let positions = self.positions.first(batch.ids.size()[1]);
        let sum = self.words.forward(&batch.ids) + self.types.forward(&batch.types) + positions;
        let mut x = dropout.apply(self.norm.forward(&sum), self.dropout);
        let bias = attention::bias(batch);
        for layer in &self.layers {
            x = layer.forward(&x, &bias, dropout);
        }
        x
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        match &self.head {
            Head::Bare => hidden.shallow_clone(),
            Head::Text {
                pooler,
                dropout: probability,
                classifier,
            } => {
                let pooled = pooler.forward(&hidden.select(1, 0)).tanh();
                classifier.forward(&dropout.apply(pooled, *probability))
            }
            Head::Token {
                dropout: probability,
                classifier,
            } => classifier.forward(&dropout.apply(hidden.shallow_clone(), *probability)),
        }
    }
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    heads: i64,
    activation: Activation,
    attention_dropout: f64,
    dropout: f64,
}

impl Layer {
    fn load(config: &Config, loader: &mut Loader<'_>, name: &str) -> Result<Self> {
        let (hidden, wide) = (config.size("hidden_size")?, config.size("intermediate_size")?);
        let epsilon = config.number("layer_norm_eps", 1e-12)?;
        let mut linear = |part: &str, from, to| Linear::load(loader, &format!("{name}.{part}"), from, to);
        let [query, key, value, attention_out] = ["self.query", "self.key", "self.value", "output.dense"]
            .map(|part| linear(&format!("attention.{part}"), hidden, hidden));
        let intermediate = linear("intermediate.dense", hidden, wide);
        let output = linear("output.dense", wide, hidden);
        Ok(Self {
            query,
            key,
            value,
            attention_out,
            intermediate,
            output,
            attention_norm: LayerNorm::load(loader, &format!("{name}.attention.output.LayerNorm"), hidden, epsilon),
            output_norm: LayerNorm::load(loader, &format!("{name}.output.LayerNorm"), hidden, epsilon),
            heads: config.heads("num_attention_heads", hidden)?,
            activation: Activation::from_config(config, "hidden_act")?,
            attention_dropout: config.number("attention_probs_dropout_prob", 0.1)?,
            dropout: config.number("hidden_dropout_prob", 0.1)?,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor, dropout: &mut Dropout) -> Tensor {
        let projected = [&self.query, &self.key, &self.value].map(|linear| linear.forward(x));
        let attended = attention::attend(projected, self.heads, bias, self.attention_dropout, dropout);
        let attended = dropout.apply(self.attention_out.forward(&attended), self.dropout);
        let x = self.attention_norm.forward(&(attended + x));
        let wide = self.activation.apply(&self.intermediate.forward(&x));
        let narrow = dropout.apply(self.output.forward(&wide), self.dropout);
        self.output_norm.forward(&(narrow + x))
    }
}
