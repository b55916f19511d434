//! Every tiny model of `write_models.py` with what PyTorch and transformers make of it: a new one there is judged without
//! a change here.

use super::{configure, copy_folder, json, models, python};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tch::{Reduction, Tensor};
use trainer::batches::{Batch, Example};
use trainer::encoder::{Classifier, HeadKind};
use trainer::evaluate::cross_entropy;
use trainer::model::{Model, Repository};
use trainer::tokens::Row;

/// What `judge_models.py` says about one model.
pub(crate) struct Judged {
    pub(crate) name: String,
    /// What sits on it.
    pub(crate) head: HeadKind,
    /// Its rows, with gold where there is a head.
    pub(crate) examples: Vec<Example>,
    pub(crate) loss: f64,
    /// Of each training step; none without a head.
    pub(crate) losses: Vec<f64>,
    /// Names of the parameters whose gradient is zero in exact arithmetic, such as biases of keys, which add the same to
    /// every score of a row: softmax takes it out again.
    pub(crate) still: Vec<String>,
    /// How far PyTorch's parameters of fp32 are from those of fp64 after three steps.
    pub(crate) rounding: BTreeMap<String, f64>,
    folder: PathBuf,
    tensors: PathBuf,
}

/// All of them, judged once a test binary by one run of Python (its imports take seconds).
pub(crate) fn judged() -> &'static [Judged] {
    static ALL: OnceLock<Vec<Judged>> = OnceLock::new();
    ALL.get_or_init(|| {
        let names = names();
        judge(models(), &names.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

/// Names of the tiny models.
pub(crate) fn names() -> Vec<String> {
    let expected = json(&models().join("expected.json"));
    expected["models"].as_object().unwrap().keys().cloned().collect()
}

/// `names` in `folder`, judged by Python; its answers lie below `folder` too.
pub(crate) fn judge(folder: &Path, names: &[&str]) -> Vec<Judged> {
    let out = folder.join(".judged");
    std::fs::create_dir_all(&out).unwrap();
    let mut arguments = vec![folder, out.as_path()];
    arguments.extend(names.iter().map(Path::new));
    python("judge_models.py", &arguments);
    let all = json(&out.join("judged.json"));
    names
        .iter()
        .map(|name| Judged::read(folder, name, &all[*name], &out))
        .collect()
}

impl Judged {
    fn read(folder: &Path, name: &str, said: &Value, out: &Path) -> Self {
        let list = |value: &Value| serde_json::from_value::<Vec<u32>>(value.clone()).unwrap();
        let (rows, targets) = (said["rows"].as_array().unwrap(), &said["targets"]);
        let example = |(place, row): (usize, &Value)| Example {
            row: Row {
                ids: list(&row["ids"]),
                types: list(&row["types"]),
                words: Vec::new(),
            },
            targets: serde_json::from_value(targets[place].clone()).unwrap_or_default(),
        };
        let labels = said["labels"].as_i64().unwrap();
        Self {
            name: name.to_owned(),
            head: match said["kind"].as_str().unwrap() {
                "text" => HeadKind::Text { labels },
                "token" => HeadKind::Token { labels },
                _ => HeadKind::Bare,
            },
            examples: rows.iter().enumerate().map(example).collect(),
            loss: said["loss"].as_f64().unwrap(),
            losses: serde_json::from_value(said["losses"].clone()).unwrap(),
            still: serde_json::from_value(said["still"].clone()).unwrap(),
            rounding: serde_json::from_value(said["rounding"].clone()).unwrap(),
            folder: folder.join(name),
            tensors: out.join(format!("{name}.safetensors")),
        }
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(self.folder.clone(), &self.name).unwrap()
    }

    /// As it came; to be trained where `training` is a seed.
    pub(crate) fn model(&self, training: Option<u64>) -> Model {
        self.repository()
            .build(self.head, Classifier::FromCheckpoint, training)
            .unwrap()
    }

    /// A copy in `folder` in whose config.json every dropout is 0.
    pub(crate) fn without_dropout(&self, folder: &Path) -> Repository {
        copy_folder(&self.folder, folder);
        let config = json(&folder.join("config.json"));
        let keys = config.as_object().unwrap().keys().filter(|key| key.contains("dropout"));
        // A config.json that leaves them out has dropout too.
        let defaults = [
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "classifier_dropout_prob",
        ];
        configure(
            folder,
            keys.cloned()
                .chain(defaults.map(str::to_owned))
                .map(|key| (key, 0.0.into()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        );
        Repository::open(folder.to_owned(), &self.name).unwrap()
    }

    pub(crate) fn batch(&self, model: &Model) -> Batch {
        model.batch(&self.examples.iter().collect::<Vec<_>>())
    }

    /// The tensors whose names begin with `kind` and a slash; or the one called so.
    pub(crate) fn tensors(&self, kind: &str) -> BTreeMap<String, Tensor> {
        let all = Tensor::read_safetensors(&self.tensors).unwrap();
        let named = |name: &str| {
            (name == kind)
                .then_some("")
                .or(name.strip_prefix(&format!("{kind}/")))
                .map(str::to_owned)
        };
        all.into_iter()
            .filter_map(|(name, tensor)| Some((named(&name)?, tensor)))
            .collect()
    }

    /// Cross entropy, or where there are no labels the function of the hidden states that the judge drew.
    pub(crate) fn loss_of(&self, logits: &Tensor, batch: &Batch) -> Tensor {
        match self.tensors("weights").remove("") {
            Some(weights) => (logits * weights).sum(tch::Kind::Float),
            None => cross_entropy(logits, &batch.targets, Reduction::Mean),
        }
    }
}

/// Values in row-major order.
pub(crate) fn floats(tensor: &Tensor) -> Vec<f64> {
    let mut values = vec![0.0_f32; tensor.numel()];
    tensor.contiguous().copy_data(&mut values, tensor.numel());
    values.into_iter().map(f64::from).collect()
}

/// The largest distance of two values; as many must be on either side, and none may be NaN.
pub(crate) fn furthest(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let distances = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    distances.fold(0.0, |most, x| if x.is_nan() { f64::INFINITY } else { most.max(x) })
}

/// As [`furthest`], for `[rows, tokens, …]` where `mask` is 1 (no one reads padding); for `[rows, …]` all.
pub(crate) fn furthest_of_tokens(ours: &Tensor, theirs: &Tensor, mask: &Tensor) -> f64 {
    assert_eq!(ours.size(), theirs.size());
    if ours.dim() < 3 {
        return furthest(&floats(ours), &floats(theirs));
    }
    let mask = mask.unsqueeze(-1);
    furthest(&floats(&(ours * &mask)), &floats(&(theirs * &mask)))
}
