//! What keeps a fleet going without anybody looking: announces forgotten jobs again, expires dead leases, and deletes
//! what no attempt can need any more. Any number of sweepers may run; everything one does is harmless twice.

mod retention;

pub use retention::Retention;

use crate::job::{Accelerator, JobId};
use crate::ledger::{
    Applied, Event, Lease, LeaseWatch, Ledger, LedgerError, Moment, Snapshot, Status, checkpoint, keys,
};
use crate::publication::Destination;
use crate::queue::{Message, Queue, QueueError};
use crate::telemetry::Chain;
use futures::{StreamExt, TryStreamExt};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// A waiting job that does not move is announced again after this time, then after twice as long, and so on.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(600);
/// Doublings of it at most: once in almost four days.
const ANNOUNCE_DOUBLINGS: u32 = 9;

/// Uploads that never ended are looked for this often by one sweeper …
const UPLOADS_EVERY: Duration = Duration::from_secs(3600);
/// … and removed when they began so long ago that nobody can be sending them.
const UPLOADS_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Staged blobs that are deleted at once.
const DELETED_AT_ONCE: usize = 8;

/// What a sweep can fail with.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What one sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Jobs whose message was sent again.
    pub announced: u64,
    /// Jobs taken from an owner that was silent for its lease.
    pub expired: u64,
    /// Objects deleted, and uploads that nobody completes.
    pub deleted: u64,
    /// Jobs that could not be looked after this time.
    pub failed: u64,
}

/// One process's sweeper. It knows nothing but what it has seen since it started.
#[derive(Debug)]
pub struct Sweeper {
    ledger: Ledger,
    queue: Arc<dyn Queue>,
    retention: Retention,
    watch: LeaseWatch,
    jobs: HashMap<JobId, Memory>,
    /// When uploads were looked for, or this sweeper began.
    uploads_seen: Moment,
    uploads_every: Duration,
}

#[derive(Debug, Clone, Default)]
struct Memory {
    accelerator: Option<Accelerator>,
    /// (token, seq) at which it was announced, and how often.
    announced: Option<(u64, u64, u32)>,
    /// (token, seq) at which nothing was left to delete, and until when.
    clean: Option<((u64, u64), Option<Moment>)>,
    /// Its state cannot change.
    is_final: bool,
}

impl Sweeper {
    /// A sweeper that has seen nothing yet.
    #[must_use]
    pub fn new(ledger: Ledger, queue: Arc<dyn Queue>) -> Self {
        Self {
            uploads_seen: ledger.clock().now(),
            uploads_every: UPLOADS_EVERY,
            ledger,
            queue,
            retention: Retention::default(),
            watch: LeaseWatch::default(),
            jobs: HashMap::new(),
        }
    }

    /// The same sweeper, which keeps for these times what ended jobs left.
    #[must_use]
    pub fn keeping(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// The same sweeper, which looks this often for uploads that never ended.
    #[must_use]
    pub fn looking_for_uploads_every(self, uploads_every: Duration) -> Self {
        Self { uploads_every, ..self }
    }

    /// Looks after every job once, but for those of which it knows that nothing is to be done: they become many. A job
    /// that cannot be read or written is left for the next sweep.
    ///
    /// # Errors
    /// [`SweepError::Ledger`] if the jobs cannot be listed.
    pub async fn sweep(&mut self) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let listed = self.ledger.jobs().await?;
        self.forget_all_but(&listed);
        for id in listed {
            if self.is_over(&id) {
                continue;
            }
            if let Err(error) = self.look_after(&id, &mut swept).await {
                tracing::warn!(job = %id, error = %Chain(&error), "not swept");
                swept.failed += 1;
            }
        }
        self.sweep_uploads(&mut swept).await;
        Ok(swept)
    }

    /// A job that is there no more may come again.
    fn forget_all_but(&mut self, listed: &[JobId]) {
        let listed: HashSet<&JobId> = listed.iter().collect();
        self.jobs.retain(|id, _| listed.contains(id));
        self.watch.retain(|id| listed.contains(id));
    }

    /// Nothing can happen to it, and nothing of it is to be deleted yet.
    fn is_over(&self, id: &JobId) -> bool {
        let over = |memory: &Memory| memory.is_final && memory.clean.is_some_and(|(_, until)| self.is_ahead(until));
        self.jobs.get(id).is_some_and(over)
    }

    fn is_ahead(&self, until: Option<Moment>) -> bool {
        until.is_none_or(|until| self.ledger.clock().now() < until)
    }

