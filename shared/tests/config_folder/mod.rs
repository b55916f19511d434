//! A project of a test's own.

use shared::project::{Project, Request, load};
use shared::settings::SettingsError;
use tempfile::TempDir;

/// A folder `config` with one project whose dotenv file is given.
pub(crate) struct Config(pub(crate) TempDir);

impl Config {
    /// Its dotenv file, and a line of training data.
    pub(crate) fn new(project: &str, dotenv: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(project).join("data")).unwrap();
        std::fs::write(
            folder.path().join(project).join("data/train.jsonl"),
            "{\"text\": \"a\", \"label\": \"b\"}\n",
        )
        .unwrap();
        std::fs::write(folder.path().join(project).join("dev.env"), dotenv).unwrap();
        Self(folder)
    }

    /// Loads it with `--set` and a process environment.
    pub(crate) fn load(
        &self,
        project: &str,
        set: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Result<Project, SettingsError> {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect::<Vec<_>>()
        };
        load(&Request {
            config: self.0.path().to_owned(),
            project: project.into(),
            env_file: None,
            set: owned(set),
            environment: owned(environment).into_iter().collect(),
        })
    }
}

/// The least that a sentiment project needs; four lines.
pub(crate) const SENTIMENT: &str = "PROJECT=onclusive/sentiment\nMODEL=SEN-TRAINED\nHUGGINGFACE_PIPELINE_TASK=sentiment-analysis\nHUGGINGFACE_MODEL_REFERENCE=acme/tiny\n";
