//! The reducer: every transition of the job protocol, and nothing else.

use super::budget;
use super::event::{Claimant, Event};
use super::fingerprint::fingerprint;
use super::lease::RENEWALS_A_LEASE;
use super::state::{CheckpointRef, Decision, FailureCause, Fingerprint, State, Status};

/// Errors that are remembered.
const ERRORS: usize = 2;
/// Checkpoints that are kept, for each pipeline.
const CHECKPOINTS: usize = 2;
/// Characters of a message that a state keeps: states are read and written every few seconds.
const MESSAGE: usize = 4000;

/// An event that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} is refused in state {status}: {reason}")]
pub struct Illegal {
    /// [`Event::name`].
    pub event: &'static str,
    /// The state as it is.
    pub status: Status,
    /// Which rule.
    pub reason: &'static str,
}

/// What the state becomes. Pure: neither clock nor chance, and `seq`, `write_id` and `updated_at` are the writer's.
///
/// # Errors
/// [`Illegal`] for every event that the protocol does not allow here.
pub fn reduce(state: &State, event: &Event) -> Result<State, Illegal> {
    allowed(state, event).map_err(|reason| Illegal {
        event: event.name(),
        status: state.status,
        reason,
    })?;
    let mut next = state.clone();
    match event {
        Event::Claim(claimant) => claim(&mut next, claimant),
        Event::TakeOver(claimant) => {
            lose_claim(&mut next);
            if next.status != Status::Failed {
                claim(&mut next, claimant);
            }
        }
        Event::Expire => lose_claim(&mut next),
        Event::Renew => next.renewals += 1,
        Event::Stage(stage) => next.stage = shortened(stage),
        Event::Progress(progress) => next.progress = Some(progress.clone()),
        Event::Scores(scores) => next.scores = scores.clone(),
        Event::Checkpoint(checkpoint) => keep_checkpoint(&mut next.checkpoints, checkpoint),
        Event::Release => give_back(&mut next),
        Event::Retry { cause, message } => retry(&mut next, *cause, message),
        Event::Fail { cause, message } => {
            remember_error(&mut next, *cause, message);
            fail(&mut next, *cause, message);
        }
        Event::Cancel { reason } => {
            next.status = Status::Cancelled;
            next.cause = Some(shortened(reason));
        }
        Event::Decide(decision) => {
            next.status = Status::Publishing;
            next.decision = Some(decision.clone());
        }
        Event::ClaimPublishing(claimant) => own(&mut next, claimant),
        Event::Registered { version } => {
            next.status = Status::Registered;
            next.version = Some(*version);
            next.checkpoints.clear();
        }
        Event::Complete => {
            next.status = Status::Completed;
            next.checkpoints.clear();
        }
        Event::Reopen => reopen(&mut next),
    }
    Ok(next)
}

fn allowed(state: &State, event: &Event) -> Result<(), &'static str> {
    use Status::{Cancelled, Failed, Publishing, Queued, Running};
    let (from, reason): (&[Status], &'static str) = match event {
        Event::Claim(_) => (&[Queued], "only a queued job can be claimed"),
        Event::TakeOver(_) | Event::Expire => (&[Running], "only a running job can lose its owner"),
        Event::Renew | Event::Stage(_) | Event::Progress(_) => (&[Running, Publishing], "nobody is at work"),
        Event::Scores(_) | Event::Checkpoint(_) => (&[Running], "only a running job can make progress"),
        Event::Release | Event::Retry { .. } | Event::Fail { .. } | Event::Complete => {
            (&[Running], "only a running job can be given up or completed")
        }
        Event::Cancel { .. } => (&[Queued, Running], "already publishing or ended"),
        Event::Decide(_) => (&[Running], "the bytes of a job are decided once, while it runs"),
        Event::ClaimPublishing(_) | Event::Registered { .. } => (&[Publishing], "nothing is decided"),
        Event::Reopen => (&[Failed, Cancelled], "only a failed or cancelled job can be re-opened"),
    };
    if !from.contains(&state.status) {
        return Err(reason);
    }
    match event {
        Event::Decide(decision) => sound(state, decision),
        Event::Registered { version } => match &state.decision {
            Some(decision) if *version >= decision.floor => Ok(()),
            _ => Err("the version is below the decided floor"),
        },
        Event::Checkpoint(checkpoint) => rises(state, checkpoint),
        _ => Ok(()),
    }
}

