//! Where settings come from, and the fleet's own.
//!
//! Every variable has one of these origins, the first of which wins: `--set NAME=VALUE`, the process environment, a
//! dotenv file, a default. Names count without regard to case, as they did in the component; an empty value counts as
//! not written. Every error names the variable and its origin (for a file with the line) and says what is expected;
//! none shows the value of a secret.

mod connection;
mod dotenv;
mod error;
mod fleet;
mod origin;
pub(crate) mod store_url;
mod variables;

pub use connection::Connection;
pub use dotenv::{Assignment, parse as parse_dotenv};
pub use error::{Contradiction, SettingsError};
pub use fleet::{FLEET_VARIABLES, Fleet, Protect};
pub use origin::Origin;
pub use variables::{Variable, Variables};

/// Variables whose values are never shown.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    matches!(
        name,
        "NEPTUNE_API_TOKEN"
            | "AWS_ACCESS_KEY_ID"
            | "AWS_SECRET_ACCESS_KEY"
            | "AWS_SESSION_TOKEN"
            | "HF_TOKEN"
            | "TRAINYARD_QUEUE_URL"
    ) || name.ends_with("_API_TOKEN")
        || name.ends_with("_PASSWORD")
        || name.ends_with("_SECRET")
}
