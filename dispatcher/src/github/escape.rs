//! Texts of jobs made harmless for what reads them: the runner's command parser, Markdown, its fences.

use std::borrow::Cow;
use std::fmt::Write;

/// The message of a workflow command.
#[must_use]
pub(super) fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command, for example `title`.
#[must_use]
pub(super) fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text within a line of Markdown, a table's cell too: what could be markup, a mention or HTML is written as character
/// references, line ends as spaces.
#[must_use]
pub(super) fn inline(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.push(' '),
            ' ' | '-' | '.' | '/' | ',' => escaped.push(character),
            _ if character.is_control() => {}
            _ if character.is_ascii_punctuation() => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A block of text as it is, in a fence that it cannot end.
#[must_use]
pub(super) fn block(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or(0).max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// Text of which the runner takes no line for a command, were it to read it while it listens.
#[must_use]
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let commands = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
    if !text.lines().any(commands) {
        return Cow::Borrowed(text);
    }
    let line = |line: &str| match line.trim_start().strip_prefix("::") {
        Some(rest) => format!(": :{rest}"),
        None => line.to_owned(),
    };
    let lines: Vec<String> = text.split('\n').map(line).collect();
    Cow::Owned(lines.join("\n").replace("##[", "## ["))
}

/// At most so many characters, with a sign of what was left out.
#[must_use]
pub(super) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_be_ended_or_begun() {
        assert_eq!(data("100 %\n::error::x\r"), "100 %25%0A::error::x%0D");
        assert_eq!(property("a:b,c%"), "a%3Ab%2Cc%25");
    }

    #[test]
    fn markdown_stays_text() {
        let text = inline("<img src=x> | @team [a](b) `c` **d**\n# e");
        for markup in ["<", "|", "@", "[", "`", "*", "#e", "\n"] {
            assert!(!text.contains(markup), "{markup} in {text}");
        }
        assert_eq!(inline("s3://b/k-1.0"), "s3&#58;//b/k-1.0");
    }

    #[test]
    fn a_fence_is_longer_than_any_within() {
        let text = block("a\n````\nb");
        assert!(text.starts_with("`````text\n") && text.ends_with("\n`````\n"), "{text}");
        assert!(block("plain").starts_with("```text\n"));
    }

    #[test]
    fn no_line_is_a_command() {
        assert_eq!(harmless("a ::b\n c"), "a ::b\n c");
        assert_eq!(
            harmless("a\n ::error::x\n::add-mask::y\n"),
            "a\n: :error::x\n: :add-mask::y\n"
        );
        assert_eq!(harmless("a ##[error]b"), "a ## [error]b");
    }

    #[test]
    fn cutting_counts_characters_and_says_so() {
        assert_eq!(cut("ääää", 2), "ää…");
        assert_eq!(cut("ää", 2), "ää");
    }
}
