//! What a token goes into the encoder as: the sum of its word's, type's and position's vectors, normalised.

use super::layers::{Embedding, LayerNorm};
use super::{Config, Loader};
use crate::batches::Batch;
use crate::dropout::Dropout;
use crate::failure::Result;
use tch::{Kind, Tensor};

/// How a family numbers the positions of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PositionIds {
    /// 0, 1, 2, …
    FromZero,
    /// Behind the padding token's id, which is the position of all padding: fairseq's way, of RoBERTa.
    AfterPadTokenId,
    /// Likewise behind this id, whatever config.json says of a padding token: MPNet.
    After(i64),
}

impl PositionIds {
    /// Rows of the table before the first token's.
    pub(crate) fn before_first(self, config: &Config) -> Result<i64> {
        Ok(match self {
            Self::FromZero => 0,
            Self::AfterPadTokenId => config.pad_token_id()? + 1,
            Self::After(padding) => padding + 1,
        })
    }

    /// The id of the padding token, whose vector is not trained.
    fn padding(self, config: &Config) -> Result<i64> {
        match self {
            Self::After(padding) => Ok(padding),
            Self::FromZero | Self::AfterPadTokenId => config.pad_token_id(),
        }
    }
}

/// Has a family a table of token types?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenTypes {
    With,
    Without,
}

/// `<Family>Embeddings`; the tensors are called the same in all families.
#[derive(Debug)]
pub(crate) struct Embeddings {
    words: Embedding,
    positions: Embedding,
    types: Option<Embedding>,
    norm: LayerNorm,
    dropout: f64,
    /// The padding token's id where positions count from it.
    count_from: Option<i64>,
}

impl Embeddings {
    /// With vectors of `size`, which config.json calls `hidden_size` or `embedding_size`.
    pub(crate) fn load(
        config: &Config,
        loader: &mut Loader<'_>,
        size: i64,
        epsilon: f64,
        types: TokenTypes,
    ) -> Result<Self> {
        let ids = config.family().positions;
        let padding = ids.padding(config)?;
        let count_from = (ids != PositionIds::FromZero).then_some(padding);
        let words = Embedding::of_words(loader, config.size("vocab_size")?, size, padding);
        let mut table =
            |name: &str, count, padding| Embedding::load(loader, &format!("embeddings.{name}"), count, size, padding);
        Ok(Self {
            words,
            positions: table(
                "position_embeddings",
                config.size("max_position_embeddings")?,
                count_from.unwrap_or(-1),
            ),
            types: match types {
                TokenTypes::With => Some(table("token_type_embeddings", config.size("type_vocab_size")?, -1)),
                TokenTypes::Without => None,
            },
            norm: LayerNorm::load(loader, "embeddings.LayerNorm", size, epsilon),
            dropout: config.dropout("hidden_dropout_prob")?,
            count_from,
        })
    }

    /// `[rows, tokens, size]`.
    pub(crate) fn forward(&self, batch: &Batch, dropout: &mut Dropout) -> Tensor {
        let mut sum = self.words.forward(&batch.ids);
        if let Some(types) = &self.types {
            // Tokenizers of models with one type, such as RoBERTa's, need not know which one that is.
            sum += match types.count() {
                1 => types.forward(&batch.types.zeros_like()),
                _ => types.forward(&batch.types),
            };
        }
        sum += match self.count_from {
            None => self.positions.first(batch.ids.size()[1]),
            Some(padding) => self.positions.forward(&positions_after(padding, &batch.ids)),
        };
        dropout.apply(self.norm.forward(&sum).to_kind(batch.kind), self.dropout)
    }
}

/// `create_position_ids_from_input_ids`: tokens other than `padding` are counted from `padding` + 1, `padding` itself has
/// the position `padding`. `[rows, tokens]` from ids `[rows, tokens]`.
fn positions_after(padding: i64, ids: &Tensor) -> Tensor {
    let tokens = ids.ne(padding).to_kind(Kind::Int64);
    tokens.cumsum(1, Kind::Int64) * tokens + padding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_has_the_position_of_its_id() {
        let ids = Tensor::from_slice(&[0_i64, 7, 1, 2, 0, 9, 1, 1]).view([2, 4]);
        let positions = Vec::<Vec<i64>>::try_from(positions_after(1, &ids)).unwrap();
        assert_eq!(positions, [[2, 3, 1, 4], [2, 3, 1, 1]]);
    }
}
