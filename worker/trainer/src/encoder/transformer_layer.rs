//! The Transformer layer (Vaswani et al., 2017) with its normalisations behind the sums: attention, then a feed-forward
//! block. The families differ in the names of its tensors and in where they drop out.

use super::activation::Activation;
use super::attention;
use super::layers::{self, LayerNorm, Linear};
use super::{Config, Loader};
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use tch::Tensor;

/// What a family calls the parts of a layer, below the layer's own name.
#[derive(Debug)]
pub(crate) struct LayerNames {
    pub(crate) query: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    /// The linear layer on the attention's result.
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    /// The first linear layer of the feed-forward block.
    pub(crate) intermediate: &'static str,
    /// The second one.
    pub(crate) output: &'static str,
    pub(crate) output_norm: &'static str,
    /// Is there dropout on the attention's output?
    pub(crate) attention_output_dropout: bool,
    /// Is there dropout on the feed-forward block's output?
    pub(crate) output_dropout: bool,
}

/// `BertLayer`, `RobertaLayer`, `ElectraLayer`.
pub(crate) const BERT: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    intermediate: "intermediate.dense",
    output: "output.dense",
    output_norm: "output.LayerNorm",
    attention_output_dropout: true,
    output_dropout: true,
};

#[derive(Debug)]
pub(crate) struct TransformerLayer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    heads: i64,
    activation: Activation,
    attention_dropout: f64,
    attention_output_dropout: Option<f64>,
    output_dropout: Option<f64>,
}

impl TransformerLayer {
    /// `num_hidden_layers` of them, called `<stack>.0`, `<stack>.1`, ….
    pub(crate) fn load_all(
        config: &Config,
        loader: &mut Loader<'_>,
        stack: &str,
        names: &LayerNames,
        epsilon: f64,
    ) -> Result<Vec<Self>> {
        loader.used_once(true);
        let layers = (0..config.layers("num_hidden_layers")?)
            .map(|i| Self::load(config, loader, &format!("{stack}.{i}"), names, epsilon))
            .collect();
        loader.used_once(false);
        layers
    }

    /// The layer called `layer`; `epsilon` is that of its normalisations.
    pub(crate) fn load(
        config: &Config,
        loader: &mut Loader<'_>,
        layer: &str,
        names: &LayerNames,
        epsilon: f64,
    ) -> Result<Self> {
        loader.still_fits()?;
        let (hidden, wide) = (config.size("hidden_size")?, config.size("intermediate_size")?);
        let dropout = config.dropout("hidden_dropout_prob")?;
        let mut linear = |part: &str, from, to| Linear::load(loader, &format!("{layer}.{part}"), from, to);
        let [query, key, value, attention_output] =
            [names.query, names.key, names.value, names.attention_output].map(|part| linear(part, hidden, hidden));
        let intermediate = linear(names.intermediate, hidden, wide);
        let output = linear(names.output, wide, hidden);
        let mut norm = |part: &str| LayerNorm::load(loader, &format!("{layer}.{part}"), hidden, epsilon);
        Ok(Self {
            query,
            key,
            value,
            attention_output,
            intermediate,
            output,
            attention_norm: norm(names.attention_norm),
            output_norm: norm(names.output_norm),
            heads: config.heads("num_attention_heads", hidden)?,
            activation: Activation::from_config(config, "hidden_act")?,
            attention_dropout: config.dropout("attention_probs_dropout_prob")?,
            attention_output_dropout: names.attention_output_dropout.then_some(dropout),
            output_dropout: names.output_dropout.then_some(dropout),
        })
    }

    /// `[rows, tokens, hidden]` to the same of the `wanted` tokens; `bias` is added to the attention scores (see
    /// [`attention::bias`]).
    pub(crate) fn forward(&self, x: &Tensor, wanted: Wanted, bias: Option<&Tensor>, dropout: &mut Dropout) -> Tensor {
        let (queried, bias) = wanted.of(x, bias);
        let projected = match wanted {
            Wanted::All => layers::side_by_side([&self.query, &self.key, &self.value], x),
            Wanted::First => {
                let [key, value] = layers::side_by_side([&self.key, &self.value], x);
                [self.query.forward(&queried), key, value]
            }
        };
        let attended = attention::attend(projected, self.heads, bias.as_ref(), self.attention_dropout, dropout);
        let mut attended = dropout.apply(self.attention_output.forward(&attended), self.attention_output_dropout);
        // Sums in place: nothing on the way back reads what was there before.
        let x = self.attention_norm.forward(&attended.g_add_(&queried));
        let narrow = self
            .output
            .forward_activated(&self.intermediate.forward(&x), self.activation);
        let mut narrow = dropout.apply(narrow, self.output_dropout);
        self.output_norm.forward(&narrow.g_add_(&x))
    }
}

/// Tokens whose states a layer gives. What nobody reads is not computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    First,
}

impl Wanted {
    /// The states of these tokens, and the bias of their attention scores.
    fn of(self, x: &Tensor, bias: Option<&Tensor>) -> (Tensor, Option<Tensor>) {
        match self {
            Self::All => (x.shallow_clone(), bias.map(Tensor::shallow_clone)),
            // A bias is the same for all queries where its third dimension is 1.
            Self::First => (x.narrow(1, 0, 1), bias.map(|bias| bias.narrow(2, 0, 1))),
        }
    }
}

/// `x` through `layers`, one after the other; of the last one the states of the `wanted` tokens.
pub(crate) fn forward_all<'m>(
    layers: &'m [TransformerLayer],
    mut x: Tensor,
    wanted: Wanted,
    bias: Option<&Tensor>,
    dropout: &mut Dropout,
    tape: &mut Tape<'m>,
) -> Tensor {
    let bias = bias.map_or(&[][..], std::slice::from_ref);
    for (number, layer) in layers.iter().enumerate() {
        let wanted = if number + 1 == layers.len() {
            wanted
        } else {
            Wanted::All
        };
        x = tape.segment(x, bias, dropout, move |x, bias, dropout| {
            layer.forward(x, wanted, bias.first(), dropout)
        });
    }
    x
}
