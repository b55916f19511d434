//! Data files of a project on the publisher's disk.

use crate::job::names;
use crate::settings::{SettingsError, Variables};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use trainer_protocol::DataFormat;

/// A data file on the publisher's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// What messages and the card call it.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// How to read it, by its ending.
    pub format: DataFormat,
}

/// What a data file holds, told by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDigest {
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

const ENDINGS: [(&str, DataFormat); 5] = [
    ("jsonl", DataFormat::Jsonl),
    ("csv", DataFormat::Csv),
    ("conll", DataFormat::Conll),
    ("parquet", DataFormat::Parquet),
    ("ndjson", DataFormat::Jsonl),
];

impl DataFile {
    /// The file that a variable names, relative to the project's folder wherever the variable was written.
    pub(super) fn read(variables: &Variables, name: &str, folder: &Path) -> Result<Option<Self>, SettingsError> {
        let Some(text) = variables.text(name) else {
            return Ok(None);
        };
        if let Some((scheme, _)) = text.split_once("://") {
            let reason = format!(
                "data from {scheme}:// is not in this version; expected a file, relative to {}",
                folder.display()
            );
            return Err(variables.invalid(name, reason));
        }
        let path = folder.join(&text);
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let Some((_, format)) = ENDINGS.iter().find(|(known, _)| *known == ending) else {
            return Err(variables.invalid(
                name,
                format!("{text:?} ends with none of .jsonl, .csv, .conll, .parquet"),
            ));
        };
        let length = std::fs::metadata(&path).and_then(|meta| {
            if meta.is_file() {
                Ok(meta.len())
            } else {
                Err(std::io::Error::other("it is no regular file"))
            }
        });
        match length {
            Err(source) => {
                Err(variables.invalid(name, format!("failed to find the file {}: {source}", path.display())))
            }
            Ok(0) => Err(variables.invalid(name, format!("the file {} is empty", path.display()))),
            Ok(_) => Ok(Some(Self {
                name: shown(&text),
                path,
                format: *format,
            })),
        }
    }

    /// Reads the whole file for its digest.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`] names the file.
    pub fn digest(&self) -> Result<DataDigest, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable {
            path: self.path.clone(),
            source,
        };
        let mut file = File::open(&self.path).map_err(unreadable)?;
        let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut buffer).map_err(unreadable)?;
            if read == 0 {
                return Ok(DataDigest {
                    sha256: hex::encode(hasher.finalize()),
                    size,
                });
            }
            hasher.update(&buffer[..read]);
            size += read as u64;
        }
    }
}

/// The name as written where that is relative and stays below the project, else the last part: a job says nothing
/// about the folders of its publisher.
fn shown(text: &str) -> String {
    let relative = text.trim_start_matches("./");
    if names::data(relative) && !Path::new(relative).is_absolute() {
        return relative.to_owned();
    }
    let last = Path::new(text)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    last.chars()
        .filter(|c| !c.is_control() && *c != '\\')
        .take(100)
        .collect()
}
