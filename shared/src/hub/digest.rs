//! What the hub says a file's bytes are: the name of its blob in the cache.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The digest that the hub gives for a file, which is also its ETag and the name of its blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Digest {
    /// Of files in LFS or Xet, the weights among them: 64 hexadecimal digits.
    Sha256(String),
    /// git's blob id, of all other files: SHA-1 over `blob SIZE\0` and the content, 40 hexadecimal digits.
    GitBlob(String),
}

/// Text that is neither digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a SHA-256 nor a git blob id")]
pub struct InvalidDigest(String);

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hexadecimal = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match text.len() {
            64 if hexadecimal => Ok(Self::Sha256(text)),
            40 if hexadecimal => Ok(Self::GitBlob(text)),
            _ => Err(InvalidDigest(text.chars().take(80).collect())),
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha256(text) | Digest::GitBlob(text) => text,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Digest {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::GitBlob(text) => text,
        }
    }

    /// Whether the file at `path` has exactly `size` bytes with this digest. Blocks while it reads the file.
    ///
    /// # Errors
    /// The file cannot be read; one that is not there is `Ok(false)`.
    pub(super) fn matches(&self, path: &Path, size: u64) -> io::Result<bool> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() || found.len() != size {
            return Ok(false);
        }
        Ok(self.of(&mut file, size)? == self.as_str())
    }

    /// Whether this is the digest of `bytes`.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        self.of(&mut &*bytes, bytes.len() as u64)
            .is_ok_and(|computed| computed == self.as_str())
    }

    /// The digest of this kind of what `content`, of `size` bytes, gives.
    fn of(&self, content: &mut impl Read, size: u64) -> io::Result<String> {
        match self {
            Self::Sha256(_) => hashed(Sha256::new(), content),
            Self::GitBlob(_) => hashed(Sha1::new_with_prefix(format!("blob {size}\0")), content),
        }
    }
}

fn hashed(mut hasher: impl sha1::Digest, file: &mut impl Read) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::try_from(text.to_owned()).expect("a digest")
    }

    #[test]
    fn both_kinds_are_told_by_their_length_and_checked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "hello\n").expect("written");
        // `git hash-object` and `sha256sum` of the same file.
        let git = digest("ce013625030ba8dba906f756967f9e9ca394464a");
        let sha256 = digest("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
        assert!(matches!((&git, &sha256), (Digest::GitBlob(_), Digest::Sha256(_))));
        for good in [&git, &sha256] {
            assert!(good.matches(&path, 6).expect("readable"));
            assert!(!good.matches(&path, 7).expect("readable"), "the size counts");
            assert!(!good.matches(&folder.path().join("absent"), 6).expect("readable"));
        }
        assert!(git.is_of(b"hello\n") && sha256.is_of(b"hello\n") && !git.is_of(b"hellO\n"));
        std::fs::write(&path, "hellO\n").expect("written");
        assert!(!git.matches(&path, 6).expect("readable") && !sha256.matches(&path, 6).expect("readable"));
    }

    #[test]
    fn other_text_is_no_digest() {
        for text in [
            "",
            "abc",
            "../../../../../../../../../../etc/passwd.",
            &"A".repeat(64),
            &"g".repeat(40),
        ] {
            assert!(Digest::try_from(text.to_owned()).is_err());
        }
    }
}
