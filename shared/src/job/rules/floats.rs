//! Floats that mean the same to every reader of JSON.

use super::check::{Checked, require, shown};
use serde_json::Value;

/// A float must come out of JSON with the bits that went in, or the id of a job would depend on who computes it. An
/// integer of at most 15 digits times or through a power of ten up to 22 is exact in every reader (both are exact
/// doubles, so there is one rounding; Clinger, "How to read floating point numbers accurately", 1990).
pub(super) fn exact_floats(value: &Value, path: &str) -> Checked {
    match value {
        Value::Object(map) => map
            .iter()
            .try_for_each(|(key, item)| exact_floats(item, &format!("{path}.{}", shown(key)))),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| exact_floats(item, &format!("{path}.{index}"))),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            require(
                is_exact(float),
                path,
                "has more digits, or is larger or smaller, than every reader of JSON reads exactly",
            )
        }
        _ => Ok(()),
    }
}

fn is_exact(float: f64) -> bool {
    let scientific = format!("{:e}", float.abs());
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return false;
    };
    let significant = i32::try_from(digits.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(i32::MAX);
    let exponent: i32 = exponent.parse().unwrap_or(i32::MAX);
    significant <= 15 && (-22..=22).contains(&exponent.saturating_sub(significant - 1))
}
