//! The directory of a ZIP archive, as `torch.save` writes archives: entries that are not compressed, used where they lie.
//!
//! Our own because nothing is read or copied: 150 lines give the place of every entry, and refuse what a hostile file can
//! do with a directory.

use super::names::shown;
use crate::failure::{Failure, Result};
use crate::request::stays_inside;
use std::collections::BTreeMap;
use std::ops::Range;

/// Signatures and lengths of the fixed parts of the format's records.
const END: (&[u8], usize) = (b"PK\x05\x06", 22);
const END_64_LOCATOR: (&[u8], usize) = (b"PK\x06\x07", 20);
const END_64: (&[u8], usize) = (b"PK\x06\x06", 56);
const CENTRAL: (&[u8], usize) = (b"PK\x01\x02", 46);
const LOCAL: (&[u8], usize) = (b"PK\x03\x04", 30);
/// A size or an offset that stands in the entry's 64-bit field instead.
const IN_64: u64 = 0xFFFF_FFFF;

/// An archive in memory.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: BTreeMap<&'a str, Range<usize>>,
    /// An entry whose bytes are not its data.
    compressed: Option<(&'a str, u64)>,
}

/// One entry, as the directory has it.
struct Entry<'a> {
    name: &'a str,
    /// 0 for data as it is.
    method: u64,
    /// From its header to the end of its data.
    whole: Range<usize>,
    data: Range<usize>,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    ///
    /// A user's failure where it is damaged, or an entry is encrypted, lies outside the file or over another, or has a name
    /// that leaves the archive or occurs twice.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let (count, directory) = directory(bytes)?;
        let mut entries = BTreeMap::new();
        let mut places = Vec::new();
        let mut compressed = None;
        let mut at = directory.start;
        // The count is the file's word: the loop ends where the directory does.
        for _ in 0..count {
            let (entry, next) = central(bytes, at, &directory)?;
            at = next;
            if entries.insert(entry.name, entry.data).is_some() {
                return Err(refused(entry.name, "occurs twice"));
            }
            places.push((entry.whole, entry.name));
            if entry.method != 0 {
                compressed = Some((entry.name, entry.method));
            }
        }
        places.sort_by_key(|(range, _)| range.start);
        for pair in places.windows(2) {
            if pair[0].0.end > pair[1].0.start {
                return Err(refused(pair[1].1, &format!("lies over {}", shown(pair[0].1))));
            }
        }
        Ok(Self {
            bytes,
            entries,
            compressed,
        })
    }

    /// Is every entry its own data?
    ///
    /// # Errors
    ///
    /// A user's failure that names an entry that is compressed.
    pub(super) fn only_stored(&self) -> Result<()> {
        self.compressed.map_or(Ok(()), |(name, method)| {
            let why = format!("is compressed (method {method}; torch.save compresses nothing)");
            Err(refused(name, &why))
        })
    }

    /// The bytes of an entry.
    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.bytes.get(self.entries.get(name)?.clone())
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }
}

/// Number of entries and place of the directory.
fn directory(bytes: &[u8]) -> Result<(u64, Range<usize>)> {
    let end = find_end(bytes)?;
    let locator = end
        .checked_sub(END_64_LOCATOR.1)
        .filter(|at| record(bytes, *at, END_64_LOCATOR).is_ok());
    let (count, size, offset) = if let Some(locator) = locator {
        let end = place(number(bytes, locator + 8, 8)?)?;
        record(bytes, end, END_64)?;
        let field = |at: usize| number(bytes, end + at, 8);
        (field(32)?, field(40)?, field(48)?)
    } else {
        let field = |at: usize, size: usize| number(bytes, end + at, size);
        (field(10, 2)?, field(12, 4)?, field(16, 4)?)
    };
    let range = range(offset, size, end)?;
    Ok((count, range))
}

/// Where the record of the archive's end begins; nothing but its comment comes after it.
fn find_end(bytes: &[u8]) -> Result<usize> {
    let last = bytes.len().checked_sub(END.1).ok_or_else(damaged)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let ends = |at: &usize| {
        let comment = number(bytes, at + 20, 2).unwrap_or(u64::MAX);
        record(bytes, *at, END).is_ok() && comment == (last - at) as u64
    };
    (first..=last).rev().find(ends).ok_or_else(damaged)
}

