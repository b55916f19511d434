//! Lines of a stream that nobody can make too long.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Reads lines of at most `limit` bytes; of a longer one only that many are kept, the rest is read and dropped, so a
/// process that prints without end costs no memory.
#[derive(Debug)]
pub(crate) struct BoundedLines<R> {
    reader: R,
    limit: usize,
}

/// A line, without its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Bytes that are no UTF-8 are replaced.
    pub(crate) text: String,
    /// There was more of it.
    pub(crate) cut: bool,
}

impl<R: AsyncBufRead + Unpin> BoundedLines<R> {
    /// `limit` in bytes.
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit }
    }

    /// The next line; `None` at the end. A last line without line feed counts.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        let (mut bytes, mut cut, mut any) = (Vec::new(), false, false);
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let kept = part.len().min(self.limit - bytes.len());
            bytes.extend_from_slice(&part[..kept]);
            cut |= kept < part.len();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        Ok(any.then(|| Line {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            cut,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::{BoundedLines, Line};
    use tokio::io::BufReader;

    async fn lines(text: &[u8], limit: usize, buffer: usize) -> Vec<(String, bool)> {
        let mut lines = BoundedLines::new(BufReader::with_capacity(buffer, text), limit);
        let mut all = Vec::new();
        while let Some(Line { text, cut }) = lines.next().await.unwrap() {
            all.push((text, cut));
        }
        all
    }

    #[tokio::test]
    async fn cuts_long_lines_and_goes_on_with_the_next() {
        for buffer in [1, 2, 3, 64] {
            let found = lines(b"abcdef\nxyz\n\nlast", 3, buffer).await;
            let expected = [("abc", true), ("xyz", false), ("", false), ("las", true)];
            assert_eq!(found, expected.map(|(text, cut)| (text.to_owned(), cut)));
        }
    }

    #[tokio::test]
    async fn empty_stream_has_no_line() {
        assert!(lines(b"", 8, 8).await.is_empty());
    }
}
