//! Which files of a repository are needed, and whether it has them.

use super::error::HubError;
use super::manifest::{HubFile, Manifest};
use std::collections::BTreeSet;
use trainer_protocol::Task;

/// The weights where they are one file.
const WEIGHTS: &str = "model.safetensors";
/// Where they are several: which tensor lies in which file.
const INDEX: &str = "model.safetensors.index.json";
/// Most bytes of an index that are read: those of the largest models have a few hundred kilobytes.
const INDEX_LIMIT: u64 = 16 << 20;

/// Tokenizers, in every form that repositories have them in.
const TOKENIZER: [&str; 13] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "vocab.bpe",
];
/// Each line alone is enough to build a tokenizer.
const ENOUGH_FOR_A_TOKENIZER: [&[&str]; 8] = [
    &["tokenizer.json"],
    &["vocab.txt"],
    &["vocab.json", "merges.txt"],
    &["vocab.txt", "bpe.codes"],
    &["sentencepiece.bpe.model"],
    &["spiece.model"],
    &["spm.model"],
    &["tokenizer.model"],
];
/// What sentence-transformers reads at the repository's root.
const SENTENCES: [&str; 3] = [
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// What a job needs of a repository. Always: `config.json`, the weights as safetensors (one file, or the shards of an
/// index) and every tokenizer file. Never: weights in another format (`pytorch_model.bin`, `*.h5`, `*.msgpack`,
/// `*.onnx`, `*.ot`, `openvino/`), which triple the bytes of some repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The files of sentence-transformers too (pooling and the like), where the repository has them.
    pub sentences: bool,
}

impl Needs {
    /// What a pipeline of this task needs.
    #[must_use]
    pub fn of(task: Task) -> Self {
        Self {
            sentences: task == Task::FeatureExtraction,
        }
    }

    fn wants(self, path: &str) -> bool {
        path == "config.json" || TOKENIZER.contains(&path) || (self.sentences && is_of_sentences(path))
    }
}

/// A file at the root, or of a module's folder (`1_Pooling/config.json`, `2_Dense/model.safetensors`).
fn is_of_sentences(path: &str) -> bool {
    let module = |folder: &str| {
        folder
            .split_once('_')
            .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    SENTENCES.contains(&path)
        || path
            .split_once('/')
            .is_some_and(|(folder, file)| module(folder) && ["config.json", WEIGHTS].contains(&file))
}

/// The needed files of a commit, without the shards that an index names.
#[derive(Debug)]
pub(super) struct Selection {
    /// To be fetched, in the order of their paths.
    pub(super) files: Vec<HubFile>,
    /// The index, if the weights are in shards; it is among `files`.
    pub(super) index: Option<HubFile>,
}

impl Selection {
    /// The files, and every shard that the index can name: known before the index is there.
    pub(super) fn at_most(&self, manifest: &Manifest) -> Vec<HubFile> {
        let shard = |file: &&HubFile| file.path.ends_with(".safetensors") && !file.path.contains('/');
        let shards = manifest.files.iter().filter(|file| self.index.is_some() && shard(file));
        self.files.iter().chain(shards).cloned().collect()
    }
}

/// The files that `needs` names.
///
/// # Errors
/// [`HubError::Lacks`]: the repository has no config, no safetensors or no tokenizer.
pub(super) fn select(manifest: &Manifest, needs: Needs) -> Result<Selection, HubError> {
    let find = |path: &str| manifest.files.iter().find(|file| file.path == path);
    let whole = find(WEIGHTS);
    let index = if whole.is_none() { find(INDEX) } else { None };
    if find("config.json").is_none() {
        return Err(lacks(manifest, "config.json".into()));
    }
    if whole.is_none() && index.is_none() {
        return Err(lacks(
            manifest,
            "weights in the safetensors format (model.safetensors)".into(),
        ));
    }
    if !ENOUGH_FOR_A_TOKENIZER
        .iter()
        .any(|set| set.iter().all(|path| find(path).is_some()))
    {
        return Err(lacks(
            manifest,
            "tokenizer (tokenizer.json, vocab.txt or a SentencePiece model)".into(),
        ));
    }
    let weights = whole.or(index);
    let wanted = |file: &&HubFile| needs.wants(&file.path) || Some(*file) == weights;
    let files = manifest.files.iter().filter(wanted).cloned().collect();
    Ok(Selection {
        files,
        index: index.cloned(),
    })
}

/// The shards that the index file at `path`, already verified, names.
///
/// # Errors
/// [`HubError::Lacks`]: the index cannot be understood, or it names a file that the commit does not have.
pub(super) fn shards(manifest: &Manifest, path: &std::path::Path) -> Result<Vec<HubFile>, HubError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let size = std::fs::metadata(path)
        .map_err(|e| HubError::io("read", path, e))?
        .len();
    if size > INDEX_LIMIT {
        return Err(lacks(manifest, format!("{INDEX} of a readable size")));
    }
    let text = std::fs::read(path).map_err(|e| HubError::io("read", path, e))?;
    let Ok(index) = serde_json::from_slice::<Index>(&text) else {
        return Err(lacks(manifest, format!("{INDEX} with a weight_map")));
    };
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    let find = |name: String| {
        let found = manifest
            .files
            .iter()
            .find(|file| file.path == name && name.ends_with(".safetensors"));
        found
            .cloned()
            .ok_or_else(|| lacks(manifest, format!("{name:?}, which {INDEX} names")))
    };
    names.into_iter().map(find).collect()
}

