//! How long a message in hand stays hidden.

use std::time::Duration;

/// How long a delivery is in hand unless it is extended: a minute, on every backend. In builds with debug assertions a
/// test may ask for another time: `TRAINYARD_VISIBILITY=2s`.
#[must_use]
pub fn visibility() -> Duration {
    const USUAL: Duration = Duration::from_secs(60);
    let asked = std::env::var("TRAINYARD_VISIBILITY")
        .ok()
        .filter(|_| cfg!(debug_assertions));
    asked
        .and_then(|text| humantime::parse_duration(&text).ok())
        .unwrap_or(USUAL)
}
