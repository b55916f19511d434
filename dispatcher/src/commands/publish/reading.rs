//! What workers will read of a model, told when a job is published.

use serde::Serialize;
use shared::hub::Listing;
use std::collections::BTreeMap;
use std::fmt;

/// A model at its commit, with sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reading {
    /// `owner/name`.
    pub repository: String,
    /// As the project wrote it.
    pub revision: String,
    /// 40 hexadecimal digits.
    pub commit: String,
    /// Files that are fetched.
    pub files: usize,
    /// All of them together.
    pub bytes: u64,
    /// Those of them that hold the weights.
    pub weights: BTreeMap<String, u64>,
    /// Files that stay where they are.
    pub other_files: usize,
    /// All of these together.
    pub other_bytes: u64,
}

impl From<&Listing> for Reading {
    fn from(listing: &Listing) -> Self {
        let model = listing.model.clone();
        Self {
            repository: model.repository,
            revision: model.revision,
            commit: model.commit,
            files: listing.files.len(),
            bytes: listing.bytes(),
            weights: listing.weights().map(|file| (file.path.clone(), file.size)).collect(),
            other_files: listing.others.len(),
            other_bytes: listing.bytes_of_others(),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self.commit.get(..7).unwrap_or(&self.commit);
        let weights = match self.weights.first_key_value() {
            Some((name, size)) if self.weights.len() == 1 => format!("{name} {}", Size(*size)),
            _ => format!("{} shards {}", self.weights.len(), Size(self.weights.values().sum())),
        };
        let (repository, read) = (&self.repository, Size(self.bytes));
        write!(
            f,
            "{repository} at {commit}: {} files, {read} to read ({weights})",
            self.files
        )?;
        match self.other_files {
            0 => Ok(()),
            others => write!(f, "; {others} other files, {}, stay there", Size(self.other_bytes)),
        }
    }
}

/// Bytes for people, in powers of ten as the hub's pages have them.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        match UNITS.iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(weights: &[(&str, u64)], other_files: usize) -> String {
        let one = Reading {
            repository: "a/b".into(),
            revision: "main".into(),
            commit: "1a2b3c4".repeat(6)[..40].into(),
            files: 5,
            bytes: 1_112_000_000,
            weights: weights.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
            other_files,
            other_bytes: 2_224_000_000,
        };
        one.to_string()
    }

    #[test]
    fn a_line_tells_what_is_read_and_what_is_left() {
        assert_eq!(
            reading(&[("pytorch_model.bin", 1_112_000_000)], 3),
            "a/b at 1a2b3c4: 5 files, 1.1 GB to read (pytorch_model.bin 1.1 GB); 3 other files, 2.2 GB, stay there"
        );
        assert_eq!(
            reading(&[("a.safetensors", 900_000_000), ("b.safetensors", 200_000_000)], 0),
            "a/b at 1a2b3c4: 5 files, 1.1 GB to read (2 shards 1.1 GB)"
        );
    }

    #[test]
    fn sizes_are_in_powers_of_ten() {
        let sizes = [0, 999, 1000, 1_234_567, 470_641_600, 1_000_000_000].map(|bytes| Size(bytes).to_string());
        assert_eq!(
            sizes,
            ["0 bytes", "999 bytes", "1.0 kB", "1.2 MB", "470.6 MB", "1.0 GB"]
        );
    }
}
