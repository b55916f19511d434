//! What models are for.

pub mod embedding;
pub mod keywords;
pub mod text_classification;
pub mod token_classification;