    /// Uploads to our own part of the store that nobody completes; what lies outside is not ours alone.
    async fn sweep_uploads(&mut self, swept: &mut Swept) {
        let now = self.ledger.clock().now();
        if now.since(self.uploads_seen) < self.uploads_every {
            return;
        }
        self.uploads_seen = now;
        let Ok(ours) = keys::root() else { return };
        match self.ledger.store().sweep_uploads(&ours, UPLOADS_AFTER).await {
            Ok(aborted) => swept.deleted += aborted,
            Err(error) => tracing::warn!(error = %Chain(&error), "uploads not swept"),
        }
    }

    async fn look_after(&mut self, id: &JobId, swept: &mut Swept) -> Result<(), SweepError> {
        let mut now = self.ledger.read(id).await?;
        let lease = self.watch.observe(id, &now);
        if now.state.status == Status::Running && lease == Lease::Expired {
            if let Applied::Won(after) = self.ledger.apply(id, &now, &Event::Expire).await? {
                tracing::info!(job = %id, token = now.state.token, worker = %now.state.worker, "lease expired");
                swept.expired += 1;
                now = after;
                if now.state.status == Status::Queued {
                    self.announce(id, &now, swept).await?;
                }
            }
        } else if matches!(now.state.status, Status::Queued | Status::Publishing) && self.is_forgotten(id, &now).await?
        {
            self.announce(id, &now, swept).await?;
        }
        self.clean(id, &now, swept).await
    }

    /// Waiting, and either without any message in the queue or unmoved for long.
    async fn is_forgotten(&mut self, id: &JobId, now: &Snapshot) -> Result<bool, SweepError> {
        let Some(accelerator) = self.accelerator(id).await? else {
            return Ok(false);
        };
        let depth = self.queue.depth(accelerator).await?;
        let (silent, lease) = (self.watch.silent(id, now), Duration::from_secs(now.state.lease_s));
        if depth.ready + depth.delayed + depth.in_flight == 0 {
            // Not every queue tells of messages in other hands: a publisher that renews has its own, and a second one
            // would only fence it.
            return Ok(now.state.status == Status::Queued || silent >= lease);
        }
        let times = match self.jobs.get(id).and_then(|memory| memory.announced) {
            Some((token, seq, times)) if (token, seq) == (now.state.token, now.state.seq) => times,
            _ => 0,
        };
        let patience = ANNOUNCE_AFTER * 2_u32.pow(times.min(ANNOUNCE_DOUBLINGS));
        Ok(silent >= patience.max(lease))
    }

    async fn announce(&mut self, id: &JobId, now: &Snapshot, swept: &mut Swept) -> Result<(), SweepError> {
        let Some(accelerator) = self.accelerator(id).await? else {
            return Ok(());
        };
        let message = Message {
            schema: 1,
            job: id.clone(),
            accelerator,
            postponed: 0,
        };
        self.queue.publish(&message, Duration::ZERO).await?;
        let place = (now.state.token, now.state.seq);
        let memory = self.jobs.entry(id.clone()).or_default();
        memory.announced = match memory.announced {
            Some((token, seq, times)) if (token, seq) == place => Some((token, seq, times.saturating_add(1))),
            _ => Some((place.0, place.1, 1)),
        };
        swept.announced += 1;
        Ok(())
    }

    async fn accelerator(&mut self, id: &JobId) -> Result<Option<Accelerator>, SweepError> {
        if let Some(known) = self.jobs.get(id).and_then(|memory| memory.accelerator) {
            return Ok(Some(known));
        }
        let accelerator = self.ledger.job(id).await?.map(|job| job.content.accelerator);
        self.jobs.entry(id.clone()).or_default().accelerator = accelerator;
        Ok(accelerator)
    }

    /// Deletes what no attempt can need: staged blobs of ended epochs, what the retention lets go of, and checkpoints of
    /// ended jobs that the state does not list (their owners can list nothing any more).
    async fn clean(&mut self, id: &JobId, now: &Snapshot, swept: &mut Swept) -> Result<(), SweepError> {
        let place = (now.state.token, now.state.seq);
        let ended = now.state.status.is_terminal();
        if self.is_clean(id, place) || !(ended || now.state.epoch > 0) {
            return Ok(());
        }
        let before = swept.deleted;
        swept.deleted += clean_staged(&self.ledger, id, now).await?;
        self.clean_version(id, now, swept).await?;
        let again = if ended {
            self.clean_ended(id, now, swept).await?
        } else {
            None
        };
        if swept.deleted == before {
            let until = again.map(|pause| self.ledger.clock().now().after(pause));
            let memory = self.jobs.entry(id.clone()).or_default();
            (memory.clean, memory.is_final) = (Some((place, until)), now.state.status.is_final());
            if memory.is_final {
                self.watch.forget(id);
            }
        }
        Ok(())
    }

