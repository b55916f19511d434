//! Values that must not be seen.

use std::fmt;
use zeroize::Zeroizing;

/// A token, password or key. It has no `Display` and no `Serialize`, its `Debug` shows only that there is one, and its
/// memory is overwritten when it is dropped. The one way to the value is [`Secret::expose`], so that every use can be
/// found by that word.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value over.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, to be handed to whoever checks it and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_the_value_nor_its_length() {
        let short = format!(
            "{:?} {:#?}",
            Secret::new("marked".into()),
            Some(Secret::new("marked".into()))
        );
        assert!(!short.contains("marked"), "{short}");
        assert_eq!(
            format!("{:?}", Secret::new("a".into())),
            format!("{:?}", Secret::new("a".repeat(90)))
        );
        assert_eq!(Secret::new("marked".into()).expose(), "marked");
    }
}
