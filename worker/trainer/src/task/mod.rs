//! What models are for.

pub mod keywords;
