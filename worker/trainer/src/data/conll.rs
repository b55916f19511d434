//! CoNLL: one word a line, first column the word, last column its tag; a blank line ends a sentence.
//!
//! Columns stand between tabs where the line has one, else between spaces. `-DOCSTART-` lines are left out. Of two
//! annotations joined by a comma (as in a few lines of WNUT-17) the first counts.

use super::lines::Lines;
use super::record::{Record, Value};
use super::rows::Rows;
use super::{DataError, Place};
use std::io::Read;

/// Reads every sentence of `reader` into `rows`.
pub(super) fn read(reader: impl Read, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let [token_column, tag_column] = rows.columns();
    let mut lines = Lines::new(reader);
    let mut sentence = Sentence::new(token_column);
    while let Some((place, line)) = lines.next_line(rows)? {
        let Some((token, tag)) = columns(line) else {
            sentence.end(rows)?;
            continue;
        };
        if token == "-DOCSTART-" {
            sentence.end(rows)?;
            continue;
        }
        let tag = tag.ok_or_else(|| {
            let problem = format!(
                "found one column, expected a word and its tag; the word is `{}`",
                shortened(token)
            );
            rows.bad(place, Some(tag_column), problem)
        })?;
        if token.is_empty() {
            return Err(rows.bad(place, Some(token_column), "it is blank".into()));
        }
        let tag = tag.split(',').next().unwrap_or_default().trim();
        if tag.is_empty() {
            return Err(rows.bad(place, Some(tag_column), "it is blank".into()));
        }
        sentence.add(place, token, tag);
    }
    sentence.end(rows)
}

/// First and last column; `None` for a blank line, no last column where there is only one.
fn columns(line: &str) -> Option<(&str, Option<&str>)> {
    if line.trim().is_empty() {
        return None;
    }
    if line.contains('\t') {
        let mut parts = line.split('\t').map(str::trim);
        let first = parts.next().unwrap_or_default();
        return Some((first, parts.next_back()));
    }
    let mut parts = line.split_whitespace();
    let first = parts.next().unwrap_or_default();
    Some((first, parts.next_back()))
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Words since the last blank line.
struct Sentence<'a> {
    token_column: &'a str,
    start: Option<Place>,
    tokens: Vec<Value>,
    tags: Vec<Value>,
}

impl<'a> Sentence<'a> {
    fn new(token_column: &'a str) -> Self {
        Self {
            token_column,
            start: None,
            tokens: Vec::new(),
            tags: Vec::new(),
        }
    }

    fn add(&mut self, place: Place, token: &str, tag: &str) {
        self.start.get_or_insert(place);
        self.tokens.push(Value::Text(token.to_owned()));
        self.tags.push(Value::Text(tag.to_owned()));
    }

    fn end(&mut self, rows: &mut Rows<'_>) -> Result<(), DataError> {
        match self.start.take() {
            Some(place) => rows.push(place, self),
            None => Ok(()),
        }
    }
}

impl Record for Sentence<'_> {
    fn take(&mut self, column: &str) -> Value {
        let values = if column == self.token_column {
            &mut self.tokens
        } else {
            &mut self.tags
        };
        Value::List(std::mem::take(values))
    }
}