fn sound(state: &State, decision: &Decision) -> Result<(), &'static str> {
    if decision.token != state.token || decision.epoch != state.epoch {
        return Err("the decision is another claim's");
    }
    if decision.floor == 0 {
        return Err("versions count from 1");
    }
    if decision.files.is_empty() {
        return Err("a version without files");
    }
    Ok(())
}

fn rises(state: &State, checkpoint: &CheckpointRef) -> Result<(), &'static str> {
    if checkpoint.token != state.token {
        return Err("the checkpoint is another claim's");
    }
    let newest = state
        .checkpoints
        .iter()
        .find(|known| known.pipeline == checkpoint.pipeline);
    if newest.is_some_and(|newest| newest.step >= checkpoint.step) {
        return Err("the checkpoint is not newer than the newest");
    }
    Ok(())
}

fn own(next: &mut State, claimant: &Claimant) {
    // The claim before, which may have ended without a word: it lived for as long as it renewed.
    next.worked_s = next
        .worked_s
        .saturating_add(next.renewals.saturating_mul(next.lease_s) / RENEWALS_A_LEASE);
    next.token += 1;
    next.worker.clone_from(&claimant.worker);
    next.host.clone_from(&claimant.host);
    next.lease_s = claimant.lease_s;
    next.renewals = 0;
}

fn claim(next: &mut State, claimant: &Claimant) {
    own(next, claimant);
    next.status = Status::Running;
    next.stage.clear();
    next.progress = None;
}

/// Ends a claim that said nothing. It is counted here, by whoever comes next, since a killed worker writes nothing.
fn lose_claim(next: &mut State) {
    next.claims_lost = if made_progress(next) { 0 } else { next.claims_lost + 1 };
    if next.claims_lost > budget::CLAIMS_LOST {
        let message = format!(
            "{} claims in a row ended without a word and without a newer checkpoint",
            next.claims_lost
        );
        fail(next, FailureCause::Poison, &message);
    } else {
        queue(next);
    }
}

/// Checkpoints of a pipeline only rise, so one of this claim's is newer than everything before it.
fn made_progress(state: &State) -> bool {
    state
        .checkpoints
        .iter()
        .any(|checkpoint| checkpoint.token == state.token)
}

fn give_back(next: &mut State) {
    if made_progress(next) {
        next.claims_lost = 0;
    }
    queue(next);
}

fn queue(next: &mut State) {
    next.status = Status::Queued;
    next.stage.clear();
    next.worker.clear();
    next.host.clear();
}

fn retry(next: &mut State, cause: FailureCause, message: &str) {
    let count = next.failures.entry(cause).or_insert(0);
    *count += 1;
    let used_up = *count > budget::reported(cause);
    let poison = budget::proves_poison(cause) && seen_elsewhere(next, cause, message);
    remember_error(next, cause, message);
    if poison {
        fail(next, FailureCause::Poison, message);
    } else if used_up {
        fail(next, cause, message);
    } else {
        give_back(next);
    }
}

fn seen_elsewhere(state: &State, cause: FailureCause, message: &str) -> bool {
    let print = fingerprint(message);
    state
        .errors
        .iter()
        .any(|error| error.cause == cause && error.fingerprint == print && error.host != state.host)
}

fn remember_error(next: &mut State, cause: FailureCause, message: &str) {
    let error = Fingerprint {
        fingerprint: fingerprint(message),
        message: shortened(message),
        cause,
        host: next.host.clone(),
        token: next.token,
    };
    next.errors.push(error);
    let surplus = next.errors.len().saturating_sub(ERRORS);
    next.errors.drain(..surplus);
}

fn fail(next: &mut State, cause: FailureCause, message: &str) {
    next.status = Status::Failed;
    next.failure = Some(cause);
    next.cause = Some(shortened(message));
}

fn keep_checkpoint(kept: &mut Vec<CheckpointRef>, checkpoint: &CheckpointRef) {
    kept.insert(0, checkpoint.clone());
    let mut of_pipeline = 0;
    kept.retain(|known| {
        of_pipeline += usize::from(known.pipeline == checkpoint.pipeline);
        known.pipeline != checkpoint.pipeline || of_pipeline <= CHECKPOINTS
    });
}

fn reopen(next: &mut State) {
    queue(next);
    next.epoch += 1;
    next.failures.clear();
    next.errors.clear();
    next.claims_lost = 0;
    next.worked_s = 0;
    next.renewals = 0;
    next.progress = None;
    next.cause = None;
    next.failure = None;
    next.scores.clear();
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

#[cfg(test)]
mod tests;
