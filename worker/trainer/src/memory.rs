//! Tensors over foreign memory, and slices over tensors: with the calls of `native`, all the `unsafe` of this crate.
//!
//! Why at all: weights are used straight from the mapped file (0.2 ms instead of 70 ms and half the memory), and the
//! optimizer writes parameters in one pass (5 ms a step for 22.7 M of them; with libtorch operations it is 70).
#![expect(
    unsafe_code,
    reason = "libtorch takes and gives raw pointers only; every block says why it is sound"
)]

use crate::bf16::{Bf16, Numbers};
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

    /// A tensor that borrows `bytes` of the file, which hold values of `kind` in native byte order: `shape` of them,
    /// `strides` values apart.
    ///
    /// The mapping is never undone (it is leaked by [`MappedFile::leak`]), as a tensor cannot say how long it lives.
    ///
    /// # Errors
    ///
    /// A user's failure where the values do not lie within `bytes`.
    pub(crate) fn tensor(
        leaked: &'static Self,
        bytes: &'static [u8],
        (shape, strides): (&[i64], &[i64]),
        kind: Kind,
    ) -> Result<Tensor> {
        let wanted = span(shape, strides).and_then(|values| values.checked_mul(kind.elt_size_in_bytes()));
        if wanted.is_none_or(|wanted| wanted > bytes.len()) {
            return Err(Failure::user(format!(
                "the shape {shape:?} with the strides {strides:?} does not lie within its {} bytes",
                bytes.len()
            )));
        }
        let inside = leaked.bytes().as_ptr_range();
        let range = bytes.as_ptr_range();
        assert!(
            inside.start <= range.start && range.end <= inside.end,
            "tensor outside its file"
        );
        // SAFETY: the bytes lie within a mapping that lives as long as the process (asserted above), and every value that
        // shape and strides reach lies within them (checked above, with offsets that cannot overflow); x86-64 and AArch64
        // read unaligned values.
        Ok(unsafe { Tensor::f_from_blob(bytes.as_ptr(), shape, strides, kind, Device::Cpu)? })
    }

    /// Keeps the mapping until the process ends.
    pub(crate) fn leak(self) -> &'static Self {
        Box::leak(Box::new(self))
    }
}

/// fp32 zeros of `shape` on the CPU, in pages of the system that are taken where they are written to. They are never given
/// back: for what lives as long as a training.
pub(crate) fn zeros(shape: &[i64]) -> Tensor {
    let plain = || Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let bytes = shape.iter().product::<i64>().unsigned_abs() as usize * size_of::<f32>();
    if bytes < SMALL {
        return plain();
    }
    // Where the system has no more, libtorch says so.
    let Ok(map) = memmap2::MmapOptions::new().len(bytes).no_reserve_swap().map_anon() else {
        return plain();
    };
    let pages = Box::leak(Box::new(map));
    // SAFETY: the pages are this tensor's alone, as many as its values take, and are there until the process ends; a page of
    // the system is zero and aligned.
    unsafe { Tensor::from_blob(pages.as_mut_ptr(), shape, &strides(shape), Kind::Float, Device::Cpu) }
}

/// Bytes below which pages of its own are not worth their number to a tensor.
const SMALL: usize = 1 << 16;

/// Of values in row-major order.
fn strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for place in (1..shape.len()).rev() {
        strides[place - 1] = strides[place] * shape[place];
    }
    strides
}

/// Values from the first to behind the last one that `shape` and `strides` reach. `None` where they do not fit each other,
/// a number is negative, or one overflows.
fn span(shape: &[i64], strides: &[i64]) -> Option<usize> {
    if shape.len() != strides.len() || shape.iter().chain(strides).any(|number| *number < 0) {
        return None;
    }
    // libtorch multiplies the sizes itself, so their product must be a number even where one of them is zero.
    shape
        .iter()
        .try_fold(1_i64, |count, size| count.checked_mul((*size).max(1)))?;
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape.iter().zip(strides).try_fold(0_i64, |at, (size, stride)| {
        at.checked_add((size - 1).checked_mul(*stride)?)
    })?;
    usize::try_from(last.checked_add(1)?).ok()
}

/// Does the first value lie at a multiple of its size? Where it does not, [`floats`] cannot be used.
pub(crate) fn is_aligned(tensor: &Tensor) -> bool {
    tensor
        .data_ptr()
        .addr()
        .is_multiple_of(tensor.kind().elt_size_in_bytes())
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

fn assert_plain_bf16(tensor: &Tensor) {
    assert!(
        tensor.kind() == Kind::BFloat16 && tensor.device() == Device::Cpu && tensor.is_contiguous(),
        "not a contiguous bf16 tensor on the CPU"
    );
}

/// As [`floats`], of a tensor of fp32 or of bf16.
pub(crate) fn numbers(tensor: &Tensor) -> Numbers<'_> {
    if tensor.kind() != Kind::BFloat16 {
        return Numbers::Fp32(floats(tensor));
    }
    assert_plain_bf16(tensor);
    if tensor.numel() == 0 {
        return Numbers::Bf16(&[]);
    }
    // SAFETY: as in `floats`, with the two bytes of a bf16, of which any are one.
    unsafe {
        let pointer = tensor.data_ptr().cast::<Bf16>();
        assert!(pointer.is_aligned(), "unaligned tensor");
        Numbers::Bf16(std::slice::from_raw_parts(pointer, tensor.numel()))
    }
}

/// As [`floats_mut`], of bf16.
pub(crate) fn bf16_mut(tensor: &mut Tensor) -> &mut [Bf16] {
    assert_plain_bf16(tensor);
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as in `floats_mut` and `numbers`.
    unsafe {
        let pointer = tensor.data_ptr().cast::<Bf16>();
        assert!(pointer.is_aligned(), "unaligned tensor");
        std::slice::from_raw_parts_mut(pointer, tensor.numel())
    }
}

/// The values of a contiguous tensor of bytes on the CPU, to be written; see [`floats_mut`].
pub(crate) fn bytes_mut(tensor: &mut Tensor) -> &mut [u8] {
    assert!(
        tensor.kind() == Kind::Uint8 && tensor.device() == Device::Cpu && tensor.is_contiguous(),
        "not a contiguous tensor of bytes on the CPU"
    );
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: as in `floats_mut`, with a byte a value.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), tensor.numel()) }
}

/// The bytes of a contiguous fp32 tensor, as safetensors stores them.
pub(crate) fn bytes(tensor: &Tensor) -> &[u8] {
    let floats = floats(tensor);
    // SAFETY: every bit pattern is a valid `u8`, and the length is that of the floats.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast::<u8>(), size_of_val(floats)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_zeros_in_row_major_order_of_any_size() {
        for shape in [&[3_i64][..], &[20_000], &[2, 300, 41], &[0, 5], &[7, 1, 5000]] {
            let mut ours = zeros(shape);
            assert_eq!(ours, Tensor::zeros(shape, (Kind::Float, Device::Cpu)), "{shape:?}");
            let count = ours.numel();
            let values = floats_mut(&mut ours);
            values.iter_mut().enumerate().for_each(|(at, value)| *value = at as f32);
            let expected = Tensor::arange(count as i64, (Kind::Float, Device::Cpu)).view(shape);
            assert_eq!(ours, expected, "{shape:?}");
        }
    }
}
