//! The contract and the seams of Trainyard. Knows no libtorch.
//!
//! * [`job`]: what is to be done; [`project`]: a project's settings that become a job.
//! * [`queue`]: the doorbell; [`store`]: objects with compare-and-swap.
//! * [`ledger`]: the truth about every job; [`publication`]: one decision, then only repeatable effects.
//! * [`sweeper`]: what repairs itself.
//! * [`hub`]: models of the Hugging Face hub, verified.

pub mod backoff;
pub mod connect;
pub mod crash;
pub mod exit;
pub mod heartbeat;
pub mod job;
pub mod joblog;
pub mod ledger;
pub mod monitor;
pub mod publication;
pub mod queue;
pub mod shutdown;
pub mod store;
pub mod sweeper;
pub mod telemetry;
