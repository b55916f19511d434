//! Every event from every state, and any sequence of events.

use super::*;
use crate::ledger::{DecidedFile, Progress};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ALL: [Status; 7] = [
    Status::Queued,
    Status::Running,
    Status::Publishing,
    Status::Registered,
    Status::Completed,
    Status::Failed,
    Status::Cancelled,
];

fn claimant(host: &str) -> Claimant {
    Claimant {
        worker: format!("{host}-1"),
        host: host.into(),
        lease_s: 30,
    }
}

fn decision(token: u64, epoch: u64) -> Decision {
    let file = DecidedFile {
        path: "model/model_artifacts/config.json".into(),
        sha256: "a".repeat(64),
        size: 3,
    };
    Decision {
        manifest_sha256: "b".repeat(64),
        card_sha256: "c".repeat(64),
        files: vec![file],
        floor: 4,
        token,
        epoch,
    }
}

fn checkpoint(token: u64, step: u64) -> CheckpointRef {
    CheckpointRef {
        token,
        pipeline: "main".into(),
        step,
        manifest_sha256: "d".repeat(64),
    }
}

fn progress() -> Progress {
    Progress {
        pipeline: "main".into(),
        phase: "train".into(),
        step: 1,
        of: 2,
        loss: None,
        samples_per_second: None,
    }
}

fn retry(cause: FailureCause, message: &str) -> Event {
    Event::Retry {
        cause,
        message: message.into(),
    }
}

/// A state that a job can be in.
fn state(status: Status) -> State {
    let decided = matches!(status, Status::Publishing | Status::Registered);
    State {
        status,
        token: 2,
        epoch: 1,
        host: "one".into(),
        decision: decided.then(|| decision(2, 1)),
        version: (status == Status::Registered).then_some(4),
        ..State::first()
    }
}

/// What the protocol's table of transitions says: where each event leads, from where.
fn table() -> Vec<(Event, Vec<(Status, Status)>)> {
    use Status::{Cancelled, Completed, Failed, Publishing, Queued, Registered, Running};
    let at_work = vec![(Running, Running), (Publishing, Publishing)];
    let fail = Event::Fail {
        cause: FailureCause::User,
        message: "no such column".into(),
    };
    let cancel = Event::Cancel {
        reason: "by hand".into(),
    };
    vec![
        (Event::Claim(claimant("two")), vec![(Queued, Running)]),
        (Event::TakeOver(claimant("two")), vec![(Running, Running)]),
        (Event::Expire, vec![(Running, Queued)]),
        (Event::Renew, at_work.clone()),
        (Event::Stage("train".into()), at_work.clone()),
        (Event::Progress(progress()), at_work),
        (Event::Scores(BTreeMap::new()), vec![(Running, Running)]),
        (Event::Checkpoint(checkpoint(2, 10)), vec![(Running, Running)]),
        (Event::Release, vec![(Running, Queued)]),
        (retry(FailureCause::Infrastructure, "away"), vec![(Running, Queued)]),
        (retry(FailureCause::User, "wrong"), vec![(Running, Failed)]),
        (fail, vec![(Running, Failed)]),
        (cancel, vec![(Queued, Cancelled), (Running, Cancelled)]),
        (Event::Decide(decision(2, 1)), vec![(Running, Publishing)]),
        (Event::Decide(decision(1, 1)), vec![]),
        (Event::Decide(decision(2, 0)), vec![]),
        (Event::ClaimPublishing(claimant("two")), vec![(Publishing, Publishing)]),
        (Event::Registered { version: 4 }, vec![(Publishing, Registered)]),
        (Event::Registered { version: 3 }, vec![]),
        (Event::Complete, vec![(Running, Completed)]),
        (Event::Reopen, vec![(Failed, Queued), (Cancelled, Queued)]),
    ]
}

