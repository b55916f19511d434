//! Roll-forward: the decided bytes become visible, whoever makes them so.

use super::error::PublicationError;
use super::number;
use super::target::{CARD, Destination, MANIFEST};
use super::template::render;
use crate::crash;
use crate::job::{Job, JobId};
use crate::ledger::{Applied, Decision, Event, Ledger, LedgerError, Snapshot, Status, keys, once};
use crate::store::{Conflict, Key, StoreError};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

/// Files that are copied at once.
const AT_ONCE: usize = 8;

/// A registered version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub version: u64,
    /// This call made it so; exactly one call of all ever made for the job says `true`, unless its answer was lost.
    pub won: bool,
}

/// Takes a publishing job to registered: number, copies, verification, manifest, model card last, state.
///
/// Repeatable and concurrent: every publisher writes the same bytes to the same keys. An interruption anywhere leaves
/// a state from which the next call goes on.
///
/// # Errors
/// [`PublicationError::NotPublishing`] if nothing is decided, [`PublicationError::Lost`] if a decided blob is gone,
/// [`LedgerError::Different`] if foreign bytes lie at a key of the version (nothing is overwritten).
pub async fn roll_forward(
    ledger: &Ledger,
    id: &JobId,
    job: &Job,
    snapshot: &Snapshot,
) -> Result<Published, PublicationError> {
    let not_publishing = |status| PublicationError::NotPublishing { id: id.clone(), status };
    let decision = match (snapshot.state.status, &snapshot.state.decision, snapshot.state.version) {
        (Status::Registered, _, Some(version)) => return Ok(Published { version, won: false }),
        (Status::Publishing, Some(decision), _) => decision,
        (status, ..) => return Err(not_publishing(status)),
    };
    crash::point("after-decision");
    let destination = Destination::new(&job.content.target)?;
    let number = number::take(ledger.store().as_ref(), &destination, id, decision).await?;
    ledger.known().raise(destination.records(), number.saturating_add(1));
    crash::point("after-number");
    let publication = Publication {
        ledger,
        id,
        decision,
        destination,
        number,
    };
    match publication.make_visible().await {
        Err(PublicationError::Lost { path, .. }) => publication.explain_loss(path).await,
        Err(error) => Err(error),
        Ok(()) => publication.register(snapshot).await,
    }
}

struct Publication<'a> {
    ledger: &'a Ledger,
    id: &'a JobId,
    decision: &'a Decision,
    destination: Destination,
    number: u64,
}

impl Publication<'_> {
    async fn make_visible(&self) -> Result<(), PublicationError> {
        // Collected first: a stream that maps references makes a future that cannot be sent between threads.
        let files = self.decision.files.iter().map(|file| (&*file.path, &*file.sha256));
        let manifest = std::iter::once((MANIFEST, &*self.decision.manifest_sha256));
        let copies: Vec<_> = files
            .chain(manifest)
            .map(|(path, sha256)| self.copy(path, sha256))
            .collect();
        futures::stream::iter(copies)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        crash::point("before-card");
        self.write_card().await?;
        crash::point("after-card");
        Ok(())
    }

    /// Copies one staged blob to its place and verifies it there.
    async fn copy(&self, path: &str, sha256: &str) -> Result<(), PublicationError> {
        let to = self.destination.file(self.number, path)?;
        let copied = once::copy(self.ledger.store().as_ref(), &self.staged(sha256)?, &to, sha256).await;
        copied.map_err(|error| match error {
            LedgerError::Store(StoreError::Conflict {
                conflict: Conflict::Gone,
                ..
            }) => self.lost(path),
            error => error.into(),
        })?;
        crash::point("between-copies");
        Ok(())
    }

    async fn write_card(&self) -> Result<(), PublicationError> {
        let staged = self.staged(&self.decision.card_sha256)?;
        let template = self.ledger.store().get(&staged).await?.ok_or_else(|| self.lost(CARD))?;
        let template = std::str::from_utf8(&template.bytes).map_err(|_| LedgerError::Invalid {
            key: staged,
            reason: "the card's template is not UTF-8".into(),
        })?;
        let card = Bytes::from(render(template, &self.destination.name(self.number)));
        once::put(
            self.ledger.store().as_ref(),
            &self.destination.file(self.number, CARD)?,
            &card,
        )
        .await?;
        Ok(())
    }

    async fn register(&self, snapshot: &Snapshot) -> Result<Published, PublicationError> {
        let event = Event::Registered { version: self.number };
        let mut current = snapshot.clone();
        loop {
            match self.ledger.apply(self.id, &current, &event).await? {
                Applied::Won(_) => {
                    return Ok(Published {
                        version: self.number,
                        won: true,
                    });
                }
                Applied::Refused(now) if now.state.status == Status::Publishing => current = now,
                Applied::Refused(now) => return self.ended(&now),
            }
        }
    }

    /// Staged blobs go when the job has ended: another publisher may have been faster.
    async fn explain_loss(&self, path: String) -> Result<Published, PublicationError> {
        let now = self.ledger.read(self.id).await?;
        match now.state.status {
            Status::Publishing => Err(self.lost(&path)),
            _ => self.ended(&now),
        }
    }

    fn ended(&self, now: &Snapshot) -> Result<Published, PublicationError> {
        match (now.state.status, now.state.version) {
            (Status::Registered, Some(version)) => Ok(Published { version, won: false }),
            (status, _) => Err(PublicationError::NotPublishing {
                id: self.id.clone(),
                status,
            }),
        }
    }

    fn staged(&self, sha256: &str) -> Result<Key, PublicationError> {
        Ok(keys::staged_blob(self.id, self.decision.epoch, sha256)?)
    }

    fn lost(&self, path: &str) -> PublicationError {
        PublicationError::Lost {
            id: self.id.clone(),
            path: path.to_owned(),
        }
    }
}
