use super::{Doorbell, Ending, Failure, RETRY, by_state};
use shared::ledger::{Claimant, Event, FailureCause, State, Status, reduce};
use shared::queue::Settlement;
use std::time::Duration;

const CAUSES: [FailureCause; 7] = [
    FailureCause::Infrastructure,
    FailureCause::TrainerKilled,
    FailureCause::Capacity,
    FailureCause::User,
    FailureCause::Quality,
    FailureCause::Poison,
    FailureCause::Internal,
];

fn text() -> String {
    "why".to_owned()
}

fn running_on(host: &str, state: &State) -> State {
    let claimant = Claimant {
        worker: format!("worker-on-{host}"),
        host: host.to_owned(),
        lease_s: 30,
    };
    reduce(state, &Event::Claim(claimant)).unwrap()
}

/// The state after a claim on `host` that ends so.
fn after(ending: &Ending, state: &State, host: &str) -> State {
    match ending.verdict().event {
        Some(event) => reduce(&running_on(host, state), &event).unwrap(),
        None => running_on(host, state),
    }
}

#[test]
fn the_table() {
    let done = Doorbell::Settle(Settlement::Done);
    let dead = Doorbell::Settle(Settlement::Dead { reason: text() });
    let later = Duration::from_secs(30);
    let for_another = Doorbell::Settle(Settlement::Retry { after: later });
    let rows = [
        (Ending::Registered { version: 3 }, None, done.clone()),
        (Ending::EndedBefore, None, done.clone()),
        (Ending::Completed, Some(Event::Complete), done),
        (
            Ending::Interrupted,
            Some(Event::Release),
            Doorbell::Settle(Settlement::Release),
        ),
        (Ending::LeaseLost, None, Doorbell::Leave),
        (Ending::Fenced, None, Doorbell::Leave),
        (Ending::PublishingStalled { message: text() }, None, Doorbell::Later),
        (Ending::LedgerAway { message: text() }, None, Doorbell::Later),
        (Ending::HeldByAnother { for_at_least: later }, None, Doorbell::Postpone),
        (Ending::NotForThisWorker { reason: text() }, None, for_another.clone()),
        (Ending::Newer { message: text() }, None, for_another),
        (Ending::NoJob { reason: text() }, None, dead.clone()),
        (Ending::Poisoned { message: text() }, None, dead),
    ];
    for (ending, event, doorbell) in rows {
        let verdict = ending.verdict();
        assert_eq!((verdict.event, verdict.doorbell), (event, doorbell), "{ending:?}");
    }
}

#[test]
fn every_failure_is_written_with_its_cause_and_message_and_settled_by_the_state() {
    for cause in CAUSES {
        let verdict = Ending::Failed(Failure::new(cause, "why")).verdict();
        assert_eq!(verdict.doorbell, Doorbell::ByState);
        let (Some(Event::Retry {
            cause: written,
            message,
        })
        | Some(Event::Fail {
            cause: written,
            message,
        })) = verdict.event
        else {
            panic!("{cause:?} is not written")
        };
        assert_eq!((written, message.as_str()), (cause, "why"));
    }
}

/// How many times a failure of each cause is repeated on one host before the job has failed.
#[test]
fn every_cause_has_its_budget() {
    let budgets = [
        (FailureCause::Infrastructure, 5),
        (FailureCause::TrainerKilled, 5),
        (FailureCause::Internal, 5),
        (FailureCause::Capacity, 1),
        (FailureCause::User, 0),
        (FailureCause::Quality, 0),
        (FailureCause::Poison, 0),
    ];
    assert_eq!(budgets.len(), CAUSES.len());
    for (cause, repetitions) in budgets {
        let ending = Ending::Failed(Failure::new(cause, "why"));
        let mut state = State::first();
        for _ in 0..repetitions {
            state = after(&ending, &state, "one");
            assert_eq!(state.status, Status::Queued, "{cause:?}");
            assert!(matches!(by_state(&state), Settlement::Retry { .. }));
        }
        state = after(&ending, &state, "one");
        assert_eq!(
            (state.status, state.failure),
            (Status::Failed, Some(cause)),
            "{cause:?}"
        );
        assert_eq!(by_state(&state), Settlement::Dead { reason: text() });
    }
}

#[test]
fn the_same_internal_error_on_two_hosts_is_poison_and_an_outage_is_not() {
    for cause in CAUSES
        .into_iter()
        .filter(|cause| Ending::Failed(Failure::new(*cause, "why")).repeats())
    {
        let ending = Ending::Failed(Failure::new(cause, "why"));
        let state = after(&ending, &after(&ending, &State::first(), "one"), "two");
        let poison = matches!(cause, FailureCause::Internal | FailureCause::TrainerKilled);
        let expected = match cause {
            _ if poison => (Status::Failed, Some(FailureCause::Poison)),
            FailureCause::Capacity => (Status::Failed, Some(FailureCause::Capacity)),
            _ => (Status::Queued, None),
        };
        assert_eq!((state.status, state.failure), expected, "{cause:?}");
    }
}

#[test]
fn an_interruption_counts_nothing() {
    let mut state = State::first();
    for _ in 0..100 {
        state = after(&Ending::Interrupted, &state, "one");
    }
    assert_eq!(state.status, Status::Queued);
    assert!(state.failures.is_empty() && state.claims_lost == 0);
}

#[test]
fn delays_grow_with_the_failures() {
    let ending = Ending::Failed(Failure::new(FailureCause::Infrastructure, "why"));
    let mut state = State::first();
    for failures in 1..=5 {
        state = after(&ending, &state, "one");
        let Settlement::Retry { after } = by_state(&state) else {
            panic!("not repeated")
        };
        assert!(
            after >= RETRY.delay(failures, 0.0) && after <= RETRY.delay(failures, 1.0),
            "{after:?}"
        );
    }
}

impl Ending {
    fn repeats(&self) -> bool {
        matches!(self.verdict().event, Some(Event::Retry { .. }))
    }
}
