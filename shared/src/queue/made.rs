//! What `dispatcher setup` did.

/// Whether something was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No: it was made.
    Made,
    /// Yes, and as it should be.
    ThereAlready,
}

/// What was done about one queue or exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// For example `queue trainyard.cpu`.
    pub what: String,
    /// Whether it was there.
    pub found: Found,
}
