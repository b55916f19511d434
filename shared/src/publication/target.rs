//! Where versions lie, in names that today's consumers read.

use crate::job::Target;
use crate::store::{InvalidKey, Key};

/// Stands for the version's name (`SEN-TRAINED-7`) in decided paths and in the card's template.
pub const VERSION: &str = "{version}";
/// The model card: written last, so whoever sees it sees the whole version.
pub const CARD: &str = "model/model_card";
/// The manifest: the SHA-256 of every other file.
pub const MANIFEST: &str = "model/manifest";

/// A version's folder of what a pipeline's training told (`loss_curve`, `report`): a version of one pipeline has no
/// folder for each.
#[must_use]
pub fn training_folder(pipeline: &str, of: usize) -> String {
    match of {
        1 => "model/training".to_owned(),
        _ => format!("model/training/{pipeline}"),
    }
}

/// Keys of one model's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    model: String,
    versions: Key,
    records: Key,
}

impl Destination {
    /// The place that a job's target names.
    ///
    /// # Errors
    /// [`InvalidKey`] for a target whose names make no key.
    pub fn new(target: &Target) -> Result<Self, InvalidKey> {
        let place = format!("{}/{}/{}", target.workspace, target.project, target.model);
        Ok(Self {
            model: target.model.clone(),
            versions: Key::new(format!("{}/{place}", target.root))?,
            records: Key::new(format!("trainyard/versions/{place}"))?,
        })
    }

    /// `MODEL-n`.
    #[must_use]
    pub fn name(&self, number: u64) -> String {
        format!("{}-{number}", self.model)
    }

    /// Below it lie the versions.
    #[must_use]
    pub fn versions(&self) -> &Key {
        &self.versions
    }

    /// The folder of a version.
    ///
    /// # Errors
    /// [`InvalidKey`] for a key that would be too long.
    pub fn version(&self, number: u64) -> Result<Key, InvalidKey> {
        self.versions.join(&self.name(number))
    }

    /// A file of a version; `{version}` in the path becomes the version's name.
    ///
    /// # Errors
    /// [`InvalidKey`] for a path that leaves its folder or is too long.
    pub fn file(&self, number: u64, path: &str) -> Result<Key, InvalidKey> {
        self.version(number)?.join(&path.replace(VERSION, &self.name(number)))
    }

    /// Below it lie the records of taken numbers.
    #[must_use]
    pub(super) fn records(&self) -> &Key {
        &self.records
    }

    /// The record of a number: never deleted.
    pub(super) fn record(&self, number: u64) -> Result<Key, InvalidKey> {
        self.records.join(&number.to_string())
    }

    /// The number of a version's folder name, if it is one of this model.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        canonical(name.strip_prefix(&self.model)?.strip_prefix('-')?)
    }
}

/// A number written as this build writes it: no sign, no leading zero.
pub(super) fn canonical(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
