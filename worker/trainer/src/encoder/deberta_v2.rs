//! DeBERTa-v2 and -v3 (He et al., 2021) as `transformers.models.deberta_v2` has them.

mod disentangled;

use super::activation::Activation;
use super::embeddings::PositionIds;
use super::heads::{FirstToken, Head};
use super::layers::{Embedding, LayerNorm, Linear};
use super::{Config, Encoder, Family, HeadKind, Loader};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use crate::recompute::Tape;
use disentangled::{DisentangledSelfAttention, Places, RelativePositions, Settings};
use std::rc::Rc;
use tch::{Kind, Tensor};

pub(super) const FAMILIES: &[Family] = &[Family {
    model_type: "deberta-v2",
    prefix: "deberta.",
    class_stem: "DebertaV2",
    text_classifier: "classifier",
    token_classifier: "classifier",
    positions: PositionIds::FromZero,
    renamed: &[],
    defaults: r#"{
        "vocab_size": 128100, "hidden_size": 1536, "num_hidden_layers": 24, "num_attention_heads": 24,
        "intermediate_size": 6144, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 0,
        "initializer_range": 0.02, "layer_norm_eps": 1e-7, "relative_attention": false,
        "max_relative_positions": -1, "pad_token_id": 0, "position_biased_input": true, "pooler_dropout": 0.0,
        "pooler_hidden_act": "gelu"
    }"#,
    ignored: &["position_embeddings"],
    load: |config, loader, head| Ok(Box::new(DebertaV2::load(config, loader, head)?)),
}];

#[derive(Debug)]
struct DebertaV2 {
    embeddings: Embeddings,
    relative: Option<RelativePositions>,
    layers: Vec<Layer>,
    convolution: Option<Convolution>,
    head: Head,
}

impl DebertaV2 {
    fn load(config: &Config, loader: &mut Loader<'_>, head: HeadKind) -> Result<Self> {
        let hidden = config.size("hidden_size")?;
        config.refuse_other("pooler_hidden_size", hidden)?;
        let settings = Settings::from_config(config)?;
        let pooler = FirstToken {
            dropout_before: Some(config.dropout("pooler_dropout")?),
            dense: "pooler.dense",
            activation: Activation::from_config(config, "pooler_hidden_act")?,
            dropout: config.classifier_dropout("cls_dropout")?,
        };
        let token_dropout = config.dropout("hidden_dropout_prob")?;
        Ok(Self {
            embeddings: Embeddings::load(config, loader)?,
            relative: RelativePositions::load(config, loader, &settings)?,
            layers: (0..config.layers("num_hidden_layers")?)
                .map(|i| Layer::load(config, loader, &settings, &format!("encoder.layer.{i}")))
                .collect::<Result<_>>()?,
            convolution: Convolution::load(config, loader)?,
            head: Head::load(loader, head, hidden, &pooler, token_dropout),
        })
    }
}

impl Encoder for DebertaV2 {
    fn hidden<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let embedded = self.embeddings.forward(batch, dropout);
        let places = self.relative.as_ref().map(|relative| relative.of(batch));
        let shared: Vec<Tensor> = places.iter().map(Places::vectors).collect();
        let around = Rc::new((disentangled::hidden_pairs(&batch.mask), places));
        let mut x = embedded.shallow_clone();
        for (number, layer) in self.layers.iter().enumerate() {
            let around = Rc::clone(&around);
            x = tape.segment(x, &shared, dropout, move |x, shared, dropout| {
                let (hidden_pairs, places) = &*around;
                let places = places.as_ref().zip(shared.first());
                let places = places.map(|(places, vectors)| places.with(vectors));
                layer.forward(x, hidden_pairs, places.as_ref(), dropout)
            });
            if let (0, Some(convolution)) = (number, &self.convolution) {
                x = convolution.forward(&embedded, &x, &batch.mask, dropout);
            }
        }
        x
    }

    fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        self.head.logits(hidden, dropout)
    }
}

/// `DebertaV2Embeddings`: position and type are optional, and the vectors may be of another size than the states.
#[derive(Debug)]
struct Embeddings {
    words: Embedding,
    positions: Option<Embedding>,
    types: Option<Embedding>,
    /// To the hidden size.
    projection: Option<Tensor>,
    norm: LayerNorm,
    dropout: f64,
}

impl Embeddings {
    fn load(config: &Config, loader: &mut Loader<'_>) -> Result<Self> {
        let hidden = config.size("hidden_size")?;
        let size = config.optional_size("embedding_size")?.unwrap_or(hidden);
        let words = Embedding::of_words(loader, config.size("vocab_size")?, size, config.pad_token_id()?);
        let mut table =
            |name: &str, count, padding| Embedding::load(loader, &format!("embeddings.{name}"), count, size, padding);
        let positions = match config.flag("position_biased_input")? {
            true => Some(config.size("max_position_embeddings")?),
            false => None,
        };
        let positions = positions.map(|count| table("position_embeddings", count, -1));
        let types = config.optional_size("type_vocab_size")?;
        let types = types.map(|count| table("token_type_embeddings", count, -1));
        let projection = (size != hidden).then(|| loader.encoder("embeddings.embed_proj.weight", &[hidden, size]));
        Ok(Self {
            words,
            positions,
            types,
            projection,
            norm: LayerNorm::load(loader, "embeddings.LayerNorm", hidden, config.number("layer_norm_eps")?),
            dropout: config.dropout("hidden_dropout_prob")?,
        })
    }

