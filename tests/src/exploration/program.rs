//! What actors of the exploration do between two choices: calls of the real ledger and the real publication.

use super::Rule;
use super::port::PortStore;
use shared::job::{Accelerator, Content, Job, JobId, Lineage, Target};
use shared::ledger::{
    Applied, Claim, ClaimError, Claimant, Claimed, Clock, Decision, Event, FailureCause, Ledger, LedgerError, Moment,
    Snapshot, Status,
};
use shared::publication::{CardFacts, Destination, LocalFile, PublicationError, floor, roll_forward, stage};
use shared::store::Store;
use shared::sweeper;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One call; numbers stand for snapshots and decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the variants are the steps of a worker, the fields their subjects"
)]
pub enum Program {
    Look {
        job: u8,
    },
    Claim {
        slot: u8,
        job: u8,
        from: u32,
    },
    Stage {
        slot: u8,
        job: u8,
        claim: u32,
    },
    Decide {
        slot: u8,
        job: u8,
        claim: u32,
        decision: u32,
    },
    Retry {
        slot: u8,
        job: u8,
        claim: u32,
    },
    Fail {
        slot: u8,
        job: u8,
        claim: u32,
    },
    Roll {
        slot: u8,
        job: u8,
        claim: u32,
    },
    Clean {
        job: u8,
        from: u32,
    },
    Cancel {
        job: u8,
    },
    Reopen {
        job: u8,
    },
    Expire {
        job: u8,
    },
    Renew {
        job: u8,
    },
}

/// What a call came to.
#[derive(Debug)]
pub enum Finished {
    /// This is the state now; act on it.
    Seen(Snapshot),
    /// The job is this worker's.
    Owned(Snapshot),
    /// Staged; to be decided.
    Staged(Decision),
    /// The message goes back.
    Returned,
    /// Nothing is left to do but to acknowledge.
    Ended,
    /// Look again.
    Again,
    /// Something that must never happen.
    Broken(String),
}

/// What a call works on.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The store, one operation at a time.
    pub store: PortStore,
    /// Which job.
    pub id: JobId,
    /// The snapshot that the program names.
    pub from: Option<Snapshot>,
    /// The decision that the program names.
    pub decision: Option<Decision>,
    /// The bytes that this claim trained.
    pub trained: PathBuf,
    /// The rule that is left out.
    pub without: Option<Rule>,
}

/// A clock that stands still, and write ids that only their writer has.
#[derive(Debug)]
struct StoppedClock {
    writer: String,
    writes: AtomicU32,
}

impl Clock for StoppedClock {
    fn now(&self) -> Moment {
        Moment::default()
    }

    fn written_at(&self) -> String {
        String::new()
    }

