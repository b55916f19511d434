//! JSON Lines: one object a line; whitespace-only lines are left out.

use super::DataError;
use super::lines::Lines;
use super::record::{Record, Value};
use super::rows::Rows;
use serde_json::{Map, Value as Json};
use std::io::Read;

/// Reads every row of `reader` into `rows`.
pub(super) fn read(reader: impl Read, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let mut lines = Lines::new(reader);
    while let Some((place, line)) = lines.next_line(rows)? {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(Json::Object(mut object)) => rows.push(place, &mut object)?,
            Ok(other) => {
                let problem = format!("found {}, expected a JSON object", value(other).kind());
                return Err(rows.bad(place, None, problem));
            }
            Err(error) => {
                // serde_json counts within what it was given, so its line is always 1.
                let problem = format!("it is not JSON (column {})", error.column());
                return Err(rows.bad(place, None, problem));
            }
        }
    }
    Ok(())
}

impl Record for Map<String, Json> {
    fn take(&mut self, column: &str) -> Value {
        self.remove(column).map_or(Value::Missing, value)
    }
}

fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Missing,
        Json::String(text) => Value::Text(text),
        Json::Number(number) if number.is_i64() || number.is_u64() => Value::Integer(number.to_string()),
        Json::Number(_) => Value::Other("a number with a fraction"),
        Json::Bool(_) => Value::Other("true or false"),
        Json::Object(_) => Value::Other("an object"),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
    }
}
