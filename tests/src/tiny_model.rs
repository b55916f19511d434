//! A BERT of random weights, small enough that a job takes a second, written as a repository of the hub holds it.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use safetensors::{Dtype, View, serialize_to_file};
use serde_json::json;
use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path};

const HIDDEN: usize = 32;
const LAYERS: usize = 2;
const HEADS: usize = 2;
const INTERMEDIATE: usize = 64;
/// So many that the weights (2 MB) come in several pieces of 256 KiB: a kill can hit the middle of their download.
const POSITIONS: usize = 16384;

/// Words that the vocabulary knows whole; everything else is spelt in letters.
const WORDS: &[&str] = &[
    "the", "a", "good", "bad", "great", "awful", "movie", "phone", "train", "is", "was", "not", "very", "it", "i",
    "love", "hate", "london", "paris", "john", "mary", "in", "to", "went", "company", "new", "model", "fine", "report",
    "today",
];

struct Floats {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Floats {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes `config.json`, `model.safetensors`, `vocab.txt`, `tokenizer_config.json` and the sentence-transformers files into
/// `folder`, which must not exist. The same seed gives the same bytes.
///
/// # Errors
/// The file system's.
pub fn write(folder: &Path, seed: u64) -> io::Result<()> {
    fs::create_dir_all(folder.join("1_Pooling"))?;
    let vocabulary = vocabulary();
    fs::write(folder.join("vocab.txt"), vocabulary.join("\n") + "\n")?;
    let json_file = |name: &str, value: serde_json::Value| fs::write(folder.join(name), format!("{value:#}\n"));
    json_file("config.json", config(vocabulary.len()))?;
    json_file(
        "tokenizer_config.json",
        json!({"do_lower_case": true, "tokenizer_class": "BertTokenizer"}),
    )?;
    json_file(
        "modules.json",
        json!([
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ]),
    )?;
    json_file(
        "1_Pooling/config.json",
        json!({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": true}),
    )?;
    let tensors = weights(vocabulary.len(), &mut StdRng::seed_from_u64(seed));
    serialize_to_file(&tensors, None, &folder.join("model.safetensors")).map_err(io::Error::other)
}

/// Gives the model in `folder` a linear head for these labels; `class` is `BertForSequenceClassification` or
/// `BertForTokenClassification`.
///
/// # Errors
/// The file system's; the folder must hold what [`write()`] wrote.
pub fn add_head(folder: &Path, class: &str, labels: &[&str], seed: u64) -> io::Result<()> {
    let vocabulary = vocabulary().len();
    let mut config = config(vocabulary);
    config["architectures"] = json!([class]);
    config["id2label"] = labels
        .iter()
        .enumerate()
        .map(|(id, label)| (id.to_string(), json!(label)))
        .collect();
    config["label2id"] = labels
        .iter()
        .enumerate()
        .map(|(id, label)| ((*label).to_owned(), json!(id)))
        .collect();
    fs::write(folder.join("config.json"), format!("{config:#}\n"))?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut tensors: BTreeMap<String, Floats> = weights(vocabulary, &mut random)
        .into_iter()
        .map(|(name, tensor)| (format!("bert.{name}"), tensor))
        .collect();
    let mut add = |name: &str, shape: Vec<usize>| {
        let bytes = (0..shape.iter().product())
            .flat_map(|_| random.random_range(-0.1f32..0.1).to_le_bytes())
            .collect();
        tensors.insert(name.to_owned(), Floats { shape, bytes });
    };
    add("classifier.weight", vec![labels.len(), HIDDEN]);
    add("classifier.bias", vec![labels.len()]);
    serialize_to_file(&tensors, None, &folder.join("model.safetensors")).map_err(io::Error::other)
}

fn vocabulary() -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        .into_iter()
        .map(String::from);
    let letters = ('a'..='z').chain('0'..='9').chain(",.!?'@#-:/".chars());
    let pieces = letters
        .clone()
        .map(String::from)
        .chain(letters.map(|letter| format!("##{letter}")));
    special
        .chain(pieces)
        .chain(WORDS.iter().map(ToString::to_string).filter(|word| word.len() > 1))
        .collect()
}

fn config(vocabulary: usize) -> serde_json::Value {
    json!({
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": vocabulary, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0, "initializer_range": 0.02,
        "position_embedding_type": "absolute",
    })
}

fn weights(vocabulary: usize, random: &mut StdRng) -> BTreeMap<String, Floats> {
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize], fill: Option<f32>| {
        let count: usize = shape.iter().product();
        let bytes = (0..count)
            .flat_map(|_| fill.unwrap_or_else(|| random.random_range(-0.1..0.1)).to_le_bytes())
            .collect();
        tensors.insert(
            name,
            Floats {
                shape: shape.to_vec(),
                bytes,
            },
        );
    };
    for (name, rows) in [("word", vocabulary), ("position", POSITIONS), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, HIDDEN], None);
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..LAYERS {
        let layer = format!("encoder.layer.{layer}");
        for (name, out, inner) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INTERMEDIATE, HIDDEN),
            ("output.dense", HIDDEN, INTERMEDIATE),
        ] {
            add(format!("{layer}.{name}.weight"), &[out, inner], None);
            add(format!("{layer}.{name}.bias"), &[out], None);
        }
        norms.extend([
            format!("{layer}.attention.output.LayerNorm"),
            format!("{layer}.output.LayerNorm"),
        ]);
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[HIDDEN], Some(1.0));
        add(format!("{norm}.bias"), &[HIDDEN], Some(0.0));
    }
    add("pooler.dense.weight".into(), &[HIDDEN, HIDDEN], None);
    add("pooler.dense.bias".into(), &[HIDDEN], None);
    tensors
}
