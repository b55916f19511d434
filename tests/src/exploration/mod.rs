//! Exhaustive exploration of the job protocol, on the real code.
//!
//! The actors (two or three workers, dispatcher, sweeper, queue) run the real ledger, staging and publication over a
//! store that answers one operation at a time. Every interleaving of their operations is tried, together with every
//! way to spend a budget of faults: a worker is killed, is overtaken while it lives (a zombie), an answer is lost, a
//! request arrives late, a message is doubled or lost, a person cancels or re-opens, a training fails. What the
//! protocol promises is checked in every reachable state of the store.
//!
//! Only what actors do between operations is run; what they are is remembered by the history of answers, so a state
//! of the world is a few numbers and the search is a breadth-first search over them, whose traces are shortest.

pub mod intern;
pub mod invariants;
pub mod objects;
mod outside;
pub mod port;
pub mod program;
pub mod replay;
pub mod search;
pub mod steps;
mod workers;
pub mod world;

pub use invariants::{Invariant, Violation};
pub use search::{Report, explore};

/// A rule of the protocol that an exploration may leave out, to see that it would be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each says itself what would otherwise hold")]
pub enum Rule {
    FloorIsDecided,
    DecidedJobsAreNotCancelled,
    EpochsStageApart,
    FencedOwnersStop,
    CopiesAreVerified,
    TokensOnlyGrow,
    LostClaimsAreCounted,
}

/// How often each fault may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// A worker dies, or the dispatcher between record and message.
    pub crash: u8,
    /// A living worker's lease is seen to expire.
    pub steal: u8,
    /// A write happens and its answer is lost.
    pub lost: u8,
    /// A write's answer is lost, and the write happens at any later time, or never.
    pub late: u8,
    /// A message is doubled.
    pub duplicate: u8,
    /// A message is lost.
    pub drop: u8,
    /// A person cancels.
    pub cancel: u8,
    /// A person re-opens.
    pub reopen: u8,
    /// A training fails, for good or to be repeated.
    pub error: u8,
    /// The owner's renewal comes between two of its other operations.
    pub renew: u8,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    /// Jobs, all registering under one model.
    pub jobs: u8,
    /// Workers.
    pub workers: u8,
    /// Faults.
    pub faults: Faults,
    /// Every training of a job gives the same bytes.
    pub deterministic: bool,
    /// Every training kills its worker.
    pub killer: bool,
    /// A rule that is left out.
    pub without: Option<Rule>,
    /// Only this invariant is checked.
    pub only: Option<Invariant>,
    /// States after which the search gives up, and says so.
    pub limit: usize,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            jobs: 1,
            workers: 2,
            faults: Faults::default(),
            deterministic: false,
            killer: false,
            without: None,
            only: None,
            limit: 6_000_000,
        }
    }
}
