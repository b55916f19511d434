//! The queue's clock.
//!
//! Deadlines are milliseconds of CLOCK_BOOTTIME: every process of the machine sees the same, it counts suspended time
//! and nobody can set it. It starts anew with every boot, which the kernel's boot id tells. For that case alone, a
//! deadline is also kept by the wall clock; a jump of that one can then shorten a delay but never lengthen it.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Milliseconds since the machine started, suspended ones too.
pub(super) fn now() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}

/// Milliseconds since 1970.
pub(super) fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// A duration in whole milliseconds, rounded up.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000))
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4)
}

/// Names this run of the kernel.
pub(super) fn boot() -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(BOOT_ID).map_err(|error| anyhow::anyhow!("failed to read {BOOT_ID}: {error}"))?;
    Ok(text.trim().to_owned())
}
