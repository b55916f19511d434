//! WordPiece from `vocab.txt`, by the rules of `BertTokenizer` and those derived from it.
//!
//! `never_split` and `do_basic_tokenize` change nothing, as in every release of `transformers` that reads such a
//! repository with the `tokenizers` library (4 and 5 alike); they were settings of its slow tokenizers.

use super::build::{Parts, part};
use super::settings::Settings;
use crate::failure::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the vocabulary, one token a line; of equal tokens the last counts.
pub(super) fn read(folder: &Path, settings: &Settings) -> Result<Parts> {
    let wrong = |error: &dyn std::fmt::Display| Failure::user(format!("{}/vocab.txt: {error}", settings.name));
    let text = std::fs::read_to_string(folder.join("vocab.txt")).map_err(|e| wrong(&e))?;
    let ids: BTreeMap<&str, usize> = text.lines().enumerate().map(|(id, token)| (token, id)).collect();
    let unknown = settings.token("unk_token").unwrap_or("[UNK]");
    if !ids.contains_key(unknown) {
        return Err(wrong(&format!("unk_token `{unknown}` is not in it")));
    }
    let model = json!({
        "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": ids,
    });
    Ok(Parts {
        model: part(model).map_err(|e| wrong(&e))?,
        normalizer: Some(part(normalizer(settings)).map_err(|e| wrong(&e))?),
        pre_tokenizer: json!({"type": "BertPreTokenizer"}),
        decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        added: Vec::new(),
    })
}

/// `BertNormalizer` as the settings have it.
pub(super) fn normalizer(settings: &Settings) -> Value {
    json!({
        "type": "BertNormalizer", "clean_text": true, "lowercase": settings.flag("do_lower_case", true),
        "handle_chinese_chars": settings.flag("tokenize_chinese_chars", true),
        "strip_accents": settings.fields.get("strip_accents").and_then(Value::as_bool),
    })
}
