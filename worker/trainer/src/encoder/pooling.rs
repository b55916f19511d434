//! From token states to one vector a text, as the repository's sentence-transformers files say.

use crate::batches::Batch;
use crate::failure::{Failure, Result};
use serde::Deserialize;
use std::path::Path;
use tch::{Kind, Tensor};

/// How token states become the text's vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    modes: Vec<Mode>,
    normalize: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Cls,
    Max,
    Mean,
    MeanSqrtLen,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode: Option<String>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
}

impl Pooling {
    /// Reads `modules.json` of `folder` and what it points to. A repository without it is pooled by the mean, as
    /// sentence-transformers does.
    ///
    /// # Errors
    ///
    /// A user's failure where a module or a mode is not known; `name` is what messages call the folder.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let mut pooling = Self {
            modes: vec![Mode::Mean],
            normalize: false,
        };
        if !folder.join("modules.json").exists() {
            return Ok(pooling);
        }
        let modules: Vec<Module> = read(folder, name, "modules.json")?;
        for module in modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Normalize" => pooling.normalize = true,
                "Pooling" => {
                    let file = format!("{}/config.json", inside(&module.path, name)?);
                    pooling.modes = read::<PoolingConfig>(folder, name, &file)?.modes(&format!("{name}/{file}"))?;
                }
                other => {
                    return Err(Failure::user(format!(
                        "{name}/modules.json: module `{other}` is not known (known: Transformer, Pooling, Normalize)"
                    )));
                }
            }
        }
        Ok(pooling)
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
        let vectors = Tensor::cat(&parts, -1);
        if !self.normalize {
            return vectors;
        }
        let norm = vectors
            .square()
            .sum_dim_intlist(-1, true, Kind::Float)
            .sqrt()
            .clamp_min(1e-12);
        vectors / norm
    }
}

impl PoolingConfig {
    /// In the order in which sentence-transformers joins them.
    fn modes(&self, file: &str) -> Result<Vec<Mode>> {
        let all = [
            (self.pooling_mode_cls_token, "cls", Mode::Cls),
            (self.pooling_mode_max_tokens, "max", Mode::Max),
            (self.pooling_mode_mean_tokens, "mean", Mode::Mean),
            (
                self.pooling_mode_mean_sqrt_len_tokens,
                "mean_sqrt_len_tokens",
                Mode::MeanSqrtLen,
            ),
        ];
        let named = |name: &str| self.pooling_mode.as_deref() == Some(name);
        let modes: Vec<Mode> = all
            .iter()
            .filter(|(on, name, _)| *on || named(name))
            .map(|(_, _, m)| *m)
            .collect();
        if modes.is_empty() {
            return Err(Failure::user(format!(
                "{file}: no known pooling mode (known: cls, max, mean and mean_sqrt_len tokens)"
            )));
        }
        Ok(modes)
    }
}

impl Mode {
    fn apply(self, hidden: &Tensor, mask: &Tensor) -> Tensor {
        let sum = || (hidden * mask).sum_dim_intlist(1, false, Kind::Float);
        let count = || mask.sum_dim_intlist(1, false, Kind::Float).clamp_min(1e-9);
        match self {
            Self::Cls => hidden.select(1, 0),
            Self::Max => (hidden + (mask - 1.0) * 1e9).amax(1, false),
            Self::Mean => sum() / count(),
            Self::MeanSqrtLen => sum() / count().sqrt(),
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
