//! Where pretrained models come from.

use async_trait::async_trait;
use shared::hub::{Hub, HubError, HubSettings, Needs};
use shared::job::HubModel;
use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OnceCell;
use trainer_protocol::Task;

/// A model's files on this host.
#[derive(Debug)]
pub struct ModelFolder {
    /// The folder of the repository's files.
    pub path: PathBuf,
    /// Bytes that had to be downloaded.
    pub downloaded: u64,
    /// Protects the folder from eviction while it lives.
    _guard: Box<dyn Any + Send + Sync>,
}

impl ModelFolder {
    /// A folder that `guard` protects.
    pub fn new(path: PathBuf, downloaded: u64, guard: impl Any + Send + Sync) -> Self {
        Self {
            path,
            downloaded,
            _guard: Box::new(guard),
        }
    }
}

/// Fetches models. The hub in a worker, folders in tests.
#[async_trait]
pub trait Models: Send + Sync + std::fmt::Debug {
    /// The verified files that `task` needs of a model at its commit. Cancel safe: a later call goes on.
    ///
    /// # Errors
    /// [`HubError`], which says whose fault it is.
    async fn fetch(&self, model: &HubModel, task: Task) -> Result<ModelFolder, HubError>;
}

/// The Hugging Face hub. Its client is made when the first job wants it: an idle worker holds none.
#[derive(Debug)]
pub struct HubModels {
    settings: HubSettings,
    hub: OnceCell<Hub>,
}

impl HubModels {
    /// Opens nothing.
    #[must_use]
    pub fn new(settings: HubSettings) -> Self {
        Self {
            settings,
            hub: OnceCell::new(),
        }
    }
}

#[async_trait]
impl Models for HubModels {
    async fn fetch(&self, model: &HubModel, task: Task) -> Result<ModelFolder, HubError> {
        let hub = self
            .hub
            .get_or_try_init(async || Hub::new(self.settings.clone()))
            .await?;
        let received = AtomicU64::new(0);
        let count = |progress: shared::hub::Progress<'_>| {
            received.fetch_add(progress.received, Ordering::Relaxed);
        };
        let snapshot = hub.fetch(model, Needs::of(task, true), &count).await?;
        let path = snapshot.folder().to_owned();
        Ok(ModelFolder::new(path, received.load(Ordering::Relaxed), snapshot))
    }
}
