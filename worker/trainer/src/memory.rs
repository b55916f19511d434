//! The one file of this crate with `unsafe`: tensors over foreign memory, and slices over tensors.
//!
//! Why at all: weights are used straight from the mapped file (0.2 ms instead of 70 ms and half the memory), and the
//! optimizer writes parameters in one pass (5 ms a step for 22.7 M of them; with libtorch operations it is 70).
#![expect(
    unsafe_code,
    reason = "libtorch takes and gives raw pointers only; every block says why it is sound"
)]

use crate::failure::{Failure, Result};
use std::fs::File;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A file mapped privately: what is written to it stays in this process.
#[derive(Debug)]
pub(crate) struct MappedFile(memmap2::MmapMut);

impl MappedFile {
    /// Maps `path` whole.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Failure::file("open", path, e))?;
        // SAFETY: files below --inputs and --checkpoints are written once and then only renamed or removed, never
        // truncated, by the worker and by this process; pages of an unlinked file stay valid.
        let map = unsafe { memmap2::MmapOptions::new().map_copy(&file) };
        map.map(Self).map_err(|e| Failure::file("map", path, e))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A tensor that borrows `range` of the file, which holds `shape` values of `kind` in native byte order.
    ///
    /// The mapping is never undone (it is leaked by [`MappedFile::leak`]), as a tensor cannot say how long it lives.
    pub(crate) fn tensor(leaked: &'static Self, bytes: &'static [u8], shape: &[i64], kind: Kind) -> Tensor {
        let wanted = shape.iter().product::<i64>().unsigned_abs() as usize * kind.elt_size_in_bytes();
        let (start, end) = (leaked.0.as_ptr() as usize, leaked.0.as_ptr() as usize + leaked.0.len());
        let at = bytes.as_ptr() as usize;
        assert!(
            bytes.len() == wanted && at >= start && at + wanted <= end,
            "tensor outside its file"
        );
        // SAFETY: the bytes lie within a mapping that lives as long as the process, and are as many as the shape
        // needs (both asserted above); x86-64 and AArch64 read unaligned values.
        unsafe { Tensor::from_blob(bytes.as_ptr(), shape, &[], kind, Device::Cpu) }
    }

    /// Keeps the mapping until the process ends.
    pub(crate) fn leak(self) -> &'static Self {
        Box::leak(Box::new(self))
    }
}

fn assert_plain_floats(tensor: &Tensor) {
    assert!(
        tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous(),
        "not a contiguous fp32 tensor on the CPU"
    );
}

/// The values of a contiguous fp32 tensor on the CPU, in row-major order.
pub(crate) fn floats(tensor: &Tensor) -> &[f32] {
    assert_plain_floats(tensor);
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: the tensor is contiguous fp32 on the CPU, so `numel` values lie at its data pointer, which libtorch
    // aligns to 64 bytes (mapped tensors are copied before they come here when unaligned, see the assertion); the
    // tensor keeps its storage while it is borrowed.
    unsafe {
        let pointer = tensor.data_ptr().cast::<f32>();
        assert!(pointer.is_aligned(), "unaligned tensor");
        std::slice::from_raw_parts(pointer, tensor.numel())
    }
}

/// As [`floats`], to be written. `tensor` is borrowed mutably, so nothing else in Rust reads it at the same time.
pub(crate) fn floats_mut(tensor: &mut Tensor) -> &mut [f32] {
    assert_plain_floats(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as in `floats`; the callers own the only handle that is in use meanwhile: libtorch runs nothing in the
    // background between two calls on the CPU.
    unsafe {
        let pointer = tensor.data_ptr().cast::<f32>();
        assert!(pointer.is_aligned(), "unaligned tensor");
        std::slice::from_raw_parts_mut(pointer, tensor.numel())
    }
}

/// The bytes of a contiguous fp32 tensor, as safetensors stores them.
pub(crate) fn bytes(tensor: &Tensor) -> &[u8] {
    let floats = floats(tensor);
    // SAFETY: every bit pattern is a valid `u8`, and the length is that of the floats.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast::<u8>(), size_of_val(floats)) }
}