#[test]
fn every_event_leads_from_every_state_where_the_table_says_or_nowhere() {
    for (event, legal) in table() {
        for from in ALL {
            let expected = legal.iter().find(|(start, _)| *start == from).map(|(_, end)| *end);
            let reached = reduce(&state(from), &event).map(|next| next.status);
            assert_eq!(reached.clone().ok(), expected, "{event:?} from {from} gave {reached:?}");
        }
    }
}

#[test]
fn claims_and_only_claims_raise_the_token() {
    for (event, _) in table() {
        for from in ALL {
            let Ok(next) = reduce(&state(from), &event) else {
                continue;
            };
            let claims = matches!(event, Event::Claim(_) | Event::TakeOver(_) | Event::ClaimPublishing(_));
            assert_eq!(next.token, 2 + u64::from(claims), "{event:?} from {from}");
        }
    }
}

#[test]
fn ten_lost_claims_are_forgiven_and_the_eleventh_is_poison() {
    let mut now = state(Status::Running);
    for lost in 1..=budget::CLAIMS_LOST {
        now = reduce(&now, &Event::TakeOver(claimant("two"))).expect("within the budget");
        assert_eq!((now.status, now.claims_lost), (Status::Running, lost));
    }
    for last in [Event::TakeOver(claimant("two")), Event::Expire] {
        let ended = reduce(&now, &last).expect("an end");
        assert_eq!(
            (ended.status, ended.failure),
            (Status::Failed, Some(FailureCause::Poison))
        );
    }
}

#[test]
fn a_newer_checkpoint_of_the_lost_claim_forgives_all_before_it() {
    let lost = State {
        claims_lost: 9,
        ..state(Status::Running)
    };
    let saved = reduce(&lost, &Event::Checkpoint(checkpoint(2, 10))).expect("progress");
    let taken = reduce(&saved, &Event::TakeOver(claimant("two"))).expect("a take-over");
    assert_eq!(taken.claims_lost, 0);
    let again = reduce(&taken, &Event::TakeOver(claimant("three"))).expect("a take-over");
    assert_eq!(again.claims_lost, 1, "the checkpoint was of an earlier claim");
}

#[test]
fn work_is_counted_by_the_renewals_of_every_claim_and_forgotten_by_a_reopening() {
    let renewed = |mut now: State, times| {
        for _ in 0..times {
            now = reduce(&now, &Event::Renew).expect("a renewal");
        }
        now
    };
    let next = |now: &State, event| reduce(now, &event).expect("a transition");
    let first = renewed(next(&State::first(), Event::Claim(claimant("one"))), 4);
    assert_eq!(first.worked_s, 0, "its own work is its owner's to count");
    // 4 renewals of a lease of 30 s; given back, it is not forgotten.
    let second = next(&next(&first, Event::Release), Event::Claim(claimant("two")));
    assert_eq!(second.worked_s, 40);
    // Nor where a claim ended without a word, or by a failure.
    let third = next(&renewed(second, 2), Event::TakeOver(claimant("three")));
    assert_eq!(third.worked_s, 60);
    let failed = next(&renewed(third, 1), retry(FailureCause::Infrastructure, "away"));
    let fourth = next(&failed, Event::Claim(claimant("four")));
    assert_eq!(fourth.worked_s, 70);
    let cancelled = next(
        &renewed(fourth, 3),
        Event::Cancel {
            reason: "by hand".into(),
        },
    );
    let anew = next(&next(&cancelled, Event::Reopen), Event::Claim(claimant("five")));
    assert_eq!(anew.worked_s, 0);
}

#[test]
fn the_newest_two_checkpoints_of_a_pipeline_are_kept_and_steps_only_rise() {
    let mut now = state(Status::Running);
    for step in [10, 20, 30] {
        now = reduce(&now, &Event::Checkpoint(checkpoint(2, step))).expect("progress");
    }
    assert_eq!(now.checkpoints, [checkpoint(2, 30), checkpoint(2, 20)]);
    assert!(reduce(&now, &Event::Checkpoint(checkpoint(2, 30))).is_err());
    assert!(
        reduce(&now, &Event::Checkpoint(checkpoint(1, 40))).is_err(),
        "another claim's"
    );
}

