//! Which files of a repository are needed, and whether it has them.

use super::error::HubError;
use super::manifest::{HubFile, Manifest};
use std::collections::BTreeSet;
use trainer_protocol::Task;

/// A file format of weights, as `transformers` names its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format {
    /// The weights where they are one file.
    whole: &'static str,
    /// Where they are several: which tensor lies in which file.
    index: &'static str,
    /// What the names of those files end with.
    ending: &'static str,
}

/// In the order in which the trainer looks for them: the first that a repository has is read, the others never.
const FORMATS: [Format; 2] = [
    Format {
        whole: "model.safetensors",
        index: "model.safetensors.index.json",
        ending: ".safetensors",
    },
    Format {
        whole: "pytorch_model.bin",
        index: "pytorch_model.bin.index.json",
        ending: ".bin",
    },
];
/// Most bytes of an index that are read: those of the largest models have a few hundred kilobytes.
const INDEX_LIMIT: u64 = 16 << 20;
/// And of `config.json`: those with ten thousand labels have about one megabyte.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Tokenizers, in every form that the trainer reads.
const TOKENIZER: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
];
/// Each line alone is enough to build a tokenizer.
const ENOUGH_FOR_A_TOKENIZER: [&[&str]; 6] = [
    &["tokenizer.json"],
    &["vocab.txt"],
    &["vocab.json", "merges.txt"],
    &["sentencepiece.bpe.model"],
    &["spiece.model"],
    &["spm.model"],
];
/// What sentence-transformers reads at the repository's root.
const SENTENCES: [&str; 3] = [
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
];

/// What a job needs of a repository. Always: `config.json`, the weights in one format (safetensors, else
/// `pytorch_model.bin`; one file, or the shards of an index) and every tokenizer file. Never: weights in another format
/// (`pytorch_model.bin` beside safetensors, `*.h5`, `*.msgpack`, `*.onnx`, `*.ot`, `openvino/`), which triple the bytes
/// of some repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The files of sentence-transformers too (pooling and the like), where the repository has them.
    pub sentences: bool,
    /// The head that the weights must have already. Looked at when a model is resolved; it changes no file.
    pub head: Option<Head>,
}

/// What sits on an encoder; classes of `transformers` are named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// One label a text.
    Text,
    /// One label a token.
    Token,
}

impl Head {
    /// What the names of its classes end with.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Text => "ForSequenceClassification",
            Self::Token => "ForTokenClassification",
        }
    }
}

impl Needs {
    /// What a pipeline of this task needs. One that trains makes its own head, sentence embeddings have none.
    #[must_use]
    pub fn of(task: Task, trains: bool) -> Self {
        let head = match task {
            Task::TextClassification => Some(Head::Text),
            Task::TokenClassification => Some(Head::Token),
            Task::FeatureExtraction => None,
        };
        Self {
            sentences: task == Task::FeatureExtraction,
            head: head.filter(|_| !trains),
        }
    }

    fn wants(self, manifest: &Manifest, path: &str) -> bool {
        path == "config.json" || TOKENIZER.contains(&path) || (self.sentences && is_of_sentences(manifest, path))
    }
}

/// A file at the root, or of a module's folder (`1_Pooling/config.json`, `2_Dense/model.safetensors`; there too the
/// first format of weights only).
fn is_of_sentences(manifest: &Manifest, path: &str) -> bool {
    let module = |folder: &str| {
        folder
            .split_once('_')
            .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let first = |folder: &str| {
        let there = |format: &&Format| manifest.find(&format!("{folder}/{}", format.whole)).is_some();
        FORMATS.iter().find(there).map(|format| format.whole)
    };
    SENTENCES.contains(&path)
        || path
            .split_once('/')
            .is_some_and(|(folder, file)| module(folder) && (file == "config.json" || Some(file) == first(folder)))
}

/// The needed files of a commit, without the shards that an index names.
#[derive(Debug)]
pub(super) struct Selection {
    /// To be fetched, in the order of their paths.
    pub(super) files: Vec<HubFile>,
    /// `config.json`, small enough to be read whole; it is among `files`.
    pub(super) config: HubFile,
    /// The index, if the weights are in shards; it is among `files`, and small enough to be read whole.
    pub(super) index: Option<HubFile>,
    format: Format,
}

impl Selection {
    /// The files, and every shard that the index can name: known before the index is there.
    pub(super) fn at_most(&self, manifest: &Manifest) -> Vec<HubFile> {
        let shard = |file: &&HubFile| file.path.ends_with(self.format.ending) && !file.path.contains('/');
        let shards = manifest.files.iter().filter(|file| self.index.is_some() && shard(file));
        self.files.iter().chain(shards).cloned().collect()
    }

    /// The shards that an index of this text, already verified, names.
    ///
    /// # Errors
    /// [`HubError::Lacks`]: the index cannot be understood, or it names a file that the commit does not have.
    pub(super) fn shards(&self, manifest: &Manifest, index: &[u8]) -> Result<Vec<HubFile>, HubError> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: std::collections::BTreeMap<String, String>,
        }
        let name = self.format.index;
        let Ok(index) = serde_json::from_slice::<Index>(index) else {
            return Err(lacks(manifest, format!("{name} with a weight_map")));
        };
        let names: BTreeSet<String> = index.weight_map.into_values().collect();
        let find = |shard: String| {
            let found = manifest.find(&shard).filter(|_| shard.ends_with(self.format.ending));
            found
                .cloned()
                .ok_or_else(|| lacks(manifest, format!("{shard:?}, which {name} names")))
        };
        names.into_iter().map(find).collect()
    }
}

/// The files that `needs` names.
///
/// # Errors
/// [`HubError::Lacks`]: the repository has no config, no weights in a known format or no tokenizer.
pub(super) fn select(manifest: &Manifest, needs: Needs) -> Result<Selection, HubError> {
    let Some(config) = manifest.find("config.json") else {
        return Err(lacks(manifest, "config.json".into()));
    };
    let mut candidates = FORMATS
        .iter()
        .flat_map(|format| [(format, format.whole), (format, format.index)]);
    let Some((format, weights)) = candidates.find(|(_, path)| manifest.find(path).is_some()) else {
        return Err(lacks(
            manifest,
            "weights that can be read (model.safetensors or pytorch_model.bin, whole or in shards)".into(),
        ));
    };
    if !ENOUGH_FOR_A_TOKENIZER
        .iter()
        .any(|set| set.iter().all(|path| manifest.find(path).is_some()))
    {
        return Err(lacks(
            manifest,
            "tokenizer that can be read (tokenizer.json, vocab.txt, vocab.json with merges.txt, sentencepiece.bpe.model, spiece.model or spm.model)".into(),
        ));
    }
    let index = manifest.find(weights).filter(|_| weights == format.index);
    for (file, limit) in [(Some(config), CONFIG_LIMIT), (index, INDEX_LIMIT)] {
        if let Some(file) = file.filter(|file| file.size > limit) {
            let missing = format!("{} of a readable size (it has {} bytes)", file.path, file.size);
            return Err(lacks(manifest, missing));
        }
    }
    let wanted = |file: &&HubFile| needs.wants(manifest, &file.path) || file.path == weights;
    Ok(Selection {
        files: manifest.files.iter().filter(wanted).cloned().collect(),
        config: config.clone(),
        index: index.cloned(),
        format: *format,
    })
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
mod tests;
