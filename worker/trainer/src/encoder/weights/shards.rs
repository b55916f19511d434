//! Checkpoints in several files, and the index that says which tensor lies in which.

use super::names::shown;
use super::{Format, Stored, read_file};
use crate::failure::{Failure, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Most bytes of an index: those of the largest models have a few hundred kilobytes.
const MOST_BYTES: u64 = 16 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The tensors that the index of `format` names, each from the file that it names, and these files.
///
/// # Errors
///
/// A user's failure where the index cannot be understood, or a file or tensor is not where it says.
pub(super) fn stored(format: &Format, folder: &Path, name: &str) -> Result<(Vec<String>, Stored)> {
    let index = read_index(format, folder, name)?;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in &index.weight_map {
        shards.entry(file).or_default().push(tensor);
    }
    let wrong = |what: String| Failure::user(format!("{name}/{}: {what}", format.index));
    let mut stored = Stored::new();
    for (file, tensors) in &shards {
        if !is_shard(file, format) {
            return Err(wrong(format!(
                "{} is not the name of a shard in this folder",
                shown(file)
            )));
        }
        if !folder.join(file).is_file() {
            return Err(wrong(format!("the file {} is missing", shown(file))));
        }
        let mut shard = read_file(format, folder, name, file)?;
        for tensor in tensors {
            let found = shard.remove_entry(*tensor);
            let (tensor, value) =
                found.ok_or_else(|| wrong(format!("{} has no tensor {}", shown(file), shown(tensor))))?;
            stored.insert(tensor, value);
        }
    }
    Ok((shards.into_keys().map(str::to_owned).collect(), stored))
}

/// Is this a plain name, with the extension of the format? Shards lie beside their index, each under one spelling.
fn is_shard(file: &str, format: &Format) -> bool {
    let path = Path::new(file);
    path.file_name() == Some(path.as_os_str()) && path.extension() == Path::new(format.whole).extension()
}

fn read_index(format: &Format, folder: &Path, name: &str) -> Result<Index> {
    let path = folder.join(format.index);
    let size = std::fs::metadata(&path)
        .map_err(|e| Failure::file("read", &path, e))?
        .len();
    if size > MOST_BYTES {
        return Err(Failure::user(format!(
            "{name}/{} has {size} bytes, more than {MOST_BYTES}",
            format.index
        )));
    }
    let text = std::fs::read(&path).map_err(|e| Failure::file("read", &path, e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Failure::user(format!("{name}/{}: {}", format.index, shown(&e.to_string()))))
}
