//! Names that come from outside: repositories, revisions, commits, and the hub's own file names, none of which may
//! leave the folder that they are put into.

/// Text that cannot be what it is used as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {expected}")]
pub struct InvalidName {
    text: String,
    expected: &'static str,
}

fn check(valid: bool, text: &str, expected: &'static str) -> Result<(), InvalidName> {
    let text = || text.chars().take(100).collect();
    if valid {
        Ok(())
    } else {
        Err(InvalidName { text: text(), expected })
    }
}

/// `owner/name`, or `name` alone for the hub's oldest repositories, by the hub's own rules: letters, digits, `-`, `_`
/// and `.`, 96 characters at most, neither `--` nor `..`, no part that begins or ends with `-` or `.`.
pub(super) fn check_repository(text: &str) -> Result<(), InvalidName> {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && !part.starts_with(['-', '.'])
            && !part.ends_with(['-', '.'])
    };
    let valid = text.len() <= 96
        && text.split('/').count() <= 2
        && text.split('/').all(part)
        && !text.contains("--")
        && !text.contains("..");
    check(valid, text, "model repository of the hub (owner/name)")
}

/// A branch, tag or commit, by a safe part of git's rules: it also names a file below `refs/`.
pub(super) fn check_revision(text: &str) -> Result<(), InvalidName> {
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock");
    let valid = text.len() <= 200
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.+@=,/".contains(&b))
        && text.split('/').all(part)
        && !text.contains("..");
    check(valid, text, "revision (a branch, tag or commit)")
}

/// 40 lower-case hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// As [`is_commit`], as a check of a job's field.
pub(super) fn check_commit(text: &str) -> Result<(), InvalidName> {
    check(is_commit(text), text, "commit (40 hexadecimal digits)")
}

/// Whether a file of a repository may be put below a folder under its own name.
pub(super) fn is_plain_path(text: &str) -> bool {
    let segment = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 200;
    text.len() <= 1000 && !text.chars().any(|c| c == '\\' || c.is_control()) && text.split('/').all(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn real_repositories_and_revisions_are_accepted() {
        for name in [
            "gpt2",
            "sentence-transformers/all-MiniLM-L6-v2",
            "dslim/bert-base-NER",
            "a/b_c.d",
        ] {
            assert_eq!(check_repository(name), Ok(()));
        }
        for name in ["main", "v1.0", "refs/pr/3", "feature/x", "c9745ed"] {
            assert_eq!(check_revision(name), Ok(()));
        }
        for path in [
            "config.json",
            "1_Pooling/config.json",
            "model-00001-of-00002.safetensors",
            ".gitattributes",
        ] {
            assert!(is_plain_path(path));
        }
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for name in [
            "", "a/b/c", "/a", "a/", "../b", "a/..", "a--b/c", "a/b\0", "a/.git", "ä/b", "a\\b",
        ] {
            assert!(check_repository(name).is_err(), "{name:?}");
        }
        for name in [
            "", "/x", "x/", "a/../b", "a//b", "..", ".hidden", "a b", "x.lock", "a\\b", "a\n",
        ] {
            assert!(check_revision(name).is_err(), "{name:?}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a\\..\\b",
            "a/./b",
            "x\0y",
            ".",
        ] {
            assert!(!is_plain_path(path), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_name_stays_below_its_folder(text in "[a-zA-Z0-9./\\\\_ -]{0,40}") {
            let stays = |text: &str| Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
            prop_assert!(!is_plain_path(&text) || stays(&text));
            prop_assert!(check_revision(&text).is_err() || stays(&text));
            prop_assert!(check_repository(&text).is_err() || stays(&text));
        }
    }
}
