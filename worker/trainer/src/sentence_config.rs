//! `sentence_bert_config.json` of sentence-transformers: where texts are cut, and whether they are read in lower case.

use crate::export::{carry, json_file};
use crate::failure::{Failure, Result};
use crate::model::Repository;
use serde_json::{Map, Value, json};
use std::path::Path;

const FILE: &str = "sentence_bert_config.json";

/// Tells the repository's tokenizer what the file says; `max_length`, if any, cuts too.
///
/// # Errors
///
/// A user's failure where the file is not a JSON object or leaves no room for text.
pub fn apply(repository: &mut Repository, max_length: Option<usize>) -> Result<()> {
    let fields = read(repository)?.unwrap_or_default();
    let said = fields.get("max_seq_length").and_then(Value::as_u64);
    let said = said.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let limit = said.into_iter().chain(max_length).min();
    if fields.get("do_lower_case").and_then(Value::as_bool) == Some(true) {
        repository.tokenizer.lower_case()?;
    }
    if let Some(limit) = limit {
        repository.tokenizer = repository.tokenizer.clone().cut_to(limit)?;
    }
    Ok(())
}

/// Writes the file so that it says where the repository's tokenizer cuts: as it came if it says that already. Without
/// modules.json sentence-transformers reads no such file, and the limit in tokenizer_config.json holds.
///
/// # Errors
///
/// Where a file cannot be read or written.
pub fn export(repository: &Repository, folder: &Path) -> Result<()> {
    let limit = json!(repository.tokenizer.limit());
    let came = read(repository)?;
    if came.as_ref().and_then(|fields| fields.get("max_seq_length")) == Some(&limit) {
        return carry(&repository.folder, folder, FILE);
    }
    if came.is_none() && !repository.folder.join("modules.json").exists() {
        return Ok(());
    }
    let mut fields = came.unwrap_or_default();
    fields.insert("max_seq_length".into(), limit);
    json_file(&folder.join(FILE), &fields)
}

fn read(repository: &Repository) -> Result<Option<Map<String, Value>>> {
    let path = repository.folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |error: &dyn std::fmt::Display| Failure::user(format!("{}/{FILE}: {error}", repository.name));
    let text = std::fs::read(path).map_err(|e| wrong(&e))?;
    serde_json::from_slice(&text).map(Some).map_err(|e| wrong(&e))
}
