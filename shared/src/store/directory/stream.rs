//! Bytes from file to file with their SHA-256, a piece at a time.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, Write};

const PIECE: usize = 256 * 1024;

/// Copies `from` to the empty file `to`; the SHA-256 of what was written, in hexadecimal.
pub(super) fn copy(from: &mut File, to: &mut File) -> io::Result<String> {
    // A clone of the blocks costs nothing where the file system can do it. It is `to` that is digested then: `from`
    // may be another's, and change.
    if rustix::fs::ioctl_ficlone(&*to, &*from).is_ok() {
        to.rewind()?;
        return digest(to);
    }
    pieces(from, |piece| to.write_all(piece))
}

/// The SHA-256 of the rest of `file`, in hexadecimal.
pub(super) fn digest(file: &mut File) -> io::Result<String> {
    pieces(file, |_| Ok(()))
}

fn pieces(from: &mut File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(hex::encode(sha256.finalize())),
            Ok(read) => {
                sha256.update(&piece[..read]);
                each(&piece[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
