//! SentencePiece Unigram models, by the rules of the families that use them.
//!
//! `transformers` 5 rebuilds some of these tokenizers by simpler rules than its releases up to 4 and than SentencePiece
//! itself, with which the models were trained. Where the ids differ, the older rules hold here:
//! - **DeBERTa-v2 and v3**: version 5 leaves out the model's `precompiled_charsmap` and normalises by NFC instead, so
//!   that `Ａ`, `ﬁ` or `①` become unknown where SentencePiece reads `A`, `fi`, `1`.
//! - **ALBERT**: a piece of a digit and a comma (`9,`) was never used in training (google-research/albert splits it);
//!   version 4 lowers its score by 100, version 5 does not.
//! - **White space** that XLM-R, CamemBERT and ALBERT see is cut away as version 5 and the `tokenizer.json` files of
//!   these models do (`WhitespaceSplit`), which gives the ids of SentencePiece, and offsets that leave it out.
//! - **`byte_fallback`** is done as the model says; both releases leave it out with a warning.
//!
//! What is exported is read as it is by every release (see `files`), so that consumers get these ids.

use super::build::{Explained, Parts, part};
use super::charsmap;
use super::class::{Class, Layout};
use super::sentence_piece::{self, CONTROL, Model, USER_DEFINED};
use super::settings::Settings;
use crate::failure::{Failure, Result};
use serde_json::{Value, json};
use std::path::Path;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Sequence};
use tokenizers::{AddedToken, ModelWrapper};

/// Reads the model in the class's file.
pub(super) fn read(folder: &Path, settings: &Settings, class: &Class, layout: Layout) -> Result<Parts> {
    let file = class.files()[0];
    let wrong = |error: &dyn std::fmt::Display| Failure::user(format!("{}/{file}: {error}", settings.name));
    let bytes = std::fs::read(folder.join(file)).map_err(|e| wrong(&e))?;
    let model = sentence_piece::Model::read(&bytes).map_err(|e| wrong(&e))?;
    let (vocabulary, unknown) = vocabulary(&model, settings, layout).map_err(|e| wrong(&e))?;
    let unigram = Unigram::from(vocabulary, Some(unknown), model.byte_fallback).map_err(|e| wrong(&e))?;
    let added = model
        .pieces
        .iter()
        .filter(|piece| [CONTROL, USER_DEFINED].contains(&piece.kind));
    let scheme = if settings.flag("add_prefix_space", true) {
        "always"
    } else {
        "never"
    };
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
    let splits: Vec<Value> = first_split(settings, layout)
        .into_iter()
        .chain([metaspace.clone()])
        .collect();
    Ok(Parts {
        model: ModelWrapper::Unigram(unigram),
        normalizer: normalizer(&model, settings, layout).map_err(|e| wrong(&e))?,
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": splits}),
        decoder: metaspace,
        added: added
            .map(|piece| AddedToken::from(&piece.text, piece.kind == CONTROL).normalized(false))
            .collect(),
    })
}

/// Pieces with their scores in the order of their ids, and the id of the unknown one.
fn vocabulary(model: &Model, settings: &Settings, layout: Layout) -> Explained<(Vec<(String, f64)>, usize)> {
    let named = |role: &str| (settings.token(role).unwrap_or_default().to_owned(), 0.0);
    let plain = |text: &str, score: f64| (text.to_owned(), score);
    let (mut vocabulary, skipped) = match layout {
        Layout::Xlm => (
            ["bos_token", "pad_token", "eos_token", "unk_token"].map(named).to_vec(),
            3,
        ),
        Layout::Camembert => {
            let doubles = [
                plain("</s>NOTUSED", 0.0),
                named("unk_token"),
                plain("<unk>NOTUSED", -100.0),
            ];
            let first = [plain("<s>NOTUSED", 0.0), named("pad_token")];
            (first.into_iter().chain(doubles).collect(), 1)
        }
        Layout::Albert | Layout::Deberta => (Vec::new(), 0),
    };
    let pieces = model
        .pieces
        .get(skipped..)
        .ok_or("it has no pieces beside the special ones")?;
    vocabulary.extend(pieces.iter().map(|piece| {
        let unused = layout == Layout::Albert && is_number_with_comma(&piece.text);
        (
            piece.text.clone(),
            f64::from(piece.score) - if unused { 100.0 } else { 0.0 },
        )
    }));
    match layout {
        Layout::Xlm | Layout::Camembert => {
            vocabulary.push(named("mask_token"));
            Ok((vocabulary, 3))
        }
        Layout::Albert | Layout::Deberta => Ok((vocabulary, model.unknown)),
    }
}

fn is_number_with_comma(piece: &str) -> bool {
    let mut letters = piece.chars().rev();
    letters.next() == Some(',') && letters.next().is_some_and(char::is_numeric)
}

fn normalizer(model: &Model, settings: &Settings, layout: Layout) -> Explained<Option<NormalizerWrapper>> {
    let lower = |default: bool| settings.flag("do_lower_case", default);
    let regex = |pattern: &str| json!({"Regex": pattern});
    let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let mut before = Vec::new();
    let mut after = Vec::new();
    match layout {
        Layout::Xlm | Layout::Camembert => {}
        Layout::Albert => {
            before.push(replace(json!({"String": "``"}), "\""));
            before.push(replace(json!({"String": "''"}), "\""));
            if !settings.flag("keep_accents", false) {
                before.extend([json!({"type": "NFKD"}), json!({"type": "StripAccents"})]);
            }
            before.extend(lower(true).then(|| json!({"type": "Lowercase"})));
        }
        Layout::Deberta => {
            before.extend(lower(false).then(|| json!({"type": "Lowercase"})));
            before.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
            after.push(replace(regex(" {2,}"), " "));
        }
    }
    let mut steps: Vec<NormalizerWrapper> = before.into_iter().map(part).collect::<Explained<_>>()?;
    if !model.charsmap.is_empty() {
        charsmap::check(&model.charsmap).map_err(|e| format!("precompiled_charsmap: {e}"))?;
        let precompiled = Precompiled::from(&model.charsmap).map_err(|e| e.to_string())?;
        steps.push(NormalizerWrapper::Precompiled(precompiled));
    }
    steps.extend(after.into_iter().map(part).collect::<Explained<Vec<_>>>()?);
    Ok(match steps.len() {
        0 => None,
        1 => steps.pop(),
        _ => Some(NormalizerWrapper::Sequence(Sequence::new(steps))),
    })
}

/// How a text is cut before its white space becomes `▁`.
fn first_split(settings: &Settings, layout: Layout) -> Option<Value> {
    match layout {
        Layout::Deberta => {
            let split = settings.flag("split_by_punct", false);
            split.then(|| json!({"type": "Punctuation", "behavior": "Isolated"}))
        }
        _ => Some(json!({"type": "WhitespaceSplit"})),
    }
}
