//! DistilBERT (Sanh et al., 2019) as `transformers.models.distilbert` has it.

use super::activation::Activation;
use super::attention;
use super::layers::{Embedding, LayerNorm, Linear};
use super::{Config, Encoder, Family, HeadKind, Loader};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use tch::Tensor;

pub(super) const FAMILY: Family = Family {
    model_type: "distilbert",
    prefix: "distilbert.",
    classifier: "classifier",
    class_stem: "DistilBert",
    load: |config, loader, head| Ok(Box::new(DistilBert::load(config, loader, head)?)),
};

/// Fixed in the architecture.
const EPSILON: f64 = 1e-12;

#[derive(Debug)]
struct DistilBert {
    words: Embedding,
    positions: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    head: Head,
    dropout: f64,
}

#[derive(Debug)]
enum Head {
    Bare,
    Text {
        pre_classifier: Linear,
        dropout: f64,
        classifier: Linear,
    },
    Token {
        dropout: f64,
        classifier: Linear,
    },
}

impl DistilBert {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        let hidden = config.size("dim")?;
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
            norm: LayerNorm::load(loader, "embeddings.LayerNorm", hidden, EPSILON),
            layers: (0..config.size("n_layers")?)
                .map(|i| Layer::load(config, loader, &format!("transformer.layer.{i}")))
                .collect::<Result<_>>()?,
            head: Head::load(config, loader, head, hidden)?,
            dropout: config.number("dropout", 0.1)?,
        })
    }
}

impl Head {
    fn load(config: &Config, loader: &mut Loader<'_>, kind: HeadKind, hidden: i64) -> Result<Self> {
        Ok(match kind {
            HeadKind::Bare => Self::Bare,
            HeadKind::Text { labels } => Self::Text {
                pre_classifier: Linear::load_head(loader, "pre_classifier", hidden, hidden),
                dropout: config.number("seq_classif_dropout", 0.2)?,
                classifier: Linear::load_classifier(loader, FAMILY.classifier, hidden, labels),
            },
            HeadKind::Token { labels } => Self::Token {
                dropout: config.number("dropout", 0.1)?,
                classifier: Linear::load_classifier(loader, FAMILY.classifier, hidden, labels),
            },
        })
    }
}

impl Encoder for DistilBert {
    fn hidden(&self, batch: &Batch, dropout: &mut Dropout) -> Tensor {
        let sum = self.words.forward(&batch.ids) + self.positions.first(batch.ids.size()[1]);
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
                pre_classifier,
                dropout: probability,
                classifier,
            } => {
                let first = pre_classifier.forward(&hidden.select(1, 0)).relu();
                classifier.forward(&dropout.apply(first, *probability))
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
    widen: Linear,
    narrow: Linear,
    output_norm: LayerNorm,
    heads: i64,
    activation: Activation,
    attention_dropout: f64,
    dropout: f64,
}

impl Layer {
    fn load(config: &Config, loader: &mut Loader<'_>, name: &str) -> Result<Self> {
        let (hidden, wide) = (config.size("dim")?, config.size("hidden_dim")?);
        let mut linear = |part: &str, from, to| Linear::load(loader, &format!("{name}.{part}"), from, to);
        let [query, key, value, attention_out] =
            ["q_lin", "k_lin", "v_lin", "out_lin"].map(|part| linear(&format!("attention.{part}"), hidden, hidden));
        let widen = linear("ffn.lin1", hidden, wide);
        let narrow = linear("ffn.lin2", wide, hidden);
        Ok(Self {
            query,
            key,
            value,
            attention_out,
            widen,
            narrow,
            attention_norm: LayerNorm::load(loader, &format!("{name}.sa_layer_norm"), hidden, EPSILON),
            output_norm: LayerNorm::load(loader, &format!("{name}.output_layer_norm"), hidden, EPSILON),
            heads: config.heads("n_heads", hidden)?,
            activation: Activation::from_config(config, "activation")?,
            attention_dropout: config.number("attention_dropout", 0.1)?,
            dropout: config.number("dropout", 0.1)?,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor, dropout: &mut Dropout) -> Tensor {
        let projected = [&self.query, &self.key, &self.value].map(|linear| linear.forward(x));
        let attended = attention::attend(projected, self.heads, bias, self.attention_dropout, dropout);
        let x = self
            .attention_norm
            .forward(&(self.attention_out.forward(&attended) + x));
        let wide = self.activation.apply(&self.widen.forward(&x));
        let narrow = dropout.apply(self.narrow.forward(&wide), self.dropout);
        self.output_norm.forward(&(narrow + x))
    }
}
