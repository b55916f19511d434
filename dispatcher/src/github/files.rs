//! The files through which a step hands its outputs and its summary to the runner.

use crate::failure::Failure;
use anyhow::Context;
use shared::exit::ExitCode;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Bytes of a step's summary; GitHub throws away a larger one, all of it.
pub(super) const SUMMARY: usize = 1024 * 1024;

/// A word that no text can have guessed: 32 hexadecimal digits.
#[must_use]
pub(super) fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Adds to the step's summary, as much as GitHub takes.
///
/// # Errors
/// The file cannot be written.
pub(super) fn append_summary(file: &Path, text: &str) -> Result<(), Failure> {
    const CUT: &str = "\n\nThe rest is left out: GitHub shows 1 MiB.\n";
    let there = std::fs::metadata(file).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX));
    let room = SUMMARY.saturating_sub(there);
    if text.len() <= room {
        return append(file, text);
    }
    let Some(room) = room.checked_sub(CUT.len()) else {
        return Ok(());
    };
    let end = text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n');
    let lines = end.map_or("", |end| &text[..end]);
    append(file, &format!("{lines}{CUT}"))
}

/// Sets outputs of the step. Each value stands between two lines that it cannot contain.
///
/// # Errors
/// The file cannot be written.
pub(super) fn append_outputs(file: &Path, outputs: &[(&str, String)]) -> Result<(), Failure> {
    let mut text = String::new();
    for (name, value) in outputs {
        let end = token();
        let _ = write!(text, "{name}<<{end}\n{value}\n{end}\n");
    }
    append(file, &text)
}

fn append(file: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        let mut opened = OpenOptions::new().append(true).create(true).open(file)?;
        opened.write_all(text.as_bytes())
    };
    write()
        .with_context(|| format!("failed to write {}", file.display()))
        .map_err(|error| Failure::new(ExitCode::Infrastructure, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_set_another_output() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("outputs");
        append_outputs(
            &file,
            &[("version", "V-1\nstatus<<x\nbad\nx".into()), ("status", "ok".into())],
        )
        .unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[0].strip_prefix("version<<").unwrap();
        assert_eq!(lines.iter().filter(|line| **line == end).count(), 1);
        assert_eq!(lines.iter().position(|line| *line == end), Some(5));
        assert!(lines[6].starts_with("status<<"));
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(token(), token());
        assert_eq!(token().len(), 32);
    }

    #[test]
    fn what_is_there_counts_towards_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary");
        std::fs::write(&file, "x".repeat(SUMMARY - 100)).unwrap();
        append_summary(&file, &"a line\n".repeat(50)).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.len() <= SUMMARY, "{}", text.len());
        assert!(
            text.ends_with("a line\n\nThe rest is left out: GitHub shows 1 MiB.\n"),
            "{}",
            &text[SUMMARY - 120..]
        );
        append_summary(&file, "more").unwrap();
        assert!(std::fs::metadata(&file).unwrap().len() <= SUMMARY as u64);
    }
}
