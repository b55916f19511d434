//! Bytes to job and back.

use super::{Job, JobError, JobId, SCHEMA};
use serde::Deserialize;

/// Most bytes a job may have: 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;

/// Deepest nesting of brackets; the deepest that a dispatcher writes is 7.
const MAX_DEPTH: usize = 16;

/// The one field that is read before anything else, of any version.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

impl Job {
    /// The job's name: the hash of its content.
    #[must_use]
    pub fn id(&self) -> JobId {
        JobId::of(&self.content)
    }

    /// Reads a job that anybody may have written.
    ///
    /// # Errors
    /// In this order: [`JobError::TooLarge`], [`JobError::Malformed`] (no JSON, too deep, no `schema`),
    /// [`JobError::Newer`] before any other field is looked at, [`JobError::Malformed`] (another shape), and
    /// [`JobError::Invalid`] of [`Job::validate`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, JobError> {
        if bytes.len() > MAX_BYTES {
            return Err(JobError::TooLarge {
                size: bytes.len(),
                limit: MAX_BYTES,
            });
        }
        check_depth(bytes)?;
        let version: Version = serde_json::from_slice(bytes).map_err(|e| JobError::Malformed(shorten(&e)))?;
        if version.schema > u64::from(SCHEMA) {
            return Err(JobError::Newer {
                found: version.schema,
                known: SCHEMA,
            });
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let job: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|e| JobError::Malformed(format!("{}: {}", shown(&e.path().to_string()), shorten(e.inner()))))?;
        json.end().map_err(|e| JobError::Malformed(shorten(&e)))?;
        job.validate()?;
        Ok(job)
    }

    /// The bytes of `job.json`: indented JSON, the same for equal jobs.
    ///
    /// # Errors
    /// [`JobError::TooLarge`] if they are more than [`MAX_BYTES`].
    pub fn to_vec(&self) -> Result<Vec<u8>, JobError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| JobError::Malformed(shorten(&e)))?;
        if bytes.len() > MAX_BYTES {
            return Err(JobError::TooLarge {
                size: bytes.len(),
                limit: MAX_BYTES,
            });
        }
        Ok(bytes)
    }
}

/// Counts brackets outside of strings, so that nothing deep reaches a recursive parser.
fn check_depth(bytes: &[u8]) -> Result<(), JobError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(JobError::Malformed(format!("nested deeper than {MAX_DEPTH} levels")));
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Keys of maps come from outside.
fn shown(path: &str) -> String {
    path.chars().take(200).flat_map(char::escape_default).collect()
}

/// Serde quotes what it met, which may be long; people need the beginning and the position at the end.
fn shorten(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 300 {
        return text;
    }
    let tail: String = chars[chars.len() - 60..].iter().collect();
    format!("{}…{tail}", chars[..200].iter().collect::<String>())
}
