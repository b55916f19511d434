//! Models of the Hugging Face hub, pinned to commits and verified.
//!
//! The dispatcher asks [`Hub::resolve`] what a revision is when a job is published; workers ask [`Hub::fetch`] for the
//! files of that commit. Files lie in the hub cache that Python uses too. Nothing that the hub or the cache says is
//! believed: sizes and digests are checked against the commit's list of files, at every fetch. What is complete in the
//! cache needs no network.

mod digest;
mod error;
mod eviction;
mod fetch;
mod layout;
mod listing;
mod lock;
mod manifest;
mod names;
mod needs;
mod online;
mod settings;
mod snapshot;
mod transfer;
mod tries;

pub use crate::job::HubModel;
pub use digest::{Digest, InvalidDigest};
pub use error::{HubError, Kind};
pub use listing::Listing;
pub use manifest::HubFile;
pub use names::InvalidName;
pub use needs::{Head, Needs};
pub use settings::{HubSettings, Patience};
pub use snapshot::{Progress, Snapshot};

use layout::RepositoryFolder;
use manifest::Manifest;
use names::{check_commit, check_repository, check_revision, is_commit};
use online::{Asked, Online};
use std::future::Future;
use std::sync::OnceLock;
use tries::{Failure, Tries};

/// The hub and its cache. Building one opens no connection.
#[derive(Debug)]
pub struct Hub {
    /// Made when first needed: reading the host's certificates costs more than everything that a warm cache needs.
    online: OnceLock<Online>,
    settings: HubSettings,
}

impl Hub {
    /// A hub with these settings.
    ///
    /// # Errors
    /// [`HubError::Client`]: an endpoint that is no address.
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        online::check_endpoint(&settings.endpoint)?;
        Ok(Self {
            online: OnceLock::new(),
            settings,
        })
    }

    /// Pins a branch, tag or commit of a repository to its commit, and checks that the commit is what `needs` says:
    /// `config.json`, weights and a tokenizer are there, the config can be used, the cache may hold it all.
    ///
    /// A commit that is complete in the cache is answered from there. A revision is asked of the hub; if the hub cannot
    /// be reached and the cache knows what commit it was when it was last fetched, that is the answer, with a warning.
    ///
    /// # Errors
    /// See [`HubError::kind`]: names nothing that exists, gated, or unusable is the user's; no answer is infrastructure.
    pub async fn resolve(&self, repository: &str, revision: &str, needs: Needs) -> Result<Listing, HubError> {
        check_repository(repository)?;
        check_revision(revision)?;
        let listing = self.found(repository, revision, needs).await?;
        match self.settings.limit_bytes {
            Some(limit) if listing.bytes() > limit => Err(HubError::TooLarge {
                repository: repository.to_owned(),
                needed: listing.bytes(),
                commit: listing.model.commit,
                limit,
            }),
            _ => Ok(listing),
        }
    }

    async fn found(&self, repository: &str, revision: &str, needs: Needs) -> Result<Listing, HubError> {
        let cached = match self.cached(repository, revision, needs) {
            Some(known) if is_commit(revision) || self.settings.offline => return known,
            other => other,
        };
        if self.settings.offline {
            let what = format!("model {repository} at {revision}");
            return Err(HubError::Offline {
                what,
                cache: self.settings.cache.clone(),
            });
        }
        match (self.ask(repository, revision, needs, cached.is_some()).await, cached) {
            (Ok(listing), _) => Ok(listing),
            (Err(error), Some(known)) if error.kind() == Kind::Infrastructure => {
                tracing::warn!(repository, revision, error = %error, "the hub cannot be reached; took the commit that was fetched last");
                known
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What the hub says. With an answer in the cache nobody waits long for a hub that is away.
    async fn ask(&self, repository: &str, revision: &str, needs: Needs, is_cached: bool) -> Result<Listing, HubError> {
        let asked = Asked { repository, revision };
        let question = async || {
            let online = self.online()?;
            let commit = online.commit(asked).await?;
            let at = Asked {
                repository,
                revision: &commit,
            };
            let manifest = Manifest::new(repository, &commit, online.tree(at).await?)?;
            let selection = needs::select(&manifest, needs)?;
            let config = online.small(at, &selection.config).await?;
            let index = match &selection.index {
                Some(index) => Some(online.small(at, index).await?),
                None => None,
            };
            Ok(listing::listing(
                &manifest,
                revision,
                selection,
                (&config, index.as_deref()),
                needs,
            )?)
        };
        let patience = self.settings.patience;
        if !is_cached {
            return self.insist(asked, patience.attempts, question).await;
        }
        let answer = tokio::time::timeout(patience.with_cache, self.insist(asked, 1, question)).await;
        answer.unwrap_or_else(|_| {
            Err(HubError::Deadline {
                repository: repository.to_owned(),
                seconds: patience.with_cache.as_secs(),
            })
        })
    }

    /// The hub itself.
    fn online(&self) -> Result<&Online, HubError> {
        if let Some(online) = self.online.get() {
            return Ok(online);
        }
        let online = Online::new(&self.settings)?;
        Ok(self.online.get_or_init(|| online))
    }

    /// The same answer from the cache, if the snapshot of `revision` seems complete there: sizes are looked at, bytes
    /// only of the config and the index.
    fn cached(&self, repository: &str, revision: &str, needs: Needs) -> Option<Result<Listing, HubError>> {
        let folder = RepositoryFolder::new(&self.settings.cache, repository);
        let commit = if is_commit(revision) {
            revision.to_owned()
        } else {
            folder.commit_of(revision)?
        };
        let manifest = Manifest::read(&folder, &commit).or_else(|| Manifest::adopt(&folder, repository, &commit))?;
        let selection = needs::select(&manifest, needs).ok()?;
        let content = |file: &HubFile| {
            let blob = folder.blob(&file.digest);
            let intact = file.digest.matches(&blob, file.size).ok()?;
            intact.then(|| std::fs::read(blob).ok()).flatten()
        };
        let config = content(&selection.config)?;
        let index = match &selection.index {
            Some(index) => Some(content(index)?),
            None => None,
        };
        let found = listing::listing(&manifest, revision, selection, (&config, index.as_deref()), needs);
        let there =
            |file: &HubFile| std::fs::metadata(folder.blob(&file.digest)).is_ok_and(|found| found.len() == file.size);
        match found {
            Ok(listing) => listing.files.iter().all(there).then_some(Ok(listing)),
            // The hub has the same bytes and would say the same.
            Err(error @ HubError::Unusable { .. }) => Some(Err(error)),
            Err(_) => None,
        }
    }

    /// Repeats one question until it is answered or `attempts` are used up.
    async fn insist<T, F, A>(&self, asked: Asked<'_>, attempts: u32, mut question: A) -> Result<T, HubError>
    where
        F: Future<Output = Result<T, Failure>>,
        A: FnMut() -> F,
    {
        let what = format!("model {} at {}", asked.repository, asked.revision);
        let mut tries = Tries::new(
            what,
            Patience {
                attempts,
                ..self.settings.patience
            },
        );
        loop {
            match question().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.wait_after(failure).await?,
            }
        }
    }
}
