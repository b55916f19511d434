//! Checkpoints in several files, and the index that says which tensor lies in which.

use super::names::shown;
use super::{Format, Stored, read_file};
use crate::failure::{Failure, Result};
use crate::request::stays_inside;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
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
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    let mut stored = Stored::new();
    for file in &files {
        let extension = Path::new(format.whole).extension();
        let is_shard = stays_inside(file) && Path::new(file).extension() == extension;
        if !is_shard {
            return Err(Failure::user(format!(
                "{name}/{}: {} is not the name of a shard in this folder",
                format.index,
                shown(file)
            )));
        }
        if !folder.join(file).is_file() {
            return Err(Failure::user(format!(
                "{name}/{}: the file {} is missing",
                format.index,
                shown(file)
            )));
        }
        let mut shard = read_file(format, folder, name, file)?;
        for (tensor, _) in index.weight_map.iter().filter(|(_, of)| of == file) {
            let (tensor, value) = shard.remove_entry(tensor).ok_or_else(|| {
                Failure::user(format!(
                    "{name}/{}: {} has no tensor {}",
                    format.index,
                    shown(file),
                    shown(tensor)
                ))
            })?;
            stored.insert(tensor, value);
        }
    }
    Ok((files.into_iter().cloned().collect(), stored))
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
