//! Dotenv files, read as the component's own reader (python-dotenv) reads them.
//!
//! `NAME=value`, `export NAME=value`, comments, blank lines, CRLF, a byte order mark; values without quotes run to the
//! end of the line or to white space before `#` and keep every character (JSON lists need no quoting); values in single
//! or double quotes may span lines; in double quotes `\n`, `\t`, `\"`, `\\`, `\'` and their like are escapes, in single
//! quotes `\'` and `\\`; `${NAME}` and `${NAME:-default}` outside single quotes stand for an earlier assignment, then the
//! process environment. Of two assignments the later counts.
//!
//! `dotenvy` is not used: it takes the quotes out of an unquoted `["a", "b"]`, refuses the blank in `[1, 1]`, knows no
//! lines, and quotes whole lines, with their secrets, in its errors.

use super::SettingsError;
use std::collections::BTreeMap;
use std::path::Path;

/// One assignment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// As written.
    pub name: String,
    /// Without quotes, escapes resolved.
    pub value: String,
    /// 1-based, where it begins.
    pub line: usize,
}

/// Reads the text of a dotenv file; `path` is for errors only.
///
/// # Errors
/// [`SettingsError::Syntax`] names the line, never its text: it may hold a secret.
pub fn parse(
    text: &str,
    path: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Assignment>, SettingsError> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let mut assignments: Vec<Assignment> = Vec::new();
    loop {
        reader.skip(char::is_whitespace);
        if reader.rest.is_empty() {
            return Ok(assignments);
        }
        if reader.rest.starts_with('#') {
            reader.take_line();
            continue;
        }
        let line = reader.line;
        let known = |name: &str| {
            let earlier = assignments
                .iter()
                .rev()
                .find(|a| a.name == name)
                .map(|a| a.value.as_str());
            earlier
                .or_else(|| environment.get(name).map(String::as_str))
                .map(str::to_owned)
        };
        let (name, value) = reader.assignment(&known).map_err(|reason| SettingsError::Syntax {
            path: path.to_owned(),
            line: if reason == UNCLOSED { line } else { reader.line },
            reason: reason.to_owned(),
        })?;
        assignments.push(Assignment { name, value, line });
    }
}

const UNCLOSED: &str = "the quoted value that begins here is never closed";

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next `bytes` bytes.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) -> &'a str {
        self.take(self.rest.find(|c| !unwanted(c)).unwrap_or(self.rest.len()))
    }

    /// The rest of the line, without its end, which stays.
    fn take_line(&mut self) -> &'a str {
        self.take(self.rest.find(['\n', '\r']).unwrap_or(self.rest.len()))
    }

    fn assignment(&mut self, known: &dyn Fn(&str) -> Option<String>) -> Result<(String, String), &'static str> {
        if let Some(after) = self
            .rest
            .strip_prefix("export")
            .filter(|after| after.starts_with([' ', '\t']))
        {
            self.take(self.rest.len() - after.len());
            self.skip(is_blank);
        }
        let name = self.take(
            self.rest
                .find(|c: char| c == '=' || c == '#' || c.is_whitespace())
                .unwrap_or(self.rest.len()),
        );
        if !is_name(name.trim_matches('\'')) {
            return Err("expected NAME=value with a name of letters, digits and _");
        }
        self.skip(is_blank);
        if !self.rest.starts_with('=') {
            return Err("expected = behind the variable's name");
        }
        self.take(1);
        self.skip(is_blank);
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote, known)?,
            _ => expand(unquoted(self.take_line()), known),
        };
        Ok((name.trim_matches('\'').to_owned(), value))
    }

    fn quoted(&mut self, quote: char, known: &dyn Fn(&str) -> Option<String>) -> Result<String, &'static str> {
        let mut escaped = false;
        let end = self.rest[1..].find(|c| {
            let closes = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let value = self.take(end.ok_or(UNCLOSED)? + 2);
        self.skip(is_blank);
        if !(self.rest.is_empty() || self.rest.starts_with(['#', '\n', '\r'])) {
            return Err("expected nothing but a comment behind the closing quote");
        }
        self.take_line();
        let value = &value[1..value.len() - 1];
        Ok(if quote == '\'' {
            unescape(value, "\\'")
        } else {
            expand(&unescape(value, "\\'\"abfnrtv"), known)
        })
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\n' && c != '\r'
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Cuts a comment off: white space and `#`.
fn unquoted(line: &str) -> &str {
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|&at| line[..at].ends_with(char::is_whitespace) || at == 0);
    line[..comment.unwrap_or(line.len())].trim_end()
}

fn unescape(value: &str, escapes: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let next = chars.clone().next().filter(|next| c == '\\' && escapes.contains(*next));
        let Some(next) = next else {
            out.push(c);
            continue;
        };
        chars.next();
        out.push(match next {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            itself => itself,
        });
    }
    out
}

/// Replaces `${NAME}` and `${NAME:-default}`; a name that is nowhere written is empty.
fn expand(value: &str, known: &dyn Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((reference, behind)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
        if is_name(name) {
            out.push_str(&known(name).unwrap_or_else(|| default.to_owned()));
            rest = behind;
        } else {
            out.push_str("${");
            rest = after;
        }
    }
    out + rest
}
