//! A tokenizer from `tokenizer.json`.
//!
//! It is taken as it is, but for what every release of `transformers` changes in it by `tokenizer_config.json` where that
//! names a class (or config.json's model does): the case, accents and Chinese characters of `BertTokenizer` and its
//! kin, the first space of `RobertaTokenizer`, and special or added tokens that it does not list. Version 5 goes further
//! and rebuilds the rest by the class's rules; see `unigram` for why that is not followed.

use super::build::{Explained, add_tokens, part};
use super::class::{Class, Form};
use super::settings::Settings;
use super::{charsmap, word_piece};
use crate::failure::{Failure, Result};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tokenizers::{NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer as Inner};

/// The one part of the file that is looked at before the `tokenizers` crate reads it.
#[derive(Deserialize)]
struct Normalizer {
    #[serde(default)]
    normalizer: Value,
}

/// Reads it; also says whether anything in it was changed. `rows` is how many tokens the model has embeddings for.
pub(super) fn read(folder: &Path, settings: &Settings, rows: usize) -> Result<(Inner, bool)> {
    let wrong = |error: &dyn std::fmt::Display| Failure::user(format!("{}/tokenizer.json: {error}", settings.name));
    let text = std::fs::read(folder.join("tokenizer.json")).map_err(|e| wrong(&e))?;
    let normalizer: Normalizer = serde_json::from_slice(&text).map_err(|e| wrong(&e))?;
    charsmap::check_normalizer(&normalizer.normalizer).map_err(|e| wrong(&e))?;
    let mut inner = Inner::from_bytes(&text).map_err(|e| wrong(&e))?;
    let tokens = inner.get_added_tokens_decoder();
    let mut changed = match settings.class {
        Some(class) => apply(&mut inner, settings, class).map_err(|e| wrong(&e))?,
        None => false,
    };
    add_tokens(&mut inner, settings, Vec::new(), rows).map_err(|e| wrong(&e))?;
    changed |= tokens != inner.get_added_tokens_decoder();
    Ok((inner, changed))
}

/// Applies the settings that the class knows.
fn apply(inner: &mut Inner, settings: &Settings, class: &Class) -> Explained<bool> {
    match (class.form, inner.get_normalizer()) {
        (Form::WordPiece, Some(NormalizerWrapper::BertNormalizer(came))) => {
            let NormalizerWrapper::BertNormalizer(said) = part(word_piece::normalizer(settings))? else {
                return Ok(false);
            };
            let mut normalizer = *came;
            normalizer.lowercase = said.lowercase;
            normalizer.strip_accents = said.strip_accents;
            normalizer.handle_chinese_chars = said.handle_chinese_chars;
            let same = (came.lowercase, came.strip_accents, came.handle_chinese_chars)
                == (
                    normalizer.lowercase,
                    normalizer.strip_accents,
                    normalizer.handle_chinese_chars,
                );
            if !same {
                inner.with_normalizer(Some(normalizer)).map_err(|e| e.to_string())?;
            }
            Ok(!same)
        }
        (Form::ByteLevelBpe, _) => Ok(set_prefix_space(inner, settings.flag("add_prefix_space", false))),
        _ => Ok(false),
    }
}

/// Sets whether the first word of a text gets a space before it, where the tokenizer is one of byte-level BPE; says
/// whether that changed anything.
pub(super) fn set_prefix_space(inner: &mut Inner, prefix: bool) -> bool {
    let mut changed = false;
    if let Some(PreTokenizerWrapper::ByteLevel(mut byte_level)) = inner.get_pre_tokenizer().cloned() {
        changed |= byte_level.add_prefix_space != prefix;
        byte_level.add_prefix_space = prefix;
        inner.with_pre_tokenizer(Some(byte_level));
    }
    if let Some(PostProcessorWrapper::Roberta(mut around)) = inner.get_post_processor().cloned()
        && changed
    {
        around.add_prefix_space = prefix;
        inner.with_post_processor(Some(around));
    }
    changed
}
