//! From a pinned commit to a folder with exactly the right bytes.

use super::error::HubError;
use super::layout::{RepositoryFolder, create_folder};
use super::lock::Lock;
use super::manifest::{HubFile, Manifest};
use super::needs::{Needs, select};
use super::online::Asked;
use super::transfer::{is_intact, obtain};
use super::{Hub, HubModel, Progress, Snapshot, check_commit, check_repository, check_revision, eviction};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who said what a commit holds. Only the hub's list is whole for certain, and kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Hub,
    Cache,
}

impl Hub {
    /// Sees to it that the needed files of a commit are in the cache with the right bytes. A verified cache is used
    /// without the network, wrong bytes in it are replaced, what another process is downloading is waited for.
    /// `progress` is called about four times a megabyte, and must not block.
    ///
    /// Cancel safe: what has come of a file stays and is resumed.
    ///
    /// # Errors
    /// See [`HubError::kind`]; no space left, or the cache's limit, is capacity.
    pub async fn fetch(
        &self,
        model: &HubModel,
        needs: Needs,
        progress: &(dyn Fn(Progress<'_>) + Send + Sync),
    ) -> Result<Snapshot, HubError> {
        check_repository(&model.repository)?;
        check_revision(&model.revision)?;
        check_commit(&model.commit)?;
        let whole = self.settings.patience.whole;
        let fetched = tokio::time::timeout(whole, self.fetch_in_time(model, needs, progress)).await;
        fetched.unwrap_or_else(|_| {
            Err(HubError::Deadline {
                repository: model.repository.clone(),
                seconds: whole.as_secs(),
            })
        })
    }

    async fn fetch_in_time(
        &self,
        model: &HubModel,
        needs: Needs,
        progress: &(dyn Fn(Progress<'_>) + Send + Sync),
    ) -> Result<Snapshot, HubError> {
        let folder = RepositoryFolder::new(&self.settings.cache, &model.repository);
        // First of all: from here on nobody evicts this snapshot.
        let in_use = Lock::shared(&folder.use_lock(&model.commit)).await?;
        in_use.touch();
        let (manifest, origin) = self.manifest(&folder, model, needs).await?;
        let selection = select(&manifest, needs)?;
        self.make_room(&folder, &selection.at_most(&manifest)).await?;
        // Nobody evicts another snapshot of this repository meanwhile: the two may share blobs.
        let putting_together = Lock::shared(&folder.repository_lock()).await?;
        if origin == Origin::Hub {
            manifest.write(&folder)?;
        }
        let mut files = selection.files.clone();
        if let Some(index) = &selection.index {
            self.obtain_all(&folder, model, std::slice::from_ref(index), progress)
                .await?;
            let blob = folder.blob(&index.digest);
            let text = std::fs::read(&blob).map_err(|e| HubError::io("read", blob, e))?;
            files.extend(selection.shards(&manifest, &text)?);
        }
        self.obtain_all(&folder, model, &files, progress).await?;
        create_folder(&folder.snapshot(&model.commit))?;
        for file in &files {
            folder.link(&model.commit, &file.path, &file.digest)?;
        }
        create_folder(&folder.references())?;
        if model.revision != model.commit && folder.commit_of(&model.revision).as_ref() != Some(&model.commit) {
            folder.write_whole(&folder.reference(&model.revision), model.commit.as_bytes())?;
        }
        drop(putting_together);
        self.make_room(&folder, &[]).await.or_else(still_usable)?;
        Ok(Snapshot {
            folder: folder.snapshot(&model.commit),
            files,
            _in_use: in_use,
        })
    }

    /// What the commit holds: from beside the snapshot, else from the hub, else from a snapshot that another program
    /// put into the cache and that has all that is needed.
    async fn manifest(
        &self,
        folder: &RepositoryFolder,
        model: &HubModel,
        needs: Needs,
    ) -> Result<(Manifest, Origin), HubError> {
        if let Some(known) = Manifest::read(folder, &model.commit) {
            return Ok((known, Origin::Cache));
        }
        let adopted = Manifest::adopt(folder, &model.repository, &model.commit);
        let adopted = adopted.filter(|found| select(found, needs).is_ok());
        if self.settings.offline {
            let what = format!("model {} at {}", model.repository, model.commit);
            let offline = HubError::Offline {
                what,
                cache: self.settings.cache.clone(),
            };
            return adopted.map(|found| (found, Origin::Cache)).ok_or(offline);
        }
        let asked = Asked {
            repository: &model.repository,
            revision: &model.commit,
        };
        let attempts = if adopted.is_some() {
            1
        } else {
            self.settings.patience.attempts
        };
        let listed = self
            .insist(asked, attempts, async || self.online()?.tree(asked).await)
            .await;
        match (listed, adopted) {
            (Ok(files), _) => Ok((Manifest::new(&model.repository, &model.commit, files)?, Origin::Hub)),
            (Err(error), Some(found)) => {
                tracing::warn!(repository = model.repository, commit = model.commit, error = %error, "the hub does not say what the commit holds; took what is in the cache");
                Ok((found, Origin::Cache))
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn make_room(&self, folder: &RepositoryFolder, files: &[HubFile]) -> Result<(), HubError> {
        let Some(limit) = self.settings.limit_bytes else {
            return Ok(());
        };
        let length = |path| std::fs::metadata(path).map_or(0, |found: std::fs::Metadata| found.len());
        let missing = |file: &HubFile| {
            let there = length(folder.blob(&file.digest)).max(length(folder.incomplete(&file.digest)));
            file.size.saturating_sub(there)
        };
        eviction::make_room(&self.settings.cache, limit, files.iter().map(missing).sum()).await
    }

    /// Verifies what is there and downloads the rest.
    async fn obtain_all(
        &self,
        folder: &RepositoryFolder,
        model: &HubModel,
        files: &[HubFile],
        progress: &(dyn Fn(Progress<'_>) + Send + Sync),
    ) -> Result<(), HubError> {
        let asked = Asked {
            repository: &model.repository,
            revision: &model.commit,
        };
        let total = files.iter().map(|file| file.size).sum();
        // Of the files before the one at hand.
        let before = AtomicU64::new(0);
        for file in files {
            let report = |there: u64, received: u64| {
                let done = before.load(Ordering::Relaxed) + there;
                progress(Progress {
                    file: &file.path,
                    done,
                    total,
                    received,
                });
            };
            if !is_intact(&folder.blob(&file.digest), file).await? {
                if self.settings.offline {
                    let what = format!(
                        "{} of model {} at {} (intact)",
                        file.path, model.repository, model.commit
                    );
                    return Err(HubError::Offline {
                        what,
                        cache: self.settings.cache.clone(),
                    });
                }
                obtain(self.online()?, folder, asked, file, &report).await?;
            }
            report(file.size, 0);
            before.fetch_add(file.size, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A model that is there is used, even if another download has filled the cache beyond its limit meanwhile.
fn still_usable(error: HubError) -> Result<(), HubError> {
    match error {
        HubError::CacheFull { .. } => {
            tracing::warn!(error = %error, "the hub cache is beyond its limit until a running job ends");
            Ok(())
        }
        other => Err(other),
    }
}
