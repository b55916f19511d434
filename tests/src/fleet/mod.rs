//! Fleets that are made to fail: sites of every pair of queue and store, real workers with a trainer that takes no time,
//! and what must be true of a site afterwards.

mod ground;
mod lanes;
mod pair;
mod running;
mod site;
mod trainer;
mod verdict;

pub use ground::Ground;
pub use lanes::in_lanes;
pub use pair::Pair;
pub use running::{Running, signal, state_of, until};
pub use site::{Site, message};
pub use trainer::{CAREFUL, ENDLESS, LARGE, QUICK, SLOWER};
pub use verdict::{Visible, assert_nothing_half, assert_registered, assert_swept, visible};
