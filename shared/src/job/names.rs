//! What the names in a job may look like. Each function says whether the text keeps to the rule in its comment;
//! none of these names can leave a folder, and all are safe in object keys and URLs.

/// 1 to `longest` of the given bytes, the first of them a letter or digit.
fn plain(text: &str, longest: usize, others: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.len() <= longest
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || others.contains(b))
}

/// A folder below `config/`: lower-case letters, digits, `-` and `_`, at most 63.
pub(crate) fn project(text: &str) -> bool {
    plain(text, 63, b"-_") && !text.bytes().any(|b| b.is_ascii_uppercase())
}

/// An image tag: letters, digits, `_`, `.` and `-`, at most 128 (the rule of Docker).
pub(crate) fn tag(text: &str) -> bool {
    plain(text.strip_prefix('_').unwrap_or(text), 128, b"_.-")
}

/// A workspace, a project of the registry or a folder of artifacts: letters, digits, `.`, `_` and `-`, at most 128.
pub(crate) fn folder(text: &str) -> bool {
    plain(text, 128, b"._-")
}

/// A model id (`SEN-TRAINED`): letters, digits, `_` and `-`, at most 63.
pub(crate) fn model(text: &str) -> bool {
    plain(text, 63, b"_-")
}

/// A root in the store: one or more names as of [`folder`], joined by `/`, not where the fleet keeps its own records.
pub(crate) fn root(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(folder) && text.split('/').next() != Some("trainyard")
}

/// A pipeline: a lower-case letter, then those, digits and `_`, at most 32.
pub(crate) fn pipeline(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 32
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// A repository of the Hugging Face hub: `owner/name`, or `name` alone as the oldest have it; the hub's own rule
/// (letters, digits, `.`, `_`, `-`, no `--` or `..`, at most 96 each).
pub(crate) fn repository(text: &str) -> bool {
    let part = |part: &str| plain(part, 96, b"._-") && !part.contains("--") && !part.contains("..");
    match text.split_once('/') {
        Some((owner, name)) => part(owner) && part(name),
        None => part(text),
    }
}

/// A branch, tag or commit: letters, digits, `.`, `_`, `-` and `/`, at most 255, no empty or relative step.
pub(crate) fn revision(text: &str) -> bool {
    text.len() <= 255
        && text
            .split('/')
            .all(|step| plain(step, 255, b"._-") && !step.contains(".."))
}

/// `digits` lower-case hexadecimal digits.
pub(crate) fn hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of a data file, for messages: relative, no `.` or `..` on the way, at most 255 bytes.
pub(crate) fn data(text: &str) -> bool {
    let step = |step: &str| !matches!(step, "" | "." | "..");
    text.len() <= 255 && text.split(['/', '\\']).all(step) && !has_control(text)
}

/// A score or a parameter: lower-case letters, digits and `_`, at most 64.
pub(crate) fn score(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether a control character is in it.
pub(crate) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_none() {
        for bad in [
            "", ".", "..", "../x", "/x", "a/../b", "a//b", "a\\b", "a\0b", "-x", "~x", "a b", "é",
        ] {
            assert!(
                !project(bad) && !folder(bad) && !model(bad) && !root(bad) && !pipeline(bad),
                "{bad:?}"
            );
            assert!(!repository(bad) && !revision(bad) && !tag(bad), "{bad:?}");
        }
        for bad in ["", ".", "..", "../x", "/x", "a/../b", "a//b", "a\\..\\b", "a\0b"] {
            assert!(!data(bad), "{bad:?}");
        }
        assert!(!root("trainyard") && !root("trainyard/jobs"));
    }

    #[test]
    fn real_names_are_names() {
        assert!(repository("sentence-transformers/all-MiniLM-L6-v2") && repository("xlm-roberta-base"));
        assert!(!repository("a/b/c") && !repository("a/b--c"));
        assert!(revision("main") && revision("refs/pr/3") && revision("v1.0"));
        assert!(model("IP00000000-TRAINED") && root("neptune-ai-model-registry") && root("a/b"));
        assert!(data("data/train 1.jsonl") && project("sentiment") && !project("Sentiment"));
        assert!(tag("v1.2-rc_3") && tag("_x") && pipeline("korean_japanese_ner") && score("f1_at_k"));
    }
}
