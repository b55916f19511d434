//! Disentangled attention (He et al., 2021): a token attends to another for what it is and for how far away it stands,
//! by three products: content with content, content with position (c2p) and position with content (p2c).

use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::encoder::layers::{Embedding, LayerNorm, Linear};
use crate::encoder::{Config, Loader};
use crate::failure::Result;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// What config.json says about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Are distances used at all?
    relative: bool,
    content_to_position: bool,
    position_to_content: bool,
    /// Are vectors of distances projected by the same layers as the states?
    share_att_key: bool,
    /// Distances from half of this on share vectors, ever more of them; every distance has its own where there is none.
    buckets: Option<i64>,
    /// From which distance on all share one.
    farthest: i64,
}

impl Settings {
    pub(super) fn from_config(config: &Config) -> Result<Self> {
        let (content_to_position, position_to_content) = kinds(config)?;
        let relative = config.flag("relative_attention")?;
        if relative && !content_to_position && !position_to_content {
            return Err(config.wrong("pos_att_type", "c2p, p2c or both where relative_attention is true"));
        }
        let buckets = config.optional_size("position_buckets")?;
        if buckets == Some(1) {
            return Err(config.wrong("position_buckets", "at least 2, or -1 for none"));
        }
        Ok(Self {
            relative,
            content_to_position,
            position_to_content,
            share_att_key: config.value("share_att_key").is_some() && config.flag("share_att_key")?,
            buckets,
            farthest: match config.optional_size("max_relative_positions")? {
                Some(farthest) => farthest,
                None => config.size("max_position_embeddings")?,
            },
        })
    }

    /// Vectors of distances to either side.
    fn span(&self) -> i64 {
        self.buckets.unwrap_or(self.farthest)
    }

    /// The square root of what the scores of all products vary by, where heads are of `size`. The products count where
    /// they are named, be distances used or not.
    fn scale(&self, size: i64) -> f64 {
        let products = 1 + i64::from(self.content_to_position) + i64::from(self.position_to_content);
        ((size * products) as f64).sqrt()
    }
}

/// Does `pos_att_type` name c2p and p2c? It is a list, or a text with bars between.
fn kinds(config: &Config) -> Result<(bool, bool)> {
    let wrong = || config.wrong("pos_att_type", "a list or `|`-separated text of c2p and p2c");
    let named: Vec<String> = match config.value("pos_att_type") {
        None => Vec::new(),
        Some(Value::String(text)) => text
            .to_lowercase()
            .split('|')
            .map(|kind| kind.trim().to_owned())
            .collect(),
        Some(list) => serde_json::from_value(list.clone()).map_err(|_| wrong())?,
    };
    if named.iter().any(|kind| kind != "c2p" && kind != "p2c") {
        return Err(wrong());
    }
    let has = |kind: &str| named.iter().any(|named| named == kind);
    Ok((has("c2p"), has("p2c")))
}

/// The vectors of distances, which all layers share.
#[derive(Debug)]
pub(super) struct RelativePositions {
    vectors: Embedding,
    norm: Option<LayerNorm>,
    settings: Settings,
}

/// The vectors, and which of them belongs to which pair of a batch's tokens.
#[derive(Debug)]
pub(super) struct Places {
    /// `[2 * span, hidden]`.
    vectors: Tensor,
    /// Row of `vectors` for the distance from a token to another, `[tokens, tokens]`.
    there: Tensor,
    /// And back.
    back: Tensor,
}

impl Places {
    /// The vectors, `[2 * span, hidden]`.
    pub(super) fn vectors(&self) -> Tensor {
        self.vectors.shallow_clone()
    }

    /// The same places with these vectors.
    pub(super) fn with(&self, vectors: &Tensor) -> Self {
        Self {
            vectors: vectors.shallow_clone(),
            there: self.there.shallow_clone(),
            back: self.back.shallow_clone(),
        }
    }
}

impl RelativePositions {
    pub(super) fn load(config: &Config, loader: &mut Loader<'_>, settings: &Settings) -> Result<Option<Self>> {
        let (hidden, epsilon) = (config.size("hidden_size")?, config.number("layer_norm_eps")?);
        let norm = match config.value("norm_rel_ebd").map(Value::as_str) {
            None | Some(Some("none")) => false,
            Some(Some("layer_norm")) => true,
            _ => return Err(config.wrong("norm_rel_ebd", "none or layer_norm")),
        };
        if !settings.relative {
            return if norm {
                Err(config.wrong("norm_rel_ebd", "none where relative_attention is false"))
            } else {
                Ok(None)
            };
        }
        Ok(Some(Self {
            vectors: Embedding::load(loader, "encoder.rel_embeddings", 2 * settings.span(), hidden, -1),
            norm: norm.then(|| LayerNorm::load(loader, "encoder.LayerNorm", hidden, epsilon)),
            settings: *settings,
        }))
    }

    /// For the tokens of `batch`.
    pub(super) fn of(&self, batch: &Batch) -> Places {
        let span = self.settings.span();
        let vectors = self.vectors.first(2 * span).to_kind(batch.kind);
        let distances = self.distances(batch.ids.size()[1]).to_device(batch.ids.device());
        let row = |distance: Tensor| (distance + span).clamp(0, 2 * span - 1);
        Places {
            vectors: self
                .norm
                .as_ref()
                .map_or(vectors.shallow_clone(), |norm| norm.forward(&vectors)),
            there: row(distances.shallow_clone()),
            back: row(-distances),
        }
    }

