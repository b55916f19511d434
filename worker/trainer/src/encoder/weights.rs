//! The tensors of a checkpoint (`model.safetensors`), used where they lie in the mapped file.

use crate::failure::{Failure, Result};
use crate::memory::{self, MappedFile};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Kind, Tensor};

/// Name -> tensor, fp32.
#[derive(Debug)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
    /// What messages call the file.
    pub(crate) file: String,
}

impl Weights {
    /// Maps `model.safetensors` in `folder`; `name` is what messages call the folder. Tensors of half precision are
    /// converted, LayerNorm's old names `gamma` and `beta` become `weight` and `bias`.
    ///
    /// # Errors
    ///
    /// A user's failure where the file is absent, damaged or holds something other than floating-point numbers.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join("model.safetensors");
        let file = format!("{name}/model.safetensors");
        if !path.is_file() {
            return Err(Failure::user(format!(
                "{file} is missing (weights are read from safetensors only)"
            )));
        }
        let tensors = read(&path).map_err(|failure| match failure {
            Failure::User(message) => Failure::user(format!("{file}: {message}")),
            other => other,
        })?;
        let tensors = tensors
            .into_iter()
            .map(|(name, tensor)| (today(&name), tensor))
            .collect();
        Ok(Self { tensors, file })
    }

    /// Takes the tensor of this name out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
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

/// Every tensor of a safetensors file as fp32; positions and other whole numbers are left out.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let file = MappedFile::open(path)?.leak();
    let parsed = SafeTensors::deserialize(file.bytes()).map_err(|e| Failure::user(format!("not safetensors: {e}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in parsed.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            Dtype::I64 | Dtype::I32 => continue,
            other => return Err(Failure::user(format!("tensor {name} has the unknown type {other:?}"))),
        };
        let shape: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
        let tensor = if view.data().as_ptr().addr().is_multiple_of(kind.elt_size_in_bytes()) {
            MappedFile::tensor(file, view.data(), &shape, kind)
        } else {
            Tensor::from_data_size(view.data(), &shape, kind)
        };
        tensors.insert(name.to_owned(), tensor.to_kind(Kind::Float));
    }
    Ok(tensors)
}

/// Writes fp32 tensors as a safetensors file with the metadata that `transformers` wants. The same tensors give the same
/// bytes.
pub(crate) fn write(path: &Path, tensors: &[(String, &Tensor)]) -> Result<()> {
    let views: std::result::Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, tensor)| {
            let shape = tensor.size().iter().map(|size| *size as usize).collect();
            TensorView::new(Dtype::F32, shape, memory::bytes(tensor)).map(|view| (name.as_str(), view))
        })
        .collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let written = views.and_then(|views| safetensors::serialize_to_file(views, Some(metadata), path));
    written.map_err(|error| match error {
        SafeTensorError::IoError(error) => Failure::file("write", path, error),
        other => Failure::Internal(anyhow::anyhow!("failed to write {}: {other}", path.display())),
    })
}

fn today(name: &str) -> String {
    let renamed = |old: &str, new: &str| name.strip_suffix(old).map(|stem| format!("{stem}{new}"));
    renamed(".gamma", ".weight")
        .or_else(|| renamed(".beta", ".bias"))
        .unwrap_or_else(|| name.to_owned())
}