    /// Ends what publishers that died were still copying to a version that is whole. It lies where consumers read, which
    /// is not ours alone; a registered version's folder is.
    async fn clean_version(&self, id: &JobId, now: &Snapshot, swept: &mut Swept) -> Result<(), SweepError> {
        let (Status::Registered, Some(number)) = (now.state.status, now.state.version) else {
            return Ok(());
        };
        let Some(job) = self.ledger.job(id).await? else {
            return Ok(());
        };
        let version = Destination::new(&job.content.target).and_then(|destination| destination.version(number));
        let version = version.map_err(LedgerError::from)?;
        match self.ledger.store().sweep_uploads(&version, Duration::ZERO).await {
            Ok(aborted) => swept.deleted += aborted,
            // Its owner may not let us: it costs money and harms nobody.
            Err(error) => tracing::warn!(%version, error = %Chain(&error), "uploads not swept"),
        }
        Ok(())
    }

    fn is_clean(&self, id: &JobId, place: (u64, u64)) -> bool {
        match self.jobs.get(id).and_then(|memory| memory.clean) {
            Some((at, until)) => at == place && self.is_ahead(until),
            None => false,
        }
    }

    /// Deletes what the retention lets go of, and says after which time there may be more. Whoever re-opens the job
    /// meanwhile finds a checkpoint gone and starts from another, or anew.
    async fn clean_ended(&self, id: &JobId, now: &Snapshot, swept: &mut Swept) -> Result<Option<Duration>, SweepError> {
        let store = self.ledger.store();
        let folder = format!("{}/", keys::folder(id).map_err(LedgerError::from)?);
        let state = keys::state(id).map_err(LedgerError::from)?;
        let entries = store
            .list(&keys::folder(id).map_err(LedgerError::from)?)
            .await
            .map_err(LedgerError::from)?;
        let Some(age) = entries.iter().find(|entry| entry.key == state).map(|it| it.age_seconds) else {
            return Ok(None);
        };
        let age = Duration::from_secs(age);
        let listed: Vec<String> = now
            .state
            .checkpoints
            .iter()
            .filter_map(|it| checkpoint::place(id, it).ok())
            .map(|place| format!("{place}/"))
            .collect();
        let goes = |key: &str| {
            let is_listed = listed.iter().any(|place| key.starts_with(place.as_str()));
            let path = key.strip_prefix(folder.as_str()).unwrap_or_default();
            self.retention.drops(path, &now.state, age, is_listed)
        };
        let mut going: Vec<_> = entries.iter().filter(|entry| goes(entry.key.as_str())).collect();
        // A checkpoint without its manifest is none: it goes first.
        going.sort_by_key(|entry| !entry.key.as_str().ends_with("/manifest"));
        for entry in going {
            store.delete(&entry.key).await.map_err(LedgerError::from)?;
            swept.deleted += 1;
        }
        Ok(self.retention.next(age))
    }
}

/// Deletes the staged blobs of a job's ended epochs and says how many. Never those of an epoch that is not over: a
/// re-opened job stages in the next one.
///
/// # Errors
/// [`LedgerError::Store`].
pub async fn clean_staged(ledger: &Ledger, id: &JobId, now: &Snapshot) -> Result<u64, LedgerError> {
    let store = ledger.store();
    let folder = keys::staged(id)?;
    let mut deleted = 0;
    for name in store.list_names(&folder).await? {
        let Ok(epoch) = name.parse::<u64>() else { continue };
        if epoch < now.state.epoch || (epoch == now.state.epoch && now.state.status.is_terminal()) {
            let blobs = store.list(&folder.join(&name)?).await?;
            deleted += blobs.len() as u64;
            let deletes = blobs
                .into_iter()
                .map(|blob| async move { store.delete(&blob.key).await });
            let deletes = futures::stream::iter(deletes).buffer_unordered(DELETED_AT_ONCE);
            deletes.try_collect::<Vec<()>>().await?;
        }
    }
    Ok(deleted)
}
