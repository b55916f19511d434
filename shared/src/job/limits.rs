//! What the numbers of a job may be. The settings of a project and the validation of a job share these.

use std::ops::RangeInclusive;

/// `EPOCHS`.
pub const EPOCHS: RangeInclusive<u32> = 1..=1000;
/// `TRAIN_BATCH_SIZE` and `EVAL_BATCH_SIZE`, rows.
pub const BATCH_SIZE: RangeInclusive<u32> = 1..=4096;
/// `GRADIENT_ACCUMULATION_STEPS`.
pub const ACCUMULATION: RangeInclusive<u32> = 1..=1024;
/// `LEARNING_RATE`; above zero. One that is absurd is the training's to refuse, by its loss.
pub const LEARNING_RATE: RangeInclusive<f64> = 1e-12..=1e20;
/// `WARMUP_STEPS`.
pub const WARMUP_STEPS: RangeInclusive<u32> = 0..=10_000_000;
/// `WEIGHT_DECAY`.
pub const WEIGHT_DECAY: RangeInclusive<f64> = 0.0..=1.0;
/// `MAX_GRAD_NORM`; 0 = no clipping.
pub const MAX_GRAD_NORM: RangeInclusive<f64> = 0.0..=1e6;
/// `TEST_SIZE`; 1 itself would leave nothing to learn from.
pub const TEST_SIZE: RangeInclusive<f64> = 0.0..=0.999_999;
/// `SAVE_STEPS`.
pub const SAVE_STEPS: RangeInclusive<u32> = 1..=10_000_000;
/// `SAVE_TOTAL_LIMIT`.
pub const SAVE_TOTAL_LIMIT: RangeInclusive<u32> = 1..=1000;
/// `CHECKPOINT_EVERY` in steps.
pub const CHECKPOINT_STEPS: RangeInclusive<u32> = 1..=10_000_000;
/// `CHECKPOINT_EVERY` in seconds: up to a day.
pub const CHECKPOINT_SECONDS: RangeInclusive<u32> = 1..=86_400;
/// N of `FREEZE=embeddings+N`.
pub const FROZEN_LAYERS: RangeInclusive<u32> = 0..=1000;
/// `EARLY_STOPPING_PATIENCE`.
pub const PATIENCE: RangeInclusive<u32> = 1..=1000;
/// `MAX_LENGTH`, tokens; two of them are the special ones.
pub const MAX_LENGTH: RangeInclusive<u32> = 3..=8192;
/// `SEED`; every JSON reader can hold these exactly.
pub const SEED: RangeInclusive<u64> = 0..=9_007_199_254_740_991;
/// Either end of `KEYPHRASE_NGRAM_RANGE`, words.
pub const NGRAM: RangeInclusive<u32> = 1..=10;
/// `TOP_N`.
pub const TOP_N: RangeInclusive<u32> = 1..=1000;
/// `DIVERSITY`.
pub const DIVERSITY: RangeInclusive<f64> = 0.0..=1.0;
/// `TIME_LIMIT`, seconds: up to a year.
pub const TIME_LIMIT: RangeInclusive<u64> = 1..=31_536_000;
/// Sample documents of a pipeline.
pub const DOCUMENTS: usize = 1000;
/// Characters of a sample document.
pub const DOCUMENT_CHARS: usize = 100_000;
/// Conditions of a gate.
pub const CONDITIONS: usize = 20;
/// Pipelines of a job.
pub const PIPELINES: usize = 8;
