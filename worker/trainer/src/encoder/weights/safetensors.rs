//! Files of the safetensors format.

use super::Stored;
use super::names::shown;
use crate::failure::{Failure, Result};
use crate::memory::{self, MappedFile};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Kind, Tensor};

/// Every tensor of a safetensors file as contiguous fp32; whole numbers are left out.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let floats = stored(path)?.into_iter();
    Ok(floats
        .filter_map(|(name, tensor)| Some((name, super::plain(&tensor?))))
        .collect())
}

/// Every tensor of the file, where it lies.
pub(super) fn stored(path: &Path) -> Result<Stored> {
    let file = MappedFile::open(path)?.leak();
    let parsed = SafeTensors::deserialize(file.bytes()).map_err(|e| not_safetensors(&e))?;
    let mut tensors = Stored::new();
    for (name, view) in parsed.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => Some(Kind::Float),
            Dtype::F16 => Some(Kind::Half),
            Dtype::BF16 => Some(Kind::BFloat16),
            Dtype::F64 => Some(Kind::Double),
            Dtype::BOOL | Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 => None,
            Dtype::U32 | Dtype::I32 | Dtype::U64 | Dtype::I64 => None,
            other => {
                return Err(Failure::user(format!(
                    "tensor {} has the unknown type {other:?}",
                    shown(name)
                )));
            }
        };
        let tensor = kind.map(|kind| tensor(file, &view, kind)).transpose();
        let tensor = tensor.map_err(|failure| failure.within(&format!("tensor {}", shown(name))))?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// What the crate says may quote the file at any length.
fn not_safetensors(error: &SafeTensorError) -> Failure {
    Failure::user(format!("not safetensors: {}", shown(&error.to_string())))
}

fn tensor(file: &'static MappedFile, view: &TensorView<'static>, kind: Kind) -> Result<Tensor> {
    let shape: Option<Vec<i64>> = view.shape().iter().map(|size| i64::try_from(*size).ok()).collect();
    let layout = shape.and_then(|shape| row_major(&shape).map(|strides| (shape, strides)));
    let Some((shape, strides)) = layout else {
        return Err(Failure::user(format!("the shape {:?} is too large", view.shape())));
    };
    MappedFile::tensor(file, view.data(), (&shape, &strides), kind)
}

/// The strides of contiguous values; `None` where they overflow.
fn row_major(shape: &[i64]) -> Option<Vec<i64>> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = shape[axis].max(1).checked_mul(strides[axis])?;
    }
    Some(strides)
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
