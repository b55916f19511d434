//! The worker with a trainer of sh: everything but the numbers is real.

mod jobs;
mod stops;
mod trainer_process;
mod yard;
