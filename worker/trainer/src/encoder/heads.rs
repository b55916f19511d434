//! What sits on the encoders. Every head that a family has is one of two forms: a linear layer on each token, or two
//! linear layers on the first token.

use super::activation::Activation;
use super::layers::Linear;
use super::transformer_layer::Wanted;
use super::{HeadKind, Loader};
use crate::dropout::Dropout;
use tch::Tensor;

/// A head; its last linear layer is called what the family calls it ([`super::Family::classifier`]).
#[derive(Debug)]
pub(crate) enum Head {
    /// None: hidden states.
    Bare,
    /// Dropout, then the classifier, on every token.
    Tokens { dropout: f64, classifier: Linear },
    /// Two layers on the first token.
    FirstToken {
        dropout_before: Option<f64>,
        dense: Linear,
        activation: Activation,
        dropout: f64,
        classifier: Linear,
    },
}

/// How a family's [`Head::FirstToken`] is made: BERT's pooler, DistilBERT's pre-classifier, RoBERTa's classification
/// head.
#[derive(Debug)]
pub(crate) struct FirstToken<'a> {
    /// Dropout on the token, where there is one.
    pub(crate) dropout_before: Option<f64>,
    /// Name of the first layer, in full.
    pub(crate) dense: &'a str,
    /// Behind it.
    pub(crate) activation: Activation,
    /// Dropout before the classifier.
    pub(crate) dropout: f64,
}

impl Head {
    /// The head of `kind` over states of size `hidden`; `text` describes a text head, `token_dropout` is that of a token
    /// head.
    pub(crate) fn load(
        loader: &mut Loader<'_>,
        kind: HeadKind,
        hidden: i64,
        text: &FirstToken<'_>,
        token_dropout: f64,
    ) -> Self {
        match kind {
            HeadKind::Bare => Self::Bare,
            HeadKind::Token { labels } => Self::Tokens {
                dropout: token_dropout,
                classifier: Linear::load_classifier(loader, hidden, labels),
            },
            HeadKind::Text { labels } => Self::FirstToken {
                dropout_before: text.dropout_before,
                dense: Linear::load_head(loader, text.dense, hidden, hidden),
                activation: text.activation,
                dropout: text.dropout,
                classifier: Linear::load_classifier(loader, hidden, labels),
            },
        }
    }

    /// The tokens whose states it reads.
    pub(crate) fn reads(&self) -> Wanted {
        match self {
            Self::Bare | Self::Tokens { .. } => Wanted::All,
            Self::FirstToken { .. } => Wanted::First,
        }
    }

    /// From states `[rows, tokens, hidden]`: what [`super::Encoder::logits`] says.
    pub(crate) fn logits(&self, hidden: &Tensor, dropout: &mut Dropout) -> Tensor {
        match self {
            Self::Bare => hidden.shallow_clone(),
            Self::Tokens {
                dropout: probability,
                classifier,
            } => classifier.forward(&dropout.apply(hidden.shallow_clone(), *probability)),
            Self::FirstToken {
                dropout_before,
                dense,
                activation,
                dropout: probability,
                classifier,
            } => {
                let first = dropout.apply(hidden.select(1, 0), *dropout_before);
                let first = activation.apply(&dense.forward(&first));
                classifier.forward(&dropout.apply(first, *probability))
            }
        }
    }
}
