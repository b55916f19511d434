//! Trains, evaluates, predicts and exports one model; the only place that knows libtorch.
//!
//! The library is the binary's, split off so that tests can call its parts. [`run::run`] is the story.

pub mod arguments;
pub mod arithmetic;
pub mod available_memory;
pub mod batches;
mod bf16;
mod blocks;
pub mod cadence;
pub mod checkpoint;
pub mod crash;
pub mod data;
pub mod dropout;
pub mod encoder;
pub mod environment;
pub mod evaluate;
pub mod events;
pub mod export;
pub mod failure;
pub mod fine_tune;
pub mod inference;
pub mod interruption;
pub mod labels;
mod memory;
pub mod memory_need;
pub mod model;
mod native;
pub mod optimizer;
mod processor;
pub mod profile;
pub mod random;
mod readings;
pub mod recompute;
pub mod request;
pub mod run;
pub mod schedule;
pub mod scores;
pub mod sentence_config;
pub mod state;
pub mod task;
pub mod tokens;

pub use native::end;