    /// `[rows, tokens, hidden]`, zero at padding.
    fn forward(&self, batch: &Batch, dropout: &mut Dropout) -> Tensor {
        let mut sum = self.words.forward(&batch.ids);
        if let Some(positions) = &self.positions {
            sum += positions.first(batch.ids.size()[1]);
        }
        if let Some(types) = &self.types {
            sum += types.forward(&batch.types);
        }
        if let Some(projection) = &self.projection {
            sum = sum.linear::<&Tensor>(projection, None);
        }
        let mask = batch.mask.to_kind(Kind::Float).unsqueeze(-1);
        let x = self.norm.forward(&sum) * mask;
        dropout.apply(x.to_kind(batch.kind), self.dropout)
    }
}

/// `DebertaV2Layer`.
#[derive(Debug)]
struct Layer {
    attention: DisentangledSelfAttention,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    activation: Activation,
    dropout: f64,
}

impl Layer {
    fn load(config: &Config, loader: &mut Loader<'_>, settings: &Settings, name: &str) -> Result<Self> {
        let (hidden, wide) = (config.size("hidden_size")?, config.size("intermediate_size")?);
        let epsilon = config.number("layer_norm_eps")?;
        let at = |part: &str| format!("{name}.{part}");
        Ok(Self {
            attention: DisentangledSelfAttention::load(config, loader, settings, &at("attention.self"))?,
            attention_output: Linear::load(loader, &at("attention.output.dense"), hidden, hidden),
            attention_norm: LayerNorm::load(loader, &at("attention.output.LayerNorm"), hidden, epsilon),
            intermediate: Linear::load(loader, &at("intermediate.dense"), hidden, wide),
            output: Linear::load(loader, &at("output.dense"), wide, hidden),
            output_norm: LayerNorm::load(loader, &at("output.LayerNorm"), hidden, epsilon),
            activation: Activation::from_config(config, "hidden_act")?,
            dropout: config.dropout("hidden_dropout_prob")?,
        })
    }

    fn forward(&self, x: &Tensor, hidden_pairs: &Tensor, places: Option<&Places>, dropout: &mut Dropout) -> Tensor {
        let attended = self.attention.forward(x, hidden_pairs, places, dropout);
        let attended = dropout.apply(self.attention_output.forward(&attended), self.dropout);
        let x = self.attention_norm.forward(&(attended + x));
        let narrow = self
            .output
            .forward_activated(&self.intermediate.forward(&x), self.activation);
        let narrow = dropout.apply(narrow, self.dropout);
        self.output_norm.forward(&(narrow + x))
    }
}

/// `ConvLayer`, which v2's large models have beside the first layer: what neighbours of a token are.
#[derive(Debug)]
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    norm: LayerNorm,
    /// Tokens on either side.
    reach: i64,
    groups: i64,
    activation: Activation,
    dropout: f64,
}

impl Convolution {
    fn load(config: &Config, loader: &mut Loader<'_>) -> Result<Option<Self>> {
        let Some(width) = config.optional_size("conv_kernel_size")? else {
            return Ok(None);
        };
        if width % 2 == 0 {
            return Err(config.wrong("conv_kernel_size", "odd"));
        }
        let hidden = config.size("hidden_size")?;
        let groups = match config.value("conv_groups") {
            None => 1,
            Some(_) => config.heads("conv_groups", hidden)?,
        };
        Ok(Some(Self {
            weight: loader.encoder("encoder.conv.conv.weight", &[hidden, hidden / groups, width]),
            bias: loader.encoder("encoder.conv.conv.bias", &[hidden]),
            norm: LayerNorm::load(
                loader,
                "encoder.conv.LayerNorm",
                hidden,
                config.number("layer_norm_eps")?,
            ),
            reach: width / 2,
            groups,
            activation: match config.value("conv_act") {
                None => Activation::Tanh,
                Some(_) => Activation::from_config(config, "conv_act")?,
            },
            dropout: config.dropout("hidden_dropout_prob")?,
        }))
    }

    /// Adds what is around the `embedded` tokens to the states `x` of the first layer; zero at padding.
    fn forward(&self, embedded: &Tensor, x: &Tensor, mask: &Tensor, dropout: &mut Dropout) -> Tensor {
        let (mask, kind) = (mask.unsqueeze(-1), x.kind());
        let channels = embedded.transpose(1, 2).contiguous();
        let around = channels.conv1d(
            &self.weight.to_kind(kind),
            Some(&self.bias.to_kind(kind)),
            1,
            self.reach,
            1,
            self.groups,
        );
        let around = around.transpose(1, 2).contiguous().masked_fill(&mask.eq(0), 0.0);
        let around = self.activation.apply(&dropout.apply(around, self.dropout));
        self.norm.forward(&(x + around)) * mask.to_kind(kind)
    }
}
