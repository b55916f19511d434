//! Saving a training so that it can go on with the same bits, in this process or another.
//!
//! `checkpoint-<step>/` holds `model.safetensors` (parameters), `moments.safetensors` (the optimizer's), `state.json` and,
//! written last, `digests.json` (SHA-256 of each). It is made under another name and renamed, so that a folder of this
//! name is whole. The weights of the best evaluation lie beside, in `best-<step>.safetensors`.

use crate::crash;
use crate::encoder::weights;
use crate::environment::environment;
use crate::failure::{Failure, Result};
use crate::model::Model;
use crate::optimizer::AdamW;
use crate::state::State;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor, no_grad};
use trainer_protocol::Environment;

/// The checkpoints of one job in one folder.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    /// SHA-256 of the job; a checkpoint of another job is not used.
    job: String,
    seed: u64,
    kept: usize,
}

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    job: String,
    seed: u64,
    /// Epoch and batch group that come next.
    cursor: Cursor,
    environment: Environment,
    /// SHA-256 of the best weights' file, where there is one.
    best_digest: Option<String>,
    kept: Kept,
    state: State,
}

/// How long a checkpoint stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// As one of so many as the user wants of the strategy.
    ByStrategy,
    /// As one of the newest two.
    WhileNewest,
}

/// Checkpoints that are kept because they are the newest: if one is damaged, there is another.
const NEWEST: usize = 2;

/// Where in the data the next step begins; a function of the step, written down for people.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cursor {
    /// Epochs done.
    pub epoch: u64,
    /// Steps done in this epoch.
    pub step_in_epoch: u64,
}

impl Checkpoints {
    /// The checkpoints in `folder` of the job with the SHA-256 `job`; the newest two stay, and `kept` of the strategy.
    #[must_use]
    pub fn new(folder: &Path, job: String, seed: u64, kept: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            job,
            seed,
            kept,
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves everything; gives the folder's name. A step that is saved and whole is left as it is.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written; a full disk is a matter of capacity.
    pub fn save(&self, model: &Model, optimizer: &AdamW, state: &State, cursor: Cursor, kept: Kept) -> Result<String> {
        let name = format!("checkpoint-{:08}", state.step);
        let whole = self.folder.join(&name);
        if whole.exists() {
            if self.verified(&whole).is_ok() {
                return Ok(name);
            }
            remove_folder(&whole)?;
        }
        let partial = self.folder.join(format!("{name}.partial"));
        remove_folder(&partial)?;
        std::fs::create_dir_all(&partial).map_err(|e| Failure::file("create", &partial, e))?;
        write_tensors(&partial.join("model.safetensors"), &model.named_tensors())?;
        crash::in_checkpoint(state.step, &self.folder);
        write_tensors(&partial.join("moments.safetensors"), &moments(model, optimizer))?;
        let best = state
            .best
            .as_ref()
            .map(|best| self.best_file(best.step))
            .filter(|file| file.exists());
        let saved = Saved {
            job: self.job.clone(),
            seed: self.seed,
            cursor,
            environment: environment(&model.arithmetic),
            best_digest: best.as_deref().map(digest).transpose()?,
            kept,
            state: state.clone(),
        };
        write_json(&partial.join("state.json"), &saved)?;
        let mut digests = BTreeMap::new();
        for file in FILES {
            digests.insert(file.to_owned(), digest(&partial.join(file))?);
        }
        write_json(&partial.join("digests.json"), &digests)?;
        std::fs::rename(&partial, &whole).map_err(|e| Failure::file("rename", &partial, e))?;
        self.prune(state)?;
        Ok(name)
    }

    /// Restores the newest whole checkpoint of this job, and its thread count and precision, on which bits depend. `None` where there
    /// is none.
    ///
    /// # Errors
    ///
    /// Where a whole checkpoint does not fit the model.
    pub fn resume(&self, model: &mut Model, optimizer: &mut AdamW) -> Result<Option<State>> {
        for folder in self.newest_first() {
            let mut saved = match self.verified(&folder) {
                Ok(saved) => saved,
                Err(reason) => {
                    eprintln!("checkpoint {} is not used: {reason}", folder.display());
                    continue;
                }
            };
            model.arithmetic.set_precision(&saved.environment.precision);
            assign(model, &weights::read(&folder.join("model.safetensors"))?)?;
            restore_moments(model, optimizer, &weights::read(&folder.join("moments.safetensors"))?)?;
            optimizer.resume_at(saved.state.step);
            tch::set_num_threads(i32::try_from(saved.environment.threads).unwrap_or(1));
            let now = environment(&model.arithmetic);
            if now != saved.environment {
                eprintln!(
                    "not bit-exact: the checkpoint was made on {:?}, this is {now:?}",
                    saved.environment
                );
                if !saved.state.unmatched.contains(&saved.environment) {
                    saved.state.unmatched.push(saved.environment);
                }
            }
            eprintln!("resumed at step {}", saved.state.step);
            return Ok(Some(saved.state));
        }
        Ok(None)
    }

    /// Keeps the current weights as the best ones, of `step`.
    ///
    /// # Errors
    ///
    /// Where they cannot be written.
    pub fn keep_best(&self, model: &Model, step: u64) -> Result<()> {
        let (file, partial) = (self.best_file(step), self.folder.join("best.partial"));
        write_tensors(&partial, &model.named_tensors())?;
        std::fs::rename(&partial, &file).map_err(|e| Failure::file("rename", &partial, e))
    }

    /// Puts the best weights, of `step`, into the model.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub fn load_best(&self, model: &mut Model, step: u64) -> Result<()> {
        assign(model, &weights::read(&self.best_file(step))?)
    }

