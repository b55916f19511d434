//! Takes train jobs, keeps their lease, runs a trainer process, registers the result.
//!
//! [`pool`] is the loop: permit, receive, [`attempt`], settle. An attempt claims the job, keeps its [`lease`], and walks
//! through the stages in the order that [`pipeline`] alone knows; [`outcome`] says what follows from every way in which
//! that can end.

pub mod accelerator;
pub mod attempt;
mod bounded_lines;
mod caretaker;
pub mod cli;
pub mod context;
pub mod disk_space;
pub mod drain;
mod failure;
pub mod follow;
pub mod heartbeat;
pub mod interruption;
pub mod lease;
pub mod metrics;
pub mod models;
pub mod outcome;
pub mod pipeline;
pub mod pool;
pub mod protect;
pub mod run;
mod settle;
mod slots;
pub mod stages;
pub mod start;
mod time_limit;
pub mod trainer_process;
mod watch;
pub mod work_folder;
