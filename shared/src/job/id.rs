//! Names of jobs: hashes of what decides their results.

use super::Content;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;

/// Hash of a job's content: 32 lower-case hexadecimal digits (the first half of SHA-256).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// Text that is no job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no job id (32 hexadecimal digits)")]
pub struct InvalidJobId(String);

impl JobId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of a job with this content: SHA-256 over its canonical JSON (no white space, the keys of every object in
    /// order of their bytes, numbers as `serde_json` prints them), of which the first 16 bytes count.
    #[must_use]
    pub fn of(content: &Content) -> Self {
        let mut canonical = Vec::new();
        // A struct of strings, numbers and maps with string keys always serialises; were it not so, the id of such a
        // content would be that of `null`, which no job has.
        write_canonical(&serde_json::to_value(content).unwrap_or_default(), &mut canonical);
        Self(hex::encode(&Sha256::digest(&canonical)[..16]))
    }
}

/// Sorts keys itself: the order within `serde_json::Map` depends on a feature that any dependency may turn on.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(Value::String(key.clone()).to_string().as_bytes());
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let valid = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidJobId(text.chars().take(64).collect()))
        }
    }
}

impl std::str::FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_keys_at_every_level_and_has_no_white_space() {
        let value: Value = serde_json::from_str(r#"{"b": [1, {"d": null, "c": "\u00e9\n"}], "a": 2e-4}"#).unwrap();
        let mut out = Vec::new();
        write_canonical(&value, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"a\":0.0002,\"b\":[1,{\"c\":\"é\\n\",\"d\":null}]}"
        );
    }

    #[test]
    fn ids_are_32_lower_case_hexadecimal_digits() {
        assert!("0123456789abcdef0123456789abcdef".parse::<JobId>().is_ok());
        for bad in [
            "",
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef",
            "../../etc/passwd",
            "0123456789abcdef0123456789abcdeg",
        ] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }
}
