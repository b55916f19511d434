//! Files that become objects, whole or in parts.

use super::S3Store;
use super::errors::{conflict, local, unavailable, verify};
use crate::store::{Conflict, Key, StoreError};
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// S3's own limit is 10,000.
const MOST_PARTS: u64 = 9_000;

/// How files travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Files beyond this many bytes are sent in parts.
    pub whole: u64,
    /// Bytes of a part that is sent, more where there would be too many; S3 wants 5 MiB at least.
    pub part: u64,
    /// Bytes of a part that is fetched.
    pub range: u64,
    /// Parts on their way at once, each of which is in memory.
    pub at_once: usize,
}

impl Default for Transfer {
    fn default() -> Self {
        Self {
            whole: 16 << 20,
            part: 8 << 20,
            range: 8 << 20,
            at_once: 8,
        }
    }
}

impl Transfer {
    /// Bytes of each part of a file of `size` bytes but the last.
    pub(super) fn part_of(&self, size: u64) -> u64 {
        const MIB: u64 = 1 << 20;
        match size.div_ceil(MOST_PARTS) {
            least if least <= self.part => self.part.max(1),
            least => least.div_ceil(MIB) * MIB,
        }
    }

    /// Large parts are fewer at once: together no more than about 256 MiB, but two.
    pub(super) fn parts_at_once(&self, part: u64) -> usize {
        let fit = usize::try_from((256 << 20) / part.max(1)).unwrap_or(usize::MAX);
        self.at_once.min(fit).max(2)
    }
}

impl S3Store {
    /// Creates the object from a file whose SHA-256 is this.
    pub(super) async fn send_file(&self, key: &Key, path: &Path, sha256: &str) -> Result<(), StoreError> {
        let source = Source::open(key, path).await?;
        if source.size > self.transfer.whole {
            // Spares the way of very many bytes that have lost already; the last request decides.
            if self.head(key).await?.is_some() {
                return Err(conflict(key, Conflict::Changed));
            }
            return self.send_parts(key, source, sha256).await;
        }
        let (bytes, found) = source.whole(key).await?;
        verify(key, sha256, found)?;
        self.create(key, bytes).await.map(drop)
    }
}

/// An open file, read from its start to the size that it had when it was opened.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    pub(super) size: u64,
    read: u64,
    digest: Sha256,
}

impl Source {
    async fn open(key: &Key, path: &Path) -> Result<Self, StoreError> {
        let owned = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let file = File::open(&owned)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let opened: io::Result<_> = opened.await.map_err(|error| unavailable(key, error))?;
        let (file, size) = opened
            .with_context(|| format!("failed to open {}", path.display()))
            .map_err(|error| unavailable(key, error))?;
        Ok(Self {
            file,
            size,
            read: 0,
            digest: Sha256::new(),
        })
    }

    async fn whole(mut self, key: &Key) -> Result<(Bytes, String), StoreError> {
        let read = tokio::task::spawn_blocking(move || {
            let bytes = self.next(self.size)?.unwrap_or_default();
            Ok((bytes, self.digest()))
        });
        let read: io::Result<_> = read.await.map_err(|error| unavailable(key, error))?;
        read.map_err(|error| local(key, error))
    }

    /// The next `count` bytes or what is left; `None` at the end. Blocking.
    pub(super) fn next(&mut self, count: u64) -> io::Result<Option<Bytes>> {
        let count = count.min(self.size - self.read);
        if count == 0 {
            return Ok(None);
        }
        let mut bytes = BytesMut::zeroed(usize::try_from(count).map_err(io::Error::other)?);
        self.file.read_exact(&mut bytes)?;
        self.digest.update(&bytes);
        self.read += count;
        Ok(Some(bytes.freeze()))
    }

    /// SHA-256 of what was read.
    pub(super) fn digest(self) -> String {
        hex::encode(self.digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_file_and_are_never_too_many() {
        let transfer = Transfer::default();
        for size in [1, 16 << 20, 70 << 30, 5 << 40] {
            let part = transfer.part_of(size);
            assert!(size.div_ceil(part) <= 10_000, "{size}");
            assert!(((5 << 20)..=(5 << 30)).contains(&part), "{size}: {part}");
            assert!(transfer.parts_at_once(part) as u64 * part <= (256 << 20).max(2 * part));
        }
        assert_eq!(transfer.part_of(1 << 30), 8 << 20);
        assert_eq!(transfer.parts_at_once(8 << 20), 8);
    }
}
