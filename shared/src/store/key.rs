//! Keys of objects.

use std::fmt;

/// A relative path of one or more names joined by `/`. No name is empty, `.` or `..`, contains a control character,
/// `\` or `.~` (the directory store's own mark); none is longer than 250 bytes, the whole no longer than 900.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

/// A key that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is no key: {reason}")]
pub struct InvalidKey {
    key: String,
    reason: &'static str,
}

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// [`InvalidKey`] says which rule is broken.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidKey> {
        let key = key.into();
        match Self::fault(&key) {
            None => Ok(Self(key)),
            Some(reason) => Err(InvalidKey { key, reason }),
        }
    }

    fn fault(key: &str) -> Option<&'static str> {
        if key.len() > 900 {
            return Some("longer than 900 bytes");
        }
        key.split('/').find_map(|name| match name {
            "" => Some("an empty name"),
            "." | ".." => Some("a relative name"),
            _ if name.len() > 250 => Some("a name longer than 250 bytes"),
            _ if name.contains(".~") => Some("a name with .~"),
            _ if name.contains(|c: char| c.is_control() || c == '\\') => Some("a control character or backslash"),
            _ => None,
        })
    }

    /// This key with `rest` below it.
    ///
    /// # Errors
    /// [`InvalidKey`] if the whole is none.
    pub fn join(&self, rest: &str) -> Result<Self, InvalidKey> {
        Self::new(format!("{}/{rest}", self.0))
    }

    /// The whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last `/`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
