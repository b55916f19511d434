//! CSV (RFC 4180) with a header line. Several keyphrases in one field stand between `;`.

use super::lines::BYTE_ORDER_MARK;
use super::record::{Record, Value};
use super::rows::Rows;
use super::{DataError, MAX_LINE_BYTES, Place};
use csv::{ByteRecord, ErrorKind, ReaderBuilder};
use std::io::{BufRead, BufReader, Read};

/// Reads every row of `reader` into `rows`.
pub(super) fn read(reader: impl Read, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let mut buffered = BufReader::with_capacity(1 << 16, reader);
    if buffered
        .fill_buf()
        .map_err(|error| rows.failed(error))?
        .starts_with(BYTE_ORDER_MARK)
    {
        buffered.consume(BYTE_ORDER_MARK.len());
    }
    let mut reader = ReaderBuilder::new().from_reader(buffered);
    let headers = reader.byte_headers().map_err(|error| refused(rows, error))?.clone();
    let wanted = rows.columns();
    if headers.is_empty() {
        return Ok(());
    }
    let mut found = [0; 2];
    for (column, index) in wanted.iter().zip(&mut found) {
        *index = only_column(rows, &headers, column)?;
    }
    let mut record = ByteRecord::new();
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| refused(rows, error))?
    {
        let place = Place::Line(record.position().map_or(0, csv::Position::line));
        if record.as_slice().len() > MAX_LINE_BYTES {
            let problem = format!("the record is longer than {MAX_LINE_BYTES} bytes; is a quote never closed?");
            return Err(rows.bad(place, None, problem));
        }
        let mut fields = Fields::default();
        for (column, index) in wanted.iter().zip(found) {
            let bytes = record.get(index).unwrap_or_default();
            let text = std::str::from_utf8(bytes)
                .map_err(|_| rows.bad(place, Some(column), "it is not UTF-8".into()))?
                .to_owned();
            fields.0.push((column.to_string(), rows.is_list(column), text));
        }
        rows.push(place, &mut fields)?;
    }
    Ok(())
}

/// The index of the one header named `column`.
fn only_column(rows: &Rows<'_>, headers: &ByteRecord, column: &str) -> Result<usize, DataError> {
    let mut indices = (0..headers.len()).filter(|&index| headers.get(index) == Some(column.as_bytes()));
    let index = indices.next().ok_or_else(|| {
        let names: Vec<_> = headers.iter().take(20).map(String::from_utf8_lossy).collect();
        let problem = format!("the header has no such column; it has: {}", names.join(", "));
        rows.bad(Place::Line(1), Some(column), problem)
    })?;
    match indices.next() {
        Some(_) => Err(rows.bad(Place::Line(1), Some(column), "the header names it twice".into())),
        None => Ok(index),
    }
}

fn refused(rows: &Rows<'_>, error: csv::Error) -> DataError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(source) => rows.failed(source),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let problem = format!("found {len} fields, expected {expected_len} as in the header");
            rows.bad(Place::Line(line), None, problem)
        }
        _ => rows.bad(Place::Line(line), None, "it is not CSV".into()),
    }
}

/// Column, whether it holds a list, and the field.
#[derive(Default)]
struct Fields(Vec<(String, bool, String)>);

impl Record for Fields {
    fn take(&mut self, column: &str) -> Value {
        let Some(index) = self.0.iter().position(|(name, ..)| name == column) else {
            return Value::Missing;
        };
        match self.0.swap_remove(index) {
            (_, false, text) => Value::Text(text),
            (_, true, text) => {
                let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
                Value::List(items.map(|item| Value::Text(item.to_owned())).collect())
            }
        }
    }
}
