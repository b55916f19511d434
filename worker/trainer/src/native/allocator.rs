//! Large tensors on the CPU take their memory from [`Blocks`].

use crate::blocks::Blocks;
use memmap2::MmapOptions;
use std::ffi::c_void;
use std::sync::{Mutex, Once, PoisonError};

/// Smaller ones are malloc's, in bytes.
const LARGE: usize = 1 << 16;

static BLOCKS: Mutex<Option<Blocks>> = Mutex::new(None);

unsafe extern "C" {
    fn trainer_use_allocator(take: extern "C" fn(usize) -> *mut c_void, give: extern "C" fn(*mut c_void) -> bool);
}

/// From now on. To be called before other threads begin.
pub(crate) fn use_blocks() {
    static FIRST: Once = Once::new();
    // SAFETY: `take` gives addresses of memory that is mapped until the process ends, each to one tensor at a time, and
    // `give` knows which these are.
    FIRST.call_once(|| unsafe { trainer_use_allocator(take, give) });
}

/// Null for small sizes, and where the system has no more: malloc says what libtorch says then.
extern "C" fn take(bytes: usize) -> *mut c_void {
    if bytes < LARGE {
        return std::ptr::null_mut();
    }
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let blocks = blocks.get_or_insert_default();
    let address = blocks.take(bytes).or_else(|| {
        grow(blocks, bytes)?;
        blocks.take(bytes)
    });
    address.map_or(std::ptr::null_mut(), std::ptr::with_exposed_provenance_mut)
}

extern "C" fn give(block: *mut c_void) -> bool {
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    blocks.as_mut().is_some_and(|blocks| blocks.give(block.addr()))
}

fn grow(blocks: &mut Blocks, bytes: usize) -> Option<()> {
    let more = blocks.growth(bytes)?;
    // It counts where it is touched.
    let map = MmapOptions::new().len(more).no_reserve_swap().map_anon().ok()?;
    let memory = Box::leak(Box::new(map));
    blocks.add(memory.as_mut_ptr().expose_provenance(), more);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn tensors_of_any_size_keep_their_values_apart() {
        use_blocks();
        let bytes = |size, value| Tensor::full([size], value, (Kind::Uint8, Device::Cpu));
        let sizes = [1, 100, 65_535, 65_536, 65_537, 1 << 20, 3 << 20, 70 << 20];
        let mut live: Vec<(Tensor, i64)> = Vec::new();
        for round in 0..40_usize {
            let value = round as i64;
            live.push((bytes(sizes[round % sizes.len()], value), value));
            if round % 3 == 2 {
                let (tensor, value) = live.swap_remove(round % live.len());
                assert!(tensor.eq(value).all().int64_value(&[]) == 1, "round {round}");
            }
        }
        for (tensor, value) in &live {
            assert!(tensor.eq(*value).all().int64_value(&[]) == 1, "{value}");
        }
        let of_a_block = |tensor: &Tensor| tensor.numel() >= LARGE;
        for (tensor, _) in live {
            let (at, large) = (tensor.data_ptr(), of_a_block(&tensor));
            let known = |at: *mut c_void| {
                let blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.as_ref().is_some_and(|blocks| blocks.has(at.addr()))
            };
            assert_eq!(known(at), large);
        }
    }

    #[test]
    fn what_no_machine_has_is_refused_as_libtorch_refuses_it() {
        use_blocks();
        let refused = Tensor::f_empty([1 << 50], (Kind::Float, Device::Cpu)).expect_err("4 PiB");
        let text = refused.to_string();
        let failure = crate::failure::Failure::from_text(&text);
        assert!(matches!(failure, crate::failure::Failure::OutOfMemory(_)), "{text}");
    }
}
