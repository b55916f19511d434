//! Trains, evaluates, predicts and exports one model; the only place that knows libtorch.

pub mod data;
pub mod scores;
pub mod task;
