//! Tokenizers that Python trained.

use super::python;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folders and expectations of `tokenize_texts.py write`, written once.
pub(crate) fn written() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        python("tokenize_texts.py", &[Path::new("write"), &folder]);
        folder
    })
}

/// Names and contents of the files in a folder without folders.
pub(crate) fn bytes_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

/// A copy of one of the folders, to be changed.
pub(crate) fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in bytes_below(&written().join(name)) {
        std::fs::write(folder.path().join(file), bytes).unwrap();
    }
    folder
}
