//! From token states to one vector a text, as the repository's sentence-transformers files say.

mod dense;

use super::Config;
use crate::batches::Batch;
use crate::failure::{Failure, Result};
use dense::Dense;
use serde::Deserialize;
use std::path::Path;
use tch::{Kind, Tensor};

/// How token states become the text's vector.
#[derive(Debug)]
pub struct Pooling {
    modes: Vec<Mode>,
    /// What happens to the pooled vector, in this order.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Dense(Dense),
    /// To the 2-norm 1.
    Normalize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Cls,
    Max,
    Mean,
    MeanSqrtLen,
    WeightedMean,
    LastToken,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

/// `1_Pooling/config.json`: one field with names, or formerly a flag a mode.
#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode: Option<Names>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

impl Pooling {
    /// Reads `modules.json` of `folder` and what it points to. A repository without it is pooled by the mean, as
    /// sentence-transformers does. `config` is that of the encoder.
    ///
    /// # Errors
    ///
    /// A user's failure where a module or a mode is not known, or the sizes of two modules do not fit; `name` is what
    /// messages call the folder.
    pub fn open(folder: &Path, name: &str, config: &Config) -> Result<Self> {
        let mut pooling = Self {
            modes: vec![Mode::Mean],
            steps: Vec::new(),
        };
        if !folder.join("modules.json").exists() {
            return Ok(pooling);
        }
        let hidden = config.size("hidden_size")?;
        let modules: Vec<Module> = read(folder, name, "modules.json")?;
        for module in modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Normalize" => pooling.steps.push(Step::Normalize),
                "Pooling" => {
                    let file = format!("{}/config.json", inside(&module.path, name)?);
                    pooling.modes = read::<PoolingConfig>(folder, name, &file)?.modes(&format!("{name}/{file}"))?;
                }
                "Dense" => {
                    let path = inside(&module.path, name)?;
                    let size = pooling.size(hidden);
                    pooling.steps.push(Step::Dense(Dense::open(folder, name, path, size)?));
                }
                other => {
                    return Err(Failure::user(format!(
                        "{name}/modules.json: module `{other}` is not known (known: Transformer, Pooling, Dense, Normalize)"
                    )));
                }
            }
        }
        Ok(pooling)
    }

    /// Of the vectors, where token states have the size `hidden`.
    fn size(&self, hidden: i64) -> i64 {
        let dense = self.steps.iter().rev().find_map(|step| match step {
            Step::Dense(dense) => Some(dense.outputs()),
            Step::Normalize => None,
        });
        dense.unwrap_or(hidden * self.modes.len() as i64)
    }

    /// Files below the folders that `modules.json` of `folder` names, relative to it, sorted; nothing hidden.
    ///
    /// # Errors
    ///
    /// As [`Pooling::open`].
    pub fn files(folder: &Path, name: &str) -> Result<Vec<String>> {
        if !folder.join("modules.json").exists() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        let modules: Vec<Module> = read(folder, name, "modules.json")?;
        for module in modules.iter().filter(|module| !module.path.is_empty()) {
            let path = inside(&module.path, name)?;
            let entries = std::fs::read_dir(folder.join(path)).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            files.extend(
                names
                    .filter(|file| !file.starts_with('.'))
                    .map(|file| format!("{path}/{file}")),
            );
        }
        files.sort();
        Ok(files)
    }

    /// `[rows, vector]` from `[rows, tokens, hidden]`.
    pub fn apply(&self, hidden: &Tensor, batch: &Batch) -> Tensor {
        let mask = batch.mask.to_kind(Kind::Float).unsqueeze(-1);
        let parts: Vec<Tensor> = self.modes.iter().map(|mode| mode.apply(hidden, &mask)).collect();
        let pooled = Tensor::cat(&parts, -1);
        self.steps.iter().fold(pooled, |vectors, step| match step {
            Step::Dense(dense) => dense.apply(&vectors),
            Step::Normalize => normalized(&vectors),
        })
    }
}