    fn best_file(&self, step: u64) -> PathBuf {
        self.folder.join(format!("best-{step:08}.safetensors"))
    }

    fn newest_first(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let mut folders: Vec<PathBuf> = entries
            .filter(|path| step_of(path, "checkpoint-", "").is_some())
            .collect();
        folders.sort();
        folders.reverse();
        folders
    }

    fn verified(&self, folder: &Path) -> anyhow::Result<Saved> {
        let digests: BTreeMap<String, String> = read_json(&folder.join("digests.json"))?;
        for file in FILES {
            anyhow::ensure!(
                digests.get(file) == Some(&digest(&folder.join(file))?),
                "{file} is damaged"
            );
        }
        let saved: Saved = read_json(&folder.join("state.json"))?;
        anyhow::ensure!(saved.job == self.job, "it is of another job");
        if let (Some(best), Some(wanted)) = (&saved.state.best, &saved.best_digest) {
            anyhow::ensure!(
                digest(&self.best_file(best.step))? == *wanted,
                "the best weights are damaged"
            );
        }
        Ok(saved)
    }

    /// Removes checkpoints that need not be kept, and best weights that none of the others and not `state` refers to.
    fn prune(&self, state: &State) -> Result<()> {
        let mut best: Vec<u64> = state.best.iter().map(|best| best.step).collect();
        let mut of_strategy = 0;
        for (place, folder) in self.newest_first().into_iter().enumerate() {
            let saved = read_json::<Saved>(&folder.join("state.json")).ok();
            let counts = saved.as_ref().is_some_and(|saved| saved.kept == Kept::ByStrategy);
            of_strategy += usize::from(counts);
            if place >= NEWEST && !(counts && of_strategy <= self.kept) {
                remove_folder(&folder)?;
            } else {
                best.extend(saved.and_then(|saved| Some(saved.state.best?.step)));
            }
        }
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if step_of(&entry.path(), "best-", ".safetensors").is_some_and(|step| !best.contains(&step)) {
                std::fs::remove_file(entry.path()).map_err(|e| Failure::file("remove", &entry.path(), e))?;
            }
        }
        Ok(())
    }
}

const FILES: [&str; 3] = ["model.safetensors", "moments.safetensors", "state.json"];

fn step_of(path: &Path, before: &str, after: &str) -> Option<u64> {
    path.file_name()?
        .to_str()?
        .strip_prefix(before)?
        .strip_suffix(after)?
        .parse()
        .ok()
}

fn moments(model: &Model, optimizer: &AdamW) -> Vec<(String, Tensor)> {
    let both = optimizer.first.iter().zip(&optimizer.second);
    let named = |(p, (first, second)): (&crate::optimizer::Parameter, (&Tensor, &Tensor))| {
        [
            (format!("first.{}", p.name), first.to_device(Device::Cpu)),
            (format!("second.{}", p.name), second.to_device(Device::Cpu)),
        ]
    };
    model.trained().iter().zip(both).flat_map(named).collect()
}

fn restore_moments(model: &Model, optimizer: &mut AdamW, saved: &BTreeMap<String, Tensor>) -> Result<()> {
    let both = optimizer.first.iter_mut().zip(&mut optimizer.second);
    for (parameter, (first, second)) in model.trained().iter().zip(both) {
        fill(first, saved, &format!("first.{}", parameter.name))?;
        fill(second, saved, &format!("second.{}", parameter.name))?;
    }
    Ok(())
}

fn assign(model: &mut Model, saved: &BTreeMap<String, Tensor>) -> Result<()> {
    let kind = model.arithmetic.kind;
    model.parameters.iter_mut().try_for_each(|p| {
        fill(&mut p.value, saved, &p.name)?;
        p.renew(kind);
        Ok(())
    })
}

fn fill(tensor: &mut Tensor, saved: &BTreeMap<String, Tensor>, name: &str) -> Result<()> {
    let missing = || Failure::Internal(anyhow::anyhow!("the checkpoint lacks {name}"));
    let value = saved.get(name).ok_or_else(missing)?;
    no_grad(|| tensor.f_copy_(value))?;
    Ok(())
}

fn write_tensors(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    weights::write(
        path,
        &tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor))
            .collect::<Vec<_>>(),
    )
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(anyhow::Error::new)?;
    std::fs::write(path, text).map_err(|e| Failure::file("write", path, e))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// SHA-256 of a file, in lower-case hexadecimal.
fn digest(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(|e| Failure::file("open", path, e))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(|e| Failure::file("read", path, e))?;
    Ok(hex::encode(hash.finalize()))
}

fn remove_folder(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file("remove", path, error)),
        _ => Ok(()),
    }
}
