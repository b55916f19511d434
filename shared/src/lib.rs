//! The contract and the seams of Trainyard. Knows no libtorch.
//!
//! * [`job`]: what is to be done; [`project`]: a project's settings that become a job;
//!   [`settings`]: where every variable comes from, and the fleet's own; [`secret`]: values that must not be seen.
//! * [`gate`]: conditions on scores.
//! * [`aws`]: how S3 and SQS are reached.
//! * [`queue`]: the doorbell; [`store`]: objects with compare-and-swap.
//! * [`ledger`]: the truth about every job; [`publication`]: one decision, then only repeatable effects.
//! * [`sweeper`]: what repairs itself.
//! * [`hub`]: models of the Hugging Face hub, verified.

pub mod aws;
pub mod backoff;
pub mod connect;
pub mod crash;
pub mod exit;
pub mod fleet_series;
pub mod gate;
pub mod heartbeat;
pub mod hub;
pub mod job;
pub mod joblog;
pub mod ledger;
pub mod monitor;
pub mod project;
pub mod publication;
pub mod queue;
pub mod secret;
pub mod settings;
pub mod shutdown;
pub mod store;
pub mod sweeper;
pub mod telemetry;