fn normalized(vectors: &Tensor) -> Tensor {
    let squares = vectors.square().sum_dim_intlist(-1, true, Kind::Float);
    vectors / squares.sqrt().clamp_min(1e-12)
}

impl PoolingConfig {
    /// In the order in which sentence-transformers joins them; the mean where none is named.
    fn modes(&self, file: &str) -> Result<Vec<Mode>> {
        let flags = [
            self.pooling_mode_cls_token,
            self.pooling_mode_max_tokens,
            self.pooling_mode_mean_tokens,
            self.pooling_mode_mean_sqrt_len_tokens,
            self.pooling_mode_weightedmean_tokens,
            self.pooling_mode_lasttoken,
        ];
        let names = match &self.pooling_mode {
            None => {
                let flagged = MODES
                    .iter()
                    .zip(flags)
                    .filter(|(_, on)| *on)
                    .map(|((_, mode), _)| *mode);
                let modes: Vec<Mode> = flagged.collect();
                return Ok(if modes.is_empty() { vec![Mode::Mean] } else { modes });
            }
            Some(Names::One(name)) => std::slice::from_ref(name),
            Some(Names::Many(names)) => names,
        };
        let known = |name: &String| MODES.iter().find(|(known, _)| known == name).map(|(_, mode)| *mode);
        let modes: Option<Vec<Mode>> = names.iter().map(known).collect();
        modes
            .filter(|modes| (1..=MODES.len()).contains(&modes.len()))
            .ok_or_else(|| {
                let known = MODES.map(|(name, _)| name).join(", ");
                Failure::user(format!(
                    "{file}: pooling_mode `{}` is not known (known: {known})",
                    names.join(", ")
                ))
            })
    }
}

/// By name, in the order of the flags.
const MODES: [(&str, Mode); 6] = [
    ("cls", Mode::Cls),
    ("max", Mode::Max),
    ("mean", Mode::Mean),
    ("mean_sqrt_len_tokens", Mode::MeanSqrtLen),
    ("weightedmean", Mode::WeightedMean),
    ("lasttoken", Mode::LastToken),
];

impl Mode {
    fn apply(self, hidden: &Tensor, mask: &Tensor) -> Tensor {
        let sum = || (hidden * mask).sum_dim_intlist(1, false, Kind::Float);
        let count = || mask.sum_dim_intlist(1, false, Kind::Float).clamp_min(1e-9);
        match self {
            Self::Cls => hidden.select(1, 0),
            Self::Max => (hidden + (mask - 1.0) * 1e9).amax(1, false),
            Self::Mean => sum() / count(),
            Self::MeanSqrtLen => sum() / count().sqrt(),
            Self::WeightedMean => {
                // The first token counts once, the second twice, ….
                let weights = mask.cumsum(1, Kind::Float) * mask;
                let total = weights.sum_dim_intlist(1, false, Kind::Float).clamp_min(1e-9);
                (hidden * &weights).sum_dim_intlist(1, false, Kind::Float) / total
            }
            Self::LastToken => {
                let last = mask.sum_dim_intlist(1, true, Kind::Int64) - 1;
                let size = hidden.size();
                hidden
                    .gather(1, &last.expand([size[0], 1, size[2]], false), false)
                    .squeeze_dim(1)
            }
        }
    }
}

/// A folder named in modules.json, which must lie below the repository.
fn inside<'a>(path: &'a str, name: &str) -> Result<&'a str> {
    if path.is_empty() || !crate::request::stays_inside(path) {
        return Err(Failure::user(format!(
            "{name}/modules.json: path `{path}` leaves the repository"
        )));
    }
    Ok(path)
}

fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &str, file: &str) -> Result<T> {
    let wrong = |error: &dyn std::fmt::Display| Failure::user(format!("{name}/{file}: {error}"));
    let text = std::fs::read(folder.join(file)).map_err(|e| wrong(&e))?;
    serde_json::from_slice(&text).map_err(|e| wrong(&e))
}
