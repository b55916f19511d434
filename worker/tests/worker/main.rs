//! The worker with a trainer of sh: everything but the numbers is real.
#![expect(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

mod hostile;
mod jobs;
mod stops;
mod trainer_process;
mod yard;
