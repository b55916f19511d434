//! Byte-level BPE from `vocab.json` and `merges.txt`, by the rules of `RobertaTokenizer`.

use super::build::{Parts, part};
use super::settings::{Settings, object};
use crate::failure::{Failure, Result};
use serde_json::{Value, json};
use std::path::Path;

/// Reads the vocabulary and the merges, best first.
pub(super) fn read(folder: &Path, settings: &Settings) -> Result<Parts> {
    let wrong = |file: &str, error: &dyn std::fmt::Display| Failure::user(format!("{}/{file}: {error}", settings.name));
    let vocabulary =
        object(folder, &settings.name, "vocab.json")?.ok_or_else(|| wrong("vocab.json", &"it is missing"))?;
    if let Some((token, id)) = vocabulary.iter().find(|(_, id)| !is_id(id)) {
        return Err(wrong(
            "vocab.json",
            &format!("the id of `{token}` must be a whole number, found {id}"),
        ));
    }
    let text = std::fs::read_to_string(folder.join("merges.txt")).map_err(|e| wrong("merges.txt", &e))?;
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#version") || line.trim().is_empty() {
            continue;
        }
        match line.split_once(' ').filter(|(_, second)| !second.contains(' ')) {
            Some(pair) => merges.push(pair),
            None => return Err(wrong("merges.txt", &format!("line {} is not two tokens", number + 1))),
        }
    }
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": merges,
    });
    let byte_level = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true});
    Ok(Parts {
        model: part(model).map_err(|e| wrong("merges.txt", &e))?,
        normalizer: None,
        pre_tokenizer: byte_level(settings.flag("add_prefix_space", false)),
        decoder: byte_level(true),
        added: Vec::new(),
    })
}

fn is_id(id: &Value) -> bool {
    id.as_u64().is_some_and(|id| u32::try_from(id).is_ok())
}
