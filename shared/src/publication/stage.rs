//! Staging: the bytes of a version go into the store, named by their SHA-256, where no consumer looks.

use super::card::CardFacts;
use super::error::PublicationError;
use super::manifest::Manifest;
use super::number;
use super::target::{CARD, Destination, MANIFEST};
use crate::crash;
use crate::job::Job;
use crate::ledger::{Claim, DecidedFile, Decision, digest, keys, once};
use crate::store::{Key, Store};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Files that are read at once.
const HASHED_AT_ONCE: usize = 4;
/// Files that are sent at once.
const SENT_AT_ONCE: usize = 8;

/// A file of the version to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Below the version's folder, for example `model/model_artifacts/config.json`; `{version}` in it stands for the
    /// version's name.
    pub path: String,
    /// Where it lies now.
    pub source: PathBuf,
}

/// Stages the files, the manifest and the model card's template, and says what is to be decided. What is in the store
/// already is not sent again.
///
/// # Errors
/// [`PublicationError::Path`] for a path that a version cannot have or that occurs twice, [`PublicationError::Ledger`]
/// for a file that cannot be read, [`PublicationError::Store`].
pub async fn stage(
    claim: &Claim,
    job: &Job,
    files: Vec<LocalFile>,
    facts: &CardFacts,
) -> Result<Decision, PublicationError> {
    let store = claim.ledger().store().as_ref();
    let destination = Destination::new(&job.content.target)?;
    check(&destination, &files)?;
    let hashed: Vec<(DecidedFile, PathBuf)> = futures::stream::iter(files)
        .map(hash)
        .buffer_unordered(HASHED_AT_ONCE)
        .try_collect()
        .await?;
    let mut decided: Vec<DecidedFile> = hashed.iter().map(|(file, _)| file.clone()).collect();
    decided.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = Manifest::new(claim.id().clone(), &decided).to_vec()?;
    let manifest_sha256 = digest::of_bytes(&manifest);
    let card = facts.template(claim.id(), job, &decided, &manifest_sha256)?;
    let card_sha256 = digest::of_bytes(&card);
    // All of it side by side, since each waits for the disk or the network.
    let files = futures::stream::iter(hashed)
        .map(|(file, source)| send(claim, file.sha256, source))
        .buffer_unordered(SENT_AT_ONCE)
        .try_collect::<Vec<()>>();
    let (_, (), (), floor) = futures::try_join!(
        files,
        put(store, claim, &manifest_sha256, manifest),
        put(store, claim, &card_sha256, card),
        number::next(claim.ledger(), &destination),
    )?;
    Ok(Decision {
        manifest_sha256,
        card_sha256,
        files: decided,
        floor,
        token: claim.token(),
        epoch: claim.epoch(),
    })
}

async fn hash(file: LocalFile) -> Result<(DecidedFile, PathBuf), PublicationError> {
    let (sha256, size) = digest::of_file(&file.source).await?;
    let path = file.path;
    Ok((DecidedFile { path, sha256, size }, file.source))
}

async fn send(claim: &Claim, sha256: String, source: PathBuf) -> Result<(), PublicationError> {
    let key = blob(claim, &sha256)?;
    once::put_file(claim.ledger().store().as_ref(), &key, &source, &sha256).await?;
    crash::point("in-staging");
    Ok(())
}

async fn put(store: &dyn Store, claim: &Claim, sha256: &str, bytes: Vec<u8>) -> Result<(), PublicationError> {
    once::put(store, &blob(claim, sha256)?, &Bytes::from(bytes)).await?;
    Ok(())
}

fn blob(claim: &Claim, sha256: &str) -> Result<Key, PublicationError> {
    Ok(keys::staged_blob(claim.id(), claim.epoch(), sha256)?)
}

fn check(destination: &Destination, files: &[LocalFile]) -> Result<(), PublicationError> {
    let mut seen = BTreeSet::new();
    for file in files {
        let refused = |reason| PublicationError::Path {
            path: file.path.clone(),
            reason,
        };
        // The longest number there can be: what fits with it fits with every other.
        destination
            .file(u64::MAX, &file.path)
            .map_err(|_| refused("it makes no key"))?;
        if file.path == CARD || file.path == MANIFEST {
            return Err(refused("the publication writes it itself"));
        }
        if !seen.insert(&file.path) {
            return Err(refused("it occurs twice"));
        }
    }
    Ok(())
}