#[test]
fn a_cause_ends_the_job_when_its_budget_is_used_up() {
    for (cause, budget) in [
        (FailureCause::Infrastructure, 5),
        (FailureCause::Capacity, 1),
        (FailureCause::User, 0),
    ] {
        let mut now = state(Status::Running);
        for _ in 0..budget {
            now = reduce(&now, &retry(cause, "again")).expect("a retry");
            assert_eq!(now.status, Status::Queued);
            now = reduce(&now, &Event::Claim(claimant("two"))).expect("a claim");
        }
        let ended = reduce(&now, &retry(cause, "again")).expect("an end");
        assert_eq!((ended.status, ended.failure), (Status::Failed, Some(cause)));
    }
}

#[test]
fn the_same_internal_error_on_two_hosts_is_poison_but_an_outage_is_not() {
    for (cause, expected) in [
        (FailureCause::Internal, Status::Failed),
        (FailureCause::Infrastructure, Status::Queued),
    ] {
        let first = reduce(&state(Status::Running), &retry(cause, "index 7 out of range")).expect("a retry");
        let elsewhere = reduce(&first, &Event::Claim(claimant("two"))).expect("a claim");
        let second = reduce(&elsewhere, &retry(cause, "index 12 out of range")).expect("a verdict");
        assert_eq!(second.status, expected);
        let at_home = reduce(&first, &Event::Claim(claimant("one"))).expect("a claim");
        let second = reduce(&at_home, &retry(cause, "index 12 out of range")).expect("a verdict");
        assert_eq!(second.status, Status::Queued, "one host is one witness");
    }
}

#[test]
fn re_opening_clears_the_budgets_and_keeps_checkpoints_token_and_seq() {
    let failed = State {
        seq: 9,
        claims_lost: 3,
        checkpoints: vec![checkpoint(2, 10)],
        failures: BTreeMap::from([(FailureCause::Capacity, 2)]),
        failure: Some(FailureCause::Capacity),
        cause: Some("out of memory".into()),
        ..state(Status::Failed)
    };
    let open = reduce(&failed, &Event::Reopen).expect("re-opened");
    assert_eq!((open.epoch, open.token, open.seq, open.claims_lost), (2, 2, 9, 0));
    assert_eq!(open.checkpoints, failed.checkpoints);
    assert!(open.failures.is_empty() && open.failure.is_none() && open.cause.is_none());
}

/// An event that fits the state often enough that sequences go far.
fn event() -> impl Strategy<Value = (usize, u64)> {
    (0..table().len() + 2, 0..3_u64)
}

fn choose(now: &State, (choice, variation): (usize, u64)) -> Event {
    let mut events: Vec<Event> = table().into_iter().map(|(event, _)| event).collect();
    events.push(Event::Decide(Decision {
        floor: variation,
        ..decision(now.token, now.epoch)
    }));
    events.push(Event::Checkpoint(checkpoint(now.token, variation * 10)));
    events.swap_remove(choice)
}

proptest! {
    #[test]
    fn i4_and_i6_hold_for_any_sequence_of_events(choices in prop::collection::vec(event(), 0..60)) {
        let mut now = State::first();
        for choice in choices {
            let Ok(next) = reduce(&now, &choose(&now, choice)) else { continue };
            prop_assert!(next.token >= now.token && next.epoch >= now.epoch);
            if now.status == Status::Publishing {
                prop_assert!(matches!(next.status, Status::Publishing | Status::Registered));
            }
            prop_assert!(!matches!(now.status, Status::Registered | Status::Completed));
            if now.decision.is_some() {
                prop_assert_eq!(&next.decision, &now.decision);
            }
            let decided = matches!(next.status, Status::Publishing | Status::Registered);
            prop_assert_eq!(next.decision.is_some(), decided);
            prop_assert_eq!(next.version.is_some(), next.status == Status::Registered);
            prop_assert!(next.claims_lost <= budget::CLAIMS_LOST + 1 && next.errors.len() <= 2);
            now = next;
        }
    }
}
