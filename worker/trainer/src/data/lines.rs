//! Lines of a text file, counted and bounded.

use super::rows::Rows;
use super::{DataError, MAX_LINE_BYTES, Place};
use std::io::{BufRead, BufReader, Read};

/// The byte order mark that some editors put before UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines one by one. A line ends at `\n`; a `\r` before it is left out.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
    bytes: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// From the start of `reader`.
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(1 << 16, reader),
            number: 0,
            bytes: Vec::new(),
        }
    }

    /// The next line with its number, `None` at the end. `rows` makes the errors: not UTF-8, too long, unreadable.
    pub(super) fn next_line(&mut self, rows: &Rows<'_>) -> Result<Option<(Place, &str)>, DataError> {
        self.bytes.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let taken = (&mut self.reader)
            .take(limit)
            .read_until(b'\n', &mut self.bytes)
            .map_err(|error| rows.failed(error))?;
        if taken == 0 {
            return Ok(None);
        }
        self.number += 1;
        let place = Place::Line(self.number);
        if taken > MAX_LINE_BYTES {
            return Err(rows.bad(place, None, format!("it is longer than {MAX_LINE_BYTES} bytes")));
        }
        let mut line = self.bytes.as_slice();
        if self.number == 1 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some((place, text))),
            Err(error) => {
                let problem = format!("byte {} is not UTF-8", error.valid_up_to() + 1);
                Err(rows.bad(place, None, problem))
            }
        }
    }
}
