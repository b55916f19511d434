//! Files of `torch.save`: a ZIP archive with the pickle of a state dict, and its storages as entries.

use super::names::shown;
use super::state_dict::{Element, View, damaged};
use super::zip::Archive;
use super::{Stored, pickle};
use crate::failure::{Failure, Result};
use crate::memory::MappedFile;
use std::path::Path;
use tch::Tensor;

const AGAIN: &str = "save it again with torch.save of PyTorch 1.6 or later, or as safetensors";

/// Every tensor of the file, where it lies. Nothing in the file is executed.
///
/// # Errors
///
/// A user's failure that says what is damaged, or refused.
pub(super) fn stored(path: &Path) -> Result<Stored> {
    let file = MappedFile::open(path)?.leak();
    let bytes = file.bytes();
    if !bytes.starts_with(b"PK") {
        return Err(not_an_archive(bytes));
    }
    let archive = Archive::open(bytes)?;
    let root = root(&archive)?;
    archive.only_stored()?;
    let entry = |name: &str| archive.get(&format!("{root}/{name}"));
    if entry("byteorder").is_some_and(|order| order != b"little") {
        return Err(Failure::user(format!("its byte order is not little-endian; {AGAIN}")));
    }
    let code = entry("data.pkl").ok_or_else(|| damaged("it has no data.pkl"))?;
    let (objects, whole) = pickle::read(code)?;
    let mut tensors = Stored::new();
    let mut values = 0;
    for (name, view) in objects.state_dict(whole)? {
        let storage = entry(&format!("data/{}", view.storage.key));
        let tensor =
            tensor(file, storage, view).map_err(|failure| failure.within(&format!("tensor {}", shown(name))))?;
        values += tensor.as_ref().map_or(0, Tensor::numel);
        // Views of one storage may overlap, but not so often that their copies fill the memory.
        if values > bytes.len() {
            return Err(damaged("its tensors hold more values than the file has bytes"));
        }
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// The folder in which everything lies; `torch.save` calls it as the file was called.
fn root<'a>(archive: &Archive<'a>) -> Result<&'a str> {
    let roots = |file: &'static str| {
        archive
            .names()
            .filter_map(move |name| name.split_once('/').filter(|(_, below)| *below == file))
            .map(|(root, _)| root)
    };
    if roots("constants.pkl").next().is_some() {
        return Err(Failure::user(format!(
            "it is a TorchScript archive, which is a program; {AGAIN}"
        )));
    }
    let mut found = roots("data.pkl");
    match (found.next(), found.next()) {
        (Some(root), None) => Ok(root),
        (None, _) => Err(Failure::user(
            "it is a ZIP archive, but not one of torch.save: it has no data.pkl",
        )),
        (Some(_), Some(_)) => Err(damaged("it has two data.pkl")),
    }
}

fn not_an_archive(bytes: &[u8]) -> Failure {
    // A pickle of protocol 2 or later is what torch.save wrote before 1.6.
    if matches!(bytes, [0x80, 2..=5, ..]) {
        return Failure::user(format!("it is in PyTorch's old format, a bare pickle; {AGAIN}"));
    }
    Failure::user("it is not a file of torch.save (a ZIP archive)")
}

/// A tensor over the entry of its storage; `None` for whole numbers.
fn tensor(file: &'static MappedFile, entry: Option<&'static [u8]>, view: &View<'_>) -> Result<Option<Tensor>> {
    let storage = &view.storage;
    let entry = entry.ok_or_else(|| Failure::user(format!("its storage {} is missing", shown(storage.key))))?;
    let size = storage.element.size() as u64;
    if storage.values.checked_mul(size) != Some(entry.len() as u64) {
        return Err(Failure::user(format!(
            "its storage {} has {} bytes, not {} values of {size}",
            shown(storage.key),
            entry.len(),
            storage.values
        )));
    }
    if view.offset > storage.values {
        return Err(Failure::user(format!(
            "it begins at value {} of {}",
            view.offset, storage.values
        )));
    }
    let Element::Float(kind) = storage.element else {
        return Ok(None);
    };
    // No overflow: it is at most the length of the entry.
    let bytes = &entry[(view.offset * size) as usize..];
    MappedFile::tensor(file, bytes, (&view.shape, &view.strides), kind).map(Some)
}
