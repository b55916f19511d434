//! The folder that `transformers.pipeline(task, model=…)` loads, and the other files below `--outputs`.

use crate::encoder::{HeadKind, Pooling, read_checkpoint, weights};
use crate::failure::{Failure, Result};
use crate::model::{Model, Repository};
use crate::request::stays_inside;
use crate::sentence_config;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;

/// Files of sentence-transformers beside those in the folders that modules.json names.
const SENTENCE_TRANSFORMERS: &[&str] = &["modules.json", "config_sentence_transformers.json"];

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes the model into `folder`, which must not exist yet. The same model gives the same bytes.
///
/// # Errors
///
/// Where a file cannot be read or written.
pub fn model(
    repository: &Repository,
    model: &Model,
    labels: &[String],
    trained: bool,
    folder: &Path,
) -> Result<Exported> {
    std::fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, e))?;
    json_file(
        &folder.join("config.json"),
        &config(repository, model.head, labels, trained),
    )?;
    let tensors: Vec<_> = model.named_tensors();
    let contiguous: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.contiguous()))
        .collect();
    let borrowed: Vec<_> = contiguous.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    weights::write(&folder.join("model.safetensors"), &borrowed)?;
    repository
        .tokenizer
        .export(&repository.config, &repository.folder, folder)?;
    if model.head == HeadKind::Bare {
        for file in SENTENCE_TRANSFORMERS {
            carry(&repository.folder, folder, file)?;
        }
        sentence_config::export(repository, folder)?;
        for file in Pooling::files(&repository.folder, &repository.name)? {
            match file.strip_suffix("/pytorch_model.bin") {
                Some(module) => module_weights(repository, module, folder)?,
                None => carry(&repository.folder, folder, &file)?,
            }
        }
    }
    count(folder)
}

/// Writes the tensors of a module's `pytorch_model.bin` as `model.safetensors`, where it has none.
fn module_weights(repository: &Repository, module: &str, folder: &Path) -> Result<()> {
    let (source, target) = (repository.folder.join(module), folder.join(module));
    if source.join("model.safetensors").is_file() {
        return Ok(());
    }
    let tensors = read_checkpoint(&source, &format!("{}/{module}", repository.name))?;
    let named: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    std::fs::create_dir_all(&target).map_err(|e| Failure::file("create", &target, e))?;
    weights::write(&target.join("model.safetensors"), &named)
}

/// config.json: as it came, but for the class, the labels and the type of the numbers.
fn config(repository: &Repository, head: HeadKind, labels: &[String], trained: bool) -> Map<String, Value> {
    let mut fields = repository.config.fields().clone();
    fields.insert("architectures".into(), json!([repository.family.class(head)]));
    for key in ["dtype", "torch_dtype"] {
        if fields.contains_key(key) {
            fields.insert(key.into(), "float32".into());
        }
    }
    if head == HeadKind::Bare {
        return fields;
    }
    let ids: Map<String, Value> = labels
        .iter()
        .enumerate()
        .map(|(id, label)| (id.to_string(), json!(label)))
        .collect();
    let names: Map<String, Value> = labels
        .iter()
        .enumerate()
        .map(|(id, label)| (label.clone(), json!(id)))
        .collect();
    fields.insert("id2label".into(), ids.into());
    fields.insert("label2id".into(), names.into());
    fields.remove("num_labels");
    if trained && matches!(head, HeadKind::Text { .. }) {
        fields.insert("problem_type".into(), "single_label_classification".into());
    }
    fields
}

/// Writes JSON with an indent of 4, as `json.dumps(…, indent=4)` does, and a line's end.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn json_file(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    value.serialize(&mut serializer).map_err(anyhow::Error::new)?;
    text.push(b'\n');
    std::fs::write(path, text).map_err(|e| Failure::file("write", path, e))
}

/// Writes one JSON value a line.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn json_lines(path: &Path, values: &[impl Serialize]) -> Result<()> {
    let mut text = Vec::new();
    for value in values {
        serde_json::to_writer(&mut text, value).map_err(anyhow::Error::new)?;
        let _ = text.write_all(b"\n");
    }
    std::fs::write(path, text).map_err(|e| Failure::file("write", path, e))
}

/// Copies a file of the repository where it is there.
pub(crate) fn carry(from: &Path, to: &Path, file: &str) -> Result<()> {
    let (source, target) = (from.join(file), to.join(file));
    if !stays_inside(file) || !source.is_file() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(|e| Failure::file("create", parent, e))?;
    }
    // Contents only: files of a hub cache may be read-only, and what is written here belongs to the job.
    let bytes = std::fs::read(&source).map_err(|e| Failure::file("read", &source, e))?;
    std::fs::write(&target, bytes).map_err(|e| Failure::file("write", &target, e))
}

fn count(folder: &Path) -> Result<Exported> {
    let mut total = Exported { files: 0, bytes: 0 };
    let failed = |e| Failure::file("list", folder, e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let facts = entry.metadata().map_err(failed)?;
        let below = if facts.is_dir() {
            count(&entry.path())?
        } else {
            Exported {
                files: 1,
                bytes: facts.len(),
            }
        };
        total = Exported {
            files: total.files + below.files,
            bytes: total.bytes + below.bytes,
        };
    }
    Ok(total)
}
