//! The ledger's write discipline over a store whose network fails: every event is written exactly once.

use crate::place::{Place, place};
use shared::ledger::{Applied, Event, Status};
use shared::store::Key;
use tests::s3_faults::Fault;
use tests::yard::{Yard, claimant};

async fn yard(place: &Place) -> Yard {
    Yard::over(place.store.clone()).await
}

#[tokio::test]
async fn one_event_is_one_write_whatever_happens_on_the_way() {
    let faults = [
        Fault::Answered(409, "ConditionalRequestConflict"),
        Fault::Answered(500, "InternalError"),
        Fault::Answered(503, "SlowDown"),
        Fault::DoneButAnswered(500, "InternalError"),
        Fault::RequestLost,
        Fault::ReplyLost,
        Fault::Late,
    ];
    let place = place().await;
    let yard = yard(&place).await;
    let mut now = yard.claim().await.snapshot().await;
    for fault in faults {
        place.faults.inject("PUT", "state.json", 1, fault);
        let applied = yard
            .ledger
            .apply(&yard.id, &now, &Event::Renew)
            .await
            .expect("an answer");
        let Applied::Won(after) = applied else {
            panic!("{fault:?}: {applied:?}")
        };
        assert_eq!(after.state.seq, now.state.seq + 1, "{fault:?}");
        assert_eq!(after.state.renewals, now.state.renewals + 1, "{fault:?}");
        assert_eq!(yard.read().await.state, after.state, "{fault:?}");
        if fault == Fault::Late {
            assert_eq!(place.faults.deliver_late().await, 412);
            assert_eq!(yard.read().await.state, after.state);
        }
        now = after;
    }
    assert_eq!(place.faults.faults_left(), 0);
}

#[tokio::test]
async fn the_first_state_is_written_once_although_its_reply_was_lost() {
    for fault in [Fault::ReplyLost, Fault::RequestLost, Fault::Late] {
        let place = place().await;
        let yard = yard(&place).await;
        place.faults.inject("PUT", "state.json", 1, fault);
        yard.claim().await;
        let state = yard.read().await.state;
        assert_eq!(
            (state.seq, state.token, state.status),
            (1, 1, Status::Running),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_storm_of_races_ends() {
    let place = place().await;
    let yard = yard(&place).await;
    let now = yard.claim().await.snapshot().await;
    place.faults.inject(
        "PUT",
        "state.json",
        6,
        Fault::Answered(409, "ConditionalRequestConflict"),
    );
    let applied = yard
        .ledger
        .apply(&yard.id, &now, &Event::Renew)
        .await
        .expect("an answer");
    assert!(matches!(applied, Applied::Won(_)), "{applied:?}");
    assert_eq!(place.faults.faults_left(), 0);
    // One that does not end is told, and nothing was written.
    place.faults.inject(
        "PUT",
        "state.json",
        1000,
        Fault::Answered(409, "ConditionalRequestConflict"),
    );
    let now = yard.read().await;
    yard.ledger
        .apply(&yard.id, &now, &Event::Renew)
        .await
        .expect_err("gives up");
    let key = Key::new(format!("trainyard/jobs/{}/state.json", yard.id)).expect("a key");
    let found = place.direct.get(&key).await.expect("reads").expect("is there");
    assert_eq!(Some(found.etag), now.etag);
}

#[tokio::test]
async fn of_two_claims_in_a_storm_one_wins() {
    let place = place().await;
    let yard = yard(&place).await;
    let from = yard.read().await;
    place.faults.inject(
        "PUT",
        "state.json",
        2,
        Fault::Answered(409, "ConditionalRequestConflict"),
    );
    place.faults.inject("PUT", "state.json", 1, Fault::ReplyLost);
    let event = Event::Claim(claimant());
    let both = futures::future::join_all((0..2).map(|_| yard.ledger.apply(&yard.id, &from, &event))).await;
    let won = both.iter().filter(|it| matches!(it, Ok(Applied::Won(_)))).count();
    assert_eq!(won, 1, "{both:?}");
    assert_eq!(yard.read().await.state.token, 1);
}