fn lacks(manifest: &Manifest, missing: String) -> HubError {
    let some: Vec<&str> = manifest.files.iter().take(20).map(|file| file.path.as_str()).collect();
    let more = manifest.files.len().saturating_sub(some.len());
    let holds = match (some.is_empty(), more) {
        (true, _) => "no files".to_owned(),
        (false, 0) => some.join(", "),
        (false, more) => format!("{} and {more} more", some.join(", ")),
    };
    HubError::Lacks {
        repository: manifest.repository.clone(),
        commit: manifest.commit.clone(),
        missing,
        holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::digest::Digest;

    fn manifest(paths: &[&str]) -> Manifest {
        let digest = Digest::try_from("0".repeat(40)).expect("a digest");
        let files = paths.iter().map(|path| HubFile {
            path: (*path).into(),
            size: 1,
            digest: digest.clone(),
        });
        Manifest::new("a/b", &"1".repeat(40), files.collect()).expect("plain paths")
    }

    fn selected(paths: &[&str], sentences: bool) -> Result<Vec<String>, String> {
        let found = select(&manifest(paths), Needs { sentences });
        found
            .map(|s| s.files.into_iter().map(|f| f.path).collect())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn only_needed_files_are_selected() {
        let all = [
            "1_Pooling/config.json",
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "model.onnx",
            "model.safetensors",
            "modules.json",
            "onnx/model.onnx",
            "openvino/openvino_model.bin",
            "pytorch_model.bin",
            "rust_model.ot",
            "tf_model.h5",
            "tokenizer.json",
            "vocab.txt",
            "onnx/config.json",
            "x/model.safetensors",
        ];
        let plain = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
        assert_eq!(selected(&all, false).expect("complete"), plain);
        let mut with_sentences = vec!["1_Pooling/config.json"];
        with_sentences.extend([
            "config.json",
            "model.safetensors",
            "modules.json",
            "tokenizer.json",
            "vocab.txt",
        ]);
        assert_eq!(selected(&all, true).expect("complete"), with_sentences);
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        let error = selected(&["config.json", "pytorch_model.bin", "vocab.txt"], false).expect_err("no safetensors");
        assert!(
            error.contains("no weights in the safetensors format") && error.contains("pytorch_model.bin"),
            "{error}"
        );
        let error = selected(&["config.json", "model.safetensors"], false).expect_err("no tokenizer");
        assert!(error.contains("no tokenizer"), "{error}");
        let error = selected(&[], false).expect_err("nothing");
        assert!(
            error.contains("no config.json") && error.contains("holds no files"),
            "{error}"
        );
    }

    #[test]
    fn shards_are_those_of_the_index_and_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("index");
        let of = manifest(&[
            "config.json",
            INDEX,
            "vocab.txt",
            "model-1.safetensors",
            "model-2.safetensors",
            "evil.bin",
        ]);
        std::fs::write(
            &path,
            r#"{"weight_map":{"a":"model-1.safetensors","b":"model-1.safetensors"}}"#,
        )
        .expect("written");
        let found: Vec<String> = shards(&of, &path)
            .expect("shards")
            .into_iter()
            .map(|f| f.path)
            .collect();
        assert_eq!(found, ["model-1.safetensors"]);
        for bad in [
            r#"{"weight_map":{"a":"../x.safetensors"}}"#,
            r#"{"weight_map":{"a":"evil.bin"}}"#,
            "[]",
            "",
        ] {
            std::fs::write(&path, bad).expect("written");
            assert!(matches!(shards(&of, &path), Err(HubError::Lacks { .. })), "{bad}");
        }
    }
}
