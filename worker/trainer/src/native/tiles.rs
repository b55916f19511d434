//! The tiles of AMX, registers that multiply small matrices of bf16.

use crate::processor;

unsafe extern "C" {
    fn trainer_tiles_compiled() -> bool;
}

/// Numbers of bf16 in a row of a tile.
const ROW: i64 = 32;

/// Can tables of these `sizes` be multiplied in tiles here? On a CPU without AMX none can.
pub(super) fn fit(sizes: &[i64]) -> bool {
    let are_whole = sizes.iter().all(|size| *size > 0 && size % ROW == 0);
    // SAFETY: it takes nothing and reads nothing.
    are_whole && unsafe { trainer_tiles_compiled() } && processor::is_fast_in_bf16()
}
