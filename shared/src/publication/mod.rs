//! One decision, then only repeatable effects.
//!
//! 1. [`stage`] puts every file of a version into the store, named by its bytes, where no consumer looks, and says
//!    what is to be decided.
//! 2. The owner decides it by one compare-and-swap on the job's state ([`Event::Decide`](crate::ledger::Event)).
//! 3. [`roll_forward`] makes the decided bytes visible. Owner, zombie, successor: whoever calls it writes the same
//!    bytes to the same keys, so it may be called by many at once, killed anywhere and called again.

mod card;
mod error;
mod manifest;
mod number;
mod publish;
mod stage;
mod target;
mod template;

pub use card::{CardFacts, PipelineFacts};
pub use error::PublicationError;
pub use manifest::{Manifest, ManifestFile};
pub use number::floor;
pub use publish::{Published, roll_forward};
pub use stage::{LocalFile, stage};
pub use target::{CARD, Destination, MANIFEST, VERSION, training_folder};
