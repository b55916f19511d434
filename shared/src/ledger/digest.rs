//! SHA-256 of bytes and files.

use super::error::LedgerError;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Of bytes, in hexadecimal.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Of a file, with its size in bytes. Off the async threads.
pub(crate) async fn of_file(path: &Path) -> Result<(String, u64), LedgerError> {
    let path = path.to_owned();
    let failed = |path: PathBuf, source| LedgerError::File { path, source };
    let task_path = path.clone();
    match tokio::task::spawn_blocking(move || read(&task_path)).await {
        Ok(Ok(digest)) => Ok(digest),
        Ok(Err(error)) => Err(failed(path, error)),
        Err(error) => Err(failed(path, std::io::Error::other(error))),
    }
}

fn read(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex::encode(hash.finalize()), size));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}
