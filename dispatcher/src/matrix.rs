//! The CI matrix: `publish --matrix FILE`, the `include` list of `run-train-pipelines` as it stands in a workflow.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Jobs of one matrix; more is a mistake.
const MAX_ENTRIES: usize = 5000;
/// Bytes of a matrix file.
const MAX_BYTES: u64 = 4 << 20;

/// One job of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Entry {
    /// `custom` or the like; recorded nowhere, accepted since every matrix has it.
    #[serde(default)]
    pub runner_kind: Option<String>,
    /// Instance type of the runner, for example `inf1.2xlarge`; decides the accelerator.
    #[serde(default)]
    pub self_hosted_runner_type: Option<String>,
    /// Folder below the configuration.
    pub project: String,
    /// The image tag; absent or a `${{ … }}` expression: the command's `--tag`.
    #[serde(default)]
    pub tag: Option<String>,
}

/// A matrix that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MatrixError {
    /// The file.
    #[error("failed to read the matrix {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text.
    #[error("failed to read the matrix {}: {reason}", file.display())]
    Invalid {
        /// Which file.
        file: PathBuf,
        /// What is wrong, with line and column where known.
        reason: String,
    },
}

impl Entry {
    /// The tag of this job: its own, unless it is none or an expression that only CI can evaluate.
    #[must_use]
    pub(crate) fn tag<'a>(&'a self, command: Option<&'a str>) -> Option<&'a str> {
        let own = self.tag.as_deref().filter(|tag| !tag.contains("${{"));
        own.or(command)
    }
}

/// Reads a matrix file: a YAML (or JSON) list of entries.
///
/// # Errors
/// [`MatrixError`] for a file that cannot be read, is too large, is no such list, is empty or names a job twice.
pub(crate) fn read(file: &Path) -> Result<Vec<Entry>, MatrixError> {
    let read = |source| MatrixError::Read {
        file: file.to_owned(),
        source,
    };
    let size = std::fs::metadata(file).map_err(read)?.len();
    if size > MAX_BYTES {
        return Err(MatrixError::Invalid {
            file: file.to_owned(),
            reason: format!("it has {size} bytes, more than {MAX_BYTES}"),
        });
    }
    let text = std::fs::read_to_string(file).map_err(read)?;
    parse(&text).map_err(|reason| MatrixError::Invalid {
        file: file.to_owned(),
        reason,
    })
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let entries: Vec<Entry> = serde_norway::from_str(text).map_err(|error| error.to_string())?;
    if entries.is_empty() {
        return Err("the list is empty".into());
    }
    if entries.len() > MAX_ENTRIES {
        return Err(format!(
            "the list has {} entries, more than {MAX_ENTRIES}",
            entries.len()
        ));
    }
    for (index, entry) in entries.iter().enumerate() {
        if entry.project.is_empty() {
            return Err(format!("[{index}].project is empty"));
        }
        if let Some(first) = entries[..index].iter().position(|other| other == entry) {
            return Err(format!(
                "[{index}] is the same as [{first}] (project {})",
                entry.project
            ));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workflows_own_list_is_read() {
        let text = "
- runner-kind: custom
  self-hosted-runner-type: inf1.2xlarge
  project: keywords
  tag: ${{ needs.run-repository-state.outputs.tag }}
- project: ner
  tag: 1.2.3
";
        let entries = parse(text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].self_hosted_runner_type.as_deref(), Some("inf1.2xlarge"));
        assert_eq!(entries[0].tag(Some("t1")), Some("t1"), "an expression is not a tag");
        assert_eq!(entries[1].tag(Some("t1")), Some("1.2.3"));
        assert_eq!(entries[0].tag(None), None);
    }

    #[test]
    fn mistakes_name_their_place() {
        let table = [
            ("- project: ner\n  projekt: x\n", "projekt"),
            ("- tag: t\n", "project"),
            ("project: ner\n", "sequence"),
            ("[]", "empty"),
            ("- project: ''\n", "[0].project"),
            ("- project: ner\n- project: ner\n", "[1] is the same as [0]"),
            ("- project: [a]\n", "[0].project"),
        ];
        for (text, named) in table {
            let error = parse(text).unwrap_err();
            assert!(error.contains(named), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("no/such.yaml")).unwrap_err().to_string();
        assert!(error.contains("no/such.yaml"), "{error}");
    }
}
