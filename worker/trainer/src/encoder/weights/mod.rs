//! The tensors of a checkpoint, used where they lie in its mapped files.
//!
//! Formats in the order in which `transformers` looks for them: `model.safetensors`, its shards, `pytorch_model.bin`, its
//! shards. Files come from strangers: nothing in them is executed, and no number in them is believed before it is checked
//! against the length of the file.

mod names;
mod pickle;
mod pytorch;
mod safetensors;
mod shards;
mod state_dict;
mod zip;

pub(crate) use safetensors::{read, write};

use crate::failure::{Failure, Result};
use crate::memory;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Kind, Tensor};

/// Name -> floating-point values as the file has them; `None` for whole numbers (positions and the like), which no model
/// here takes from a file.
type Stored = BTreeMap<String, Option<Tensor>>;

/// How a file holds tensors.
struct Format {
    /// What reports call it.
    name: &'static str,
    /// The file where it is one.
    whole: &'static str,
    /// Which tensor lies in which file, where they are several.
    index: &'static str,
    read: fn(&Path) -> Result<Stored>,
}

/// First come, first read.
const FORMATS: [Format; 2] = [
    Format {
        name: "safetensors",
        whole: "model.safetensors",
        index: "model.safetensors.index.json",
        read: safetensors::stored,
    },
    Format {
        name: "pytorch",
        whole: "pytorch_model.bin",
        index: "pytorch_model.bin.index.json",
        read: pytorch::stored,
    },
];

/// Name -> tensor, fp32.
#[derive(Debug)]
pub struct Weights {
    /// In the files' own kinds; [`Weights::take`] makes them fp32, so that nothing is converted that nobody uses.
    tensors: BTreeMap<String, Tensor>,
    /// What messages call the file.
    pub(crate) file: String,
    /// `safetensors` or `pytorch`.
    pub(crate) format: &'static str,
    /// The files that were read, relative to the folder.
    pub(crate) files: Vec<String>,
}

impl Weights {
    /// Maps the checkpoint in `folder`; `name` is what messages call the folder. Names are today's: LayerNorm's `gamma` and
    /// `beta` are `weight` and `bias`, and the `module.` of `DataParallel` is gone.
    ///
    /// # Errors
    ///
    /// A user's failure where a file is absent, damaged or holds something other than tensors; it names the file.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        for format in &FORMATS {
            let (file, files, stored) = if folder.join(format.whole).is_file() {
                let stored = read_file(format, folder, name, format.whole)?;
                (format.whole, vec![format.whole.to_owned()], stored)
            } else if folder.join(format.index).is_file() {
                let (files, stored) = shards::stored(format, folder, name)?;
                (format.index, files, stored)
            } else {
                continue;
            };
            let floats = stored.into_iter().filter_map(|(name, tensor)| Some((name, tensor?)));
            return Ok(Self {
                tensors: names::today(floats.collect()),
                file: format!("{name}/{file}"),
                format: format.name,
                files,
            });
        }
        let known: Vec<&str> = FORMATS.iter().flat_map(|format| [format.whole, format.index]).collect();
        Err(Failure::user(format!(
            "{name} has no weights (looked for {})",
            known.join(", ")
        )))
    }

    /// Takes the tensor of this name out: contiguous fp32.
    pub(crate) fn take(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name).map(|tensor| plain(&tensor))
    }

    /// Is there a tensor of this name that was not taken?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names of what was not taken.
    pub(crate) fn left(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }
}

/// Every tensor of the checkpoint in `folder`, contiguous fp32; else as [`Weights::open`].
///
/// # Errors
///
/// As [`Weights::open`].
pub fn read_checkpoint(folder: &Path, name: &str) -> Result<BTreeMap<String, Tensor>> {
    let tensors = Weights::open(folder, name)?.tensors.into_iter();
    Ok(tensors.map(|(name, tensor)| (name, plain(&tensor))).collect())
}

fn read_file(format: &Format, folder: &Path, name: &str, file: &str) -> Result<Stored> {
    (format.read)(&folder.join(file)).map_err(|failure| failure.within(&format!("{name}/{file}")))
}

/// Contiguous, aligned fp32: the same memory where it is that already.
fn plain(tensor: &Tensor) -> Tensor {
    let floats = tensor.to_kind(Kind::Float).contiguous();
    if memory::is_aligned(&floats) {
        floats
    } else {
        floats.copy()
    }
}
