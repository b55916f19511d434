//! One row as a file format gives it, before a task has looked at it.

/// What a column of one row holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Not there, or null.
    Missing,
    /// A string.
    Text(String),
    /// An integer, as decimal digits.
    Integer(String),
    /// A list.
    List(Vec<Value>),
    /// Something that no task reads; its kind, for messages ("a number with a fraction").
    Other(&'static str),
}

impl Value {
    /// The kind, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "nothing",
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

/// One row; columns are taken out of it by name, each at most once.
pub(super) trait Record {
    /// The value of `column`; [`Value::Missing`] where the row has none.
    fn take(&mut self, column: &str) -> Value;
}
