//! The manifest of a version: what lies where, by digest. Decided as a whole, so it names no number.

use super::error::PublicationError;
use crate::job::JobId;
use crate::ledger::DecidedFile;
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};

const SCHEMA: u32 = 1;

/// `model/manifest` of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this document, 1.
    pub schema: u32,
    /// The job that made it.
    pub job: JobId,
    /// Every file but the manifest itself and the model card, in order of paths.
    pub files: Vec<ManifestFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Below the version's folder; `{version}` in it stands for the version's name.
    pub path: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

impl Manifest {
    /// The manifest of these files.
    #[must_use]
    pub fn new(job: JobId, files: &[DecidedFile]) -> Self {
        let files = files
            .iter()
            .map(|file| ManifestFile {
                path: file.path.clone(),
                sha256: file.sha256.clone(),
                size: file.size,
            })
            .collect();
        Self {
            schema: SCHEMA,
            job,
            files,
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`PublicationError::Encode`].
    pub fn to_vec(&self) -> Result<Vec<u8>, PublicationError> {
        indented(self, "the manifest")
    }
}

/// JSON with an indent of 4, as the component has always written it.
pub(super) fn indented(value: &impl Serialize, what: &'static str) -> Result<Vec<u8>, PublicationError> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    value
        .serialize(&mut serializer)
        .map_err(|source| PublicationError::Encode { what, source })?;
    Ok(bytes)
}