    /// `build_relative_position`: from the token of the row to that of the column, `[tokens, tokens]`.
    fn distances(&self, tokens: i64) -> Tensor {
        let place = Tensor::arange(tokens, (Kind::Int64, Device::Cpu));
        let distances = place.unsqueeze(1) - place.unsqueeze(0);
        match self.settings.buckets {
            None => distances,
            Some(buckets) => log_buckets(&distances, buckets, self.settings.farthest),
        }
    }
}

/// `make_log_bucket_position`, in its order of fp32 operations: a rounding here is another bucket.
fn log_buckets(distances: &Tensor, buckets: i64, farthest: i64) -> Tensor {
    let half = buckets / 2;
    let near = distances.lt(half).logical_and(&distances.gt(-half));
    let size = distances.abs().masked_fill(&near, half - 1);
    let all = Tensor::from_slice(&[((farthest - 1) as f64 / half as f64) as f32]).log();
    let logarithmic = ((&size / half).log() / all * (half - 1)).ceil() + half;
    let signed = logarithmic * distances.sign();
    distances
        .to_kind(Kind::Float)
        .where_self(&size.le(half), &signed)
        .to_kind(Kind::Int64)
}

/// Where a token of the pair is padding, `[rows, 1, tokens, tokens]`, from the mask `[rows, tokens]`.
pub(super) fn hidden_pairs(mask: &Tensor) -> Tensor {
    (mask.unsqueeze(1) * mask.unsqueeze(2)).unsqueeze(1).eq(0)
}

/// `DisentangledSelfAttention`.
#[derive(Debug)]
pub(super) struct DisentangledSelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    position_key: Option<Linear>,
    position_query: Option<Linear>,
    heads: i64,
    settings: Settings,
    attention_dropout: f64,
    position_dropout: f64,
}

impl DisentangledSelfAttention {
    pub(super) fn load(config: &Config, loader: &mut Loader<'_>, settings: &Settings, name: &str) -> Result<Self> {
        let hidden = config.size("hidden_size")?;
        let heads = config.heads("num_attention_heads", hidden)?;
        config.refuse_other("attention_head_size", hidden / heads)?;
        let own = settings.relative && !settings.share_att_key;
        let mut linear = |part: &str| Linear::load(loader, &format!("{name}.{part}"), hidden, hidden);
        Ok(Self {
            query: linear("query_proj"),
            key: linear("key_proj"),
            value: linear("value_proj"),
            position_key: (own && settings.content_to_position).then(|| linear("pos_key_proj")),
            position_query: (own && settings.position_to_content).then(|| linear("pos_query_proj")),
            heads,
            settings: *settings,
            attention_dropout: config.dropout("attention_probs_dropout_prob")?,
            position_dropout: config.dropout("hidden_dropout_prob")?,
        })
    }

    /// `[rows, tokens, hidden]` to the same.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        hidden_pairs: &Tensor,
        places: Option<&Places>,
        dropout: &mut Dropout,
    ) -> Tensor {
        let [query, key, value] = [&self.query, &self.key, &self.value].map(|linear| self.split(&linear.forward(x)));
        let mut scores = query.matmul(&(key.transpose(-2, -1) / self.settings.scale(self.size(x))));
        if let Some(distance) = places.and_then(|places| self.scores_of_distance(&query, &key, places, dropout)) {
            scores += distance;
        }
        let scores = scores
            .to_kind(Kind::Float)
            .masked_fill(hidden_pairs, f64::from(f32::MIN));
        let weights = scores.softmax(-1, Kind::Float);
        dropout
            .mix(weights, &value, self.attention_dropout)
            .transpose(1, 2)
            .contiguous()
            .view(x.size().as_slice())
    }

    /// What is added to the scores `[rows, heads, tokens, tokens]` (`disentangled_attention_bias`).
    fn scores_of_distance(
        &self,
        query: &Tensor,
        key: &Tensor,
        places: &Places,
        dropout: &mut Dropout,
    ) -> Option<Tensor> {
        let vectors = dropout.apply(places.vectors.unsqueeze(0), self.position_dropout);
        let (scale, tokens) = (self.settings.scale(*query.size().last().unwrap_or(&1)), query.size()[2]);
        // The gradient of `gather` is deterministic on the CPU: a thread adds up whole rows.
        let score = |content: &Tensor, projection: &Linear, place: &Tensor| {
            let all = content.matmul(&self.split(&projection.forward(&vectors)).transpose(-2, -1));
            let index = place.expand([query.size()[0], self.heads, tokens, tokens], false);
            all.gather(-1, &index, false) / scale
        };
        let there = self
            .settings
            .content_to_position
            .then(|| score(query, self.position_key.as_ref().unwrap_or(&self.key), &places.there));
        let back = self
            .settings
            .position_to_content
            .then(|| score(key, self.position_query.as_ref().unwrap_or(&self.query), &places.back).transpose(-2, -1));
        [there, back].into_iter().flatten().reduce(|there, back| there + back)
    }

    /// `[rows, heads, tokens, size]` from `[rows, tokens, hidden]`.
    fn split(&self, x: &Tensor) -> Tensor {
        let shape = [x.size()[0], x.size()[1], self.heads, self.size(x)];
        x.view(shape).transpose(1, 2)
    }

    /// Of a head.
    fn size(&self, x: &Tensor) -> i64 {
        x.size()[2] / self.heads
    }
}