/// The entry whose record in the directory begins at `at`, and where the next one begins.
fn central<'a>(bytes: &'a [u8], at: usize, directory: &Range<usize>) -> Result<(Entry<'a>, usize)> {
    let bytes = &bytes[..directory.end];
    record(bytes, at, CENTRAL)?;
    let field = |place: usize, size: usize| number(bytes, at + place, size);
    let name_at = at + CENTRAL.1;
    let name_range = range(name_at as u64, field(28, 2)?, bytes.len())?;
    let extra = range(name_range.end as u64, field(30, 2)?, bytes.len())?;
    let comment = range(extra.end as u64, field(32, 2)?, bytes.len())?;
    let name = std::str::from_utf8(&bytes[name_range]).map_err(|_| damaged())?;
    if name.is_empty() || name.contains('\\') || !stays_inside(name) {
        return Err(refused(name, "has a name that leaves the archive"));
    }
    let (flags, method) = (field(8, 2)?, field(10, 2)?);
    if flags & 1 != 0 {
        return Err(refused(name, "is encrypted"));
    }
    let [size, packed, header] = wide(&bytes[extra], [field(24, 4)?, field(20, 4)?, field(42, 4)?])?;
    if method == 0 && size != packed {
        return Err(refused(name, "has two sizes"));
    }
    let header = place(header)?;
    let data = local(&bytes[..directory.start], header, name)?;
    let data = range(data as u64, packed, directory.start).map_err(|_| refused(name, "lies outside the file"))?;
    let whole = header..data.end;
    let entry = Entry {
        name,
        method,
        whole,
        data,
    };
    Ok((entry, comment.end))
}

/// Where the data of the entry begins whose own header is at `at`.
fn local(bytes: &[u8], at: usize, name: &str) -> Result<usize> {
    record(bytes, at, LOCAL).map_err(|_| refused(name, "lies outside the file"))?;
    let name_range = range((at + LOCAL.1) as u64, number(bytes, at + 26, 2)?, bytes.len())?;
    let extra = range(name_range.end as u64, number(bytes, at + 28, 2)?, bytes.len())?;
    if &bytes[name_range] != name.as_bytes() {
        return Err(refused(name, "has two names"));
    }
    Ok(extra.end)
}

/// Sizes and offset, from the 64-bit field among `extra` where they do not fit into 32 bits.
fn wide(mut extra: &[u8], mut narrow: [u64; 3]) -> Result<[u64; 3]> {
    while narrow.contains(&IN_64) && extra.len() >= 4 {
        let (id, size) = (number(extra, 0, 2)?, place(number(extra, 2, 2)?)?);
        let field = extra.get(4..4 + size).ok_or_else(damaged)?;
        if id == 1 {
            let missing = narrow.iter_mut().filter(|value| **value == IN_64);
            for (place, value) in missing.enumerate() {
                *value = number(field, 8 * place, 8)?;
            }
            return Ok(narrow);
        }
        extra = &extra[4 + size..];
    }
    Ok(narrow)
}

/// Is there a whole record of this kind?
fn record(bytes: &[u8], at: usize, (signature, length): (&[u8], usize)) -> Result<()> {
    let end = at.checked_add(length).ok_or_else(damaged)?;
    let found = bytes.get(at..end).is_some_and(|record| record.starts_with(signature));
    if found { Ok(()) } else { Err(damaged()) }
}

/// `size` bytes at `start`, which must end at `limit` at the latest.
fn range(start: u64, size: u64, limit: usize) -> Result<Range<usize>> {
    let end = start.checked_add(size).filter(|end| *end <= limit as u64);
    Ok(place(start)?..place(end.ok_or_else(damaged)?)?)
}

fn place(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| damaged())
}

/// A little-endian number of `size` bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Result<u64> {
    let field = at.checked_add(size).and_then(|end| bytes.get(at..end));
    let field = field.ok_or_else(damaged)?;
    Ok(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn refused(entry: &str, why: &str) -> Failure {
    Failure::user(format!("the entry {} {why}", shown(entry)))
}

fn damaged() -> Failure {
    Failure::user("damaged: its ZIP directory cannot be read (is the file whole?)")
}
