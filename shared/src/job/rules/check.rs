//! The checks of which the rules are made; each names the field by its path.

use crate::job::{JobError, names};
use std::ops::RangeInclusive;

/// Nothing, or the first field that breaks a rule.
pub(super) type Checked = Result<(), JobError>;

/// `NaN` is within nothing; `serde_json` writes it as `null`, so it cannot come from outside.
pub(super) fn within<T: PartialOrd + std::fmt::Display>(value: T, range: &RangeInclusive<T>, field: &str) -> Checked {
    let reason = || format!("is {value}, not from {} to {}", range.start(), range.end());
    if range.contains(&value) {
        Ok(())
    } else {
        Err(invalid(field, &reason()))
    }
}

pub(super) fn text(text: &str, longest: usize, field: &str) -> Checked {
    require(
        text.chars().count() <= longest,
        field,
        &format!("is longer than {longest} characters"),
    )?;
    require(!names::has_control(text), field, "holds a control character")
}

pub(super) fn require(holds: bool, field: &str, reason: &str) -> Checked {
    if holds { Ok(()) } else { Err(invalid(field, reason)) }
}

pub(super) fn invalid(field: &str, reason: &str) -> JobError {
    JobError::Invalid {
        field: field.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A key that came from outside, fit for a message.
pub(super) fn shown(key: &str) -> String {
    key.chars().take(64).flat_map(char::escape_default).collect()
}