    fn write_id(&self) -> String {
        format!("{}.{}", self.writer, self.writes.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs a program to its end.
pub async fn run(program: Program, subject: Subject) -> Finished {
    // Two writes of one writer never have one id: a writer's programs begin at different states.
    let seq = subject.from.as_ref().map_or(0, |from| from.state.seq);
    let writer = match program {
        Program::Claim { slot, .. }
        | Program::Stage { slot, .. }
        | Program::Decide { slot, .. }
        | Program::Retry { slot, .. }
        | Program::Fail { slot, .. }
        | Program::Roll { slot, .. } => format!("w{slot}@{seq}"),
        _ => "nobody".to_owned(),
    };
    let clock = StoppedClock {
        writer,
        writes: AtomicU32::new(0),
    };
    let ledger = Ledger::new(Arc::new(subject.store.clone())).with_clock(Arc::new(clock));
    let result = match program {
        Program::Look { .. } => ledger
            .read(&subject.id)
            .await
            .map(Finished::Seen)
            .map_err(|error| error.to_string()),
        Program::Claim { .. } => claim(&ledger, subject).await.map_err(|error| error.to_string()),
        Program::Stage { .. } => stage_bytes(&ledger, subject).await.map_err(|error| error.to_string()),
        Program::Decide { .. } => decide(&ledger, subject).await,
        Program::Retry { .. } => {
            let event = Event::Retry {
                cause: FailureCause::Infrastructure,
                message: "the hub is away".into(),
            };
            write(&ledger, &subject, event)
                .await
                .map(|it| it.unwrap_or(Finished::Returned))
        }
        Program::Fail { .. } => {
            let event = Event::Fail {
                cause: FailureCause::User,
                message: "no such column".into(),
            };
            write(&ledger, &subject, event)
                .await
                .map(|it| it.unwrap_or(Finished::Ended))
        }
        Program::Roll { .. } => roll(&ledger, subject).await,
        Program::Clean { .. } => clean(&ledger, &subject).await.map_err(|error| error.to_string()),
        Program::Cancel { .. } => cancel(&ledger, &subject).await,
        Program::Reopen { .. } => reopen(&ledger, &subject).await,
        Program::Expire { .. } => change(&ledger, &subject, Event::Expire).await,
        Program::Renew { .. } => change(&ledger, &subject, Event::Renew).await,
    };
    result.unwrap_or_else(Finished::Broken)
}

async fn claim(ledger: &Ledger, subject: Subject) -> Result<Finished, LedgerError> {
    let mut from = subject.from.expect("a claim has a state to start from");
    if subject.without == Some(Rule::LostClaimsAreCounted) {
        from.state.claims_lost = 0;
    }
    let claimant = Claimant {
        worker: "w".into(),
        host: "h".into(),
        lease_s: 30,
    };
    Ok(match ledger.claim(&subject.id, &from, claimant, None).await? {
        Claimed::Won(claim) => Finished::Owned(claim.snapshot().await),
        Claimed::Poisoned(_) => Finished::Ended,
        Claimed::Refused(now) => Finished::Seen(now),
    })
}

fn owned(ledger: &Ledger, subject: &Subject) -> Claim {
    let won = subject.from.clone().expect("an owner has a claim");
    Claim::new(ledger.clone(), subject.id.clone(), won, None)
}

async fn stage_bytes(ledger: &Ledger, subject: Subject) -> Result<Finished, PublicationError> {
    let files = vec![LocalFile {
        path: "model/weights-{version}".into(),
        source: subject.trained.clone(),
    }];
    let facts = CardFacts {
        build_tag: "t".into(),
        worker_version: "1".into(),
        pipelines: BTreeMap::new(),
    };
    stage(&owned(ledger, &subject), &job(), files, &facts)
        .await
        .map(Finished::Staged)
}

/// An owner's write: `None` if it was won.
async fn write(ledger: &Ledger, subject: &Subject, event: Event) -> Result<Option<Finished>, String> {
    match owned(ledger, subject).write(event).await {
        Ok(_) => Ok(None),
        Err(ClaimError::Fenced(now)) => Ok(Some(Finished::Seen(*now))),
        Err(error) => Err(error.to_string()),
    }
}

async fn decide(ledger: &Ledger, subject: Subject) -> Result<Finished, String> {
    let decision = subject.decision.clone().expect("something is to be decided");
    match owned(ledger, &subject).write(Event::Decide(decision.clone())).await {
        Ok(now) => Ok(Finished::Owned(now)),
        Err(ClaimError::Fenced(now)) if subject.without == Some(Rule::FencedOwnersStop) => {
            let mut own = *now;
            own.state.status = Status::Publishing;
            own.state.decision = Some(decision);
            Ok(Finished::Owned(own))
        }
        Err(ClaimError::Fenced(now)) => Ok(Finished::Seen(*now)),
        Err(error) => Err(error.to_string()),
    }
}

async fn roll(ledger: &Ledger, subject: Subject) -> Result<Finished, String> {
    let mut from = subject.from.expect("a publisher has a decision");
    if let (Some(Rule::FloorIsDecided), Some(decision)) = (subject.without, &mut from.state.decision) {
        let destination = Destination::new(&job().content.target).expect("a target");
        decision.floor = floor(ledger.store().as_ref(), &destination)
            .await
            .map_err(|error| error.to_string())?;
    }
    match roll_forward(ledger, &subject.id, &job(), &from).await {
        Ok(_) => Ok(Finished::Ended),
        Err(PublicationError::NotPublishing { .. }) => Ok(Finished::Again),
        Err(error) => Err(error.to_string()),
    }
}

async fn clean(ledger: &Ledger, subject: &Subject) -> Result<Finished, LedgerError> {
    let from = subject.from.as_ref().expect("a sweeper has read a state");
    sweeper::clean_staged(ledger, &subject.id, from)
        .await
        .map(|_| Finished::Ended)
}

async fn change(ledger: &Ledger, subject: &Subject, event: Event) -> Result<Finished, String> {
    let now = ledger.read(&subject.id).await.map_err(|error| error.to_string())?;
    match ledger.apply(&subject.id, &now, &event).await {
        Ok(Applied::Won(now) | Applied::Refused(now)) => Ok(Finished::Seen(now)),
        Err(error) => Err(error.to_string()),
    }
}

async fn cancel(ledger: &Ledger, subject: &Subject) -> Result<Finished, String> {
    if subject.without != Some(Rule::DecidedJobsAreNotCancelled) {
        return change(
            ledger,
            subject,
            Event::Cancel {
                reason: "by hand".into(),
            },
        )
        .await;
    }
    overwrite(ledger, subject, |now| now.state.status = Status::Cancelled).await
}

async fn reopen(ledger: &Ledger, subject: &Subject) -> Result<Finished, String> {
    if subject.without != Some(Rule::TokensOnlyGrow) {
        return change(ledger, subject, Event::Reopen).await;
    }
    overwrite(ledger, subject, |now| {
        (now.state.status, now.state.token, now.state.epoch) = (Status::Queued, 0, now.state.epoch + 1);
    })
    .await
}

/// Writes a state past the reducer, to leave out one of its rules.
async fn overwrite(ledger: &Ledger, subject: &Subject, change: impl Fn(&mut Snapshot)) -> Result<Finished, String> {
    let mut now = ledger.read(&subject.id).await.map_err(|error| error.to_string())?;
    change(&mut now);
    now.state.seq += 1;
    let key = super::objects::key(&format!("trainyard/jobs/{}/state.json", subject.id));
    let body = serde_json::to_vec(&now.state).map_err(|error| error.to_string())?;
    let written = match &now.etag {
        Some(etag) => subject.store.replace(&key, etag, body.into()).await,
        None => subject.store.put_new(&key, body.into()).await,
    };
    written.map(|_| Finished::Seen(now)).map_err(|error| error.to_string())
}

/// The job of the exploration; all of them register under one model.
pub fn job() -> Job {
    let target = Target {
        environment: "dev".into(),
        root: "root".into(),
        workspace: "w".into(),
        project: "p".into(),
        model: "M".into(),
        model_type: "trained".into(),
    };
    let content = Content {
        project: "p".into(),
        tag: "t".into(),
        accelerator: Accelerator::Cpu,
        target,
        pipelines: BTreeMap::new(),
        sample: false,
        register: true,
        exact_worker: false,
        nonce: None,
        gate: Vec::new(),
        time_limit_s: None,
        local_output_dir: "./out".into(),
        logging_level: "INFO".into(),
        model_params: BTreeMap::new(),
    };
    let lineage = Lineage {
        github_action_context: BTreeMap::new(),
        dispatcher: "1".into(),
        published_at: String::new(),
    };
    Job {
        schema: 1,
        content,
        lineage,
    }
}

/// The id of the exploration's nth job.
pub fn job_id(job: u8) -> JobId {
    format!("{job:032x}").parse().expect("32 hexadecimal digits")
}
