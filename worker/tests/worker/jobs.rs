//! How jobs end.

use crate::yard::{GOOD, Yard, content, drain};
use shared::exit::ExitCode;
use shared::ledger::{Event, FailureCause, Status};
use std::time::{Duration, Instant};
use worker::attempt::attempt;
use worker::follow::follow;
use worker::outcome::Ending;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_registered_once_however_often_its_message_comes() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    yard.ring(&id).await;
    drain(&yard.worker("one", GOOD)).await;
    yard.ring(&id).await;
    drain(&yard.worker("two", GOOD)).await;

    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.version, state.token),
        (Status::Registered, Some(1), 1),
        "{state:#?}"
    );
    let prefix = "onclusive/sentiment/SEN-TRAINED/SEN-TRAINED-1";
    let expected = [
        "data/train/SEN-TRAINED-1.parquet",
        "model/manifest",
        "model/model_artifacts/config.json",
        "model/model_card",
        "model/test_files/inference_params",
        "model/test_files/inputs",
        "model/test_files/predictions",
        "model/training/loss_curve",
        "model/training/report",
    ];
    assert_eq!(yard.visible().await, expected.map(|path| format!("{prefix}/{path}")));
    assert_eq!(
        yard.read(&format!("{prefix}/model/test_files/inputs")).await,
        "[\n    \"a text\"\n]"
    );
    let depth = yard.queue.depth(shared::job::Accelerator::Cpu).await.unwrap();
    assert_eq!((depth.ready, depth.delayed, depth.in_flight, depth.dead), (0, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_fault_ends_a_job_at_once_with_the_reason() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    drain(&yard.worker("one", "fail user 'data.jsonl line 3: no label'; exit 65")).await;
    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.failure, state.token),
        (Status::Failed, Some(FailureCause::User), 1)
    );
    assert_eq!(state.cause.as_deref(), Some("data.jsonl line 3: no label"));
    assert!(yard.visible().await.is_empty());
    assert_eq!(yard.queue.depth(shared::job::Accelerator::Cpu).await.unwrap().dead, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_trainer_is_tried_again() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let marker = yard.path("tried").display().to_string();
    let script = format!("if [ ! -e {marker} ]; then touch {marker}; kill -SEGV $$; fi; {GOOD}");
    drain(&yard.worker("one", &script)).await;
    let state = yard.state(&id).await;
    assert_eq!((state.status, state.token), (Status::Registered, 2), "{state:#?}");
    assert_eq!(state.failures.get(&FailureCause::TrainerKilled), Some(&1));
    assert!(state.errors[0].message.contains("SIGSEGV"), "{:?}", state.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory_is_tried_once_more_and_then_given_up() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let worker = yard.worker("one", "fail out_of_memory 'needs 3 GiB'; exit 69");
    drain(&worker).await;
    let state = yard.state(&id).await;
    assert_eq!(
        (state.failure, state.token),
        (Some(FailureCause::Capacity), 2),
        "{state:#?}"
    );
    assert_eq!(state.cause.as_deref(), Some("needs 3 GiB"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_defect_on_two_hosts_is_poison() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    let script = "fail internal 'index out of range'; exit 70";
    for host in ["north", "south"] {
        let worker = yard.worker_on(host, host, script);
        let attempted = attempt(&worker, &id, None).await;
        assert!(matches!(attempted.ending, Ending::Failed(_)), "{attempted:?}");
    }
    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.failure),
        (Status::Failed, Some(FailureCause::Poison))
    );
}

/// Nobody reports: the claims that were lost are counted by those that come after them.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_silences_every_worker_ends_as_poison() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    for lost in 0..=10 {
        let worker = yard.worker_on(&format!("host-{lost}"), &format!("lost-{lost}"), GOOD);
        let now = yard.ledger.read(&id).await.unwrap();
        assert_eq!(now.state.claims_lost, lost);
        yard.ledger.claim(&id, &now, worker.claimant(), None).await.unwrap();
        if lost < 10 {
            let now = yard.ledger.read(&id).await.unwrap();
            yard.ledger.apply(&id, &now, &Event::Expire).await.unwrap();
        }
    }
    drain(&yard.worker("last", GOOD)).await;
    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.failure, state.token),
        (Status::Failed, Some(FailureCause::Poison), 11)
    );
    let cause = state.cause.unwrap_or_default();
    assert!(cause.contains("11 claims in a row ended without a word"), "{cause}");
    assert!(yard.visible().await.is_empty());
    // Whoever comes to its message afterwards finds nothing to do.
    yard.ring(&id).await;
    let attempted = attempt(&yard.worker("later", GOOD), &id, None).await;
    assert_eq!(attempted.ending, Ending::EndedBefore);
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_gate_nothing_is_registered_and_the_report_says_why() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    drain(&yard.worker("one", "export_model 0.25")).await;
    let state = yard.state(&id).await;
    assert_eq!(
        (state.status, state.failure),
        (Status::Failed, Some(FailureCause::Quality))
    );
    let cause = state.cause.unwrap();
    assert!(
        cause.contains("macro_recall>=0.6") && cause.contains("0.2500"),
        "{cause}"
    );
    assert_eq!(state.scores.get("macro_recall"), Some(&0.25));
    assert!(yard.visible().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_completed_and_leaves_no_trace() {
    let yard = Yard::new().await;
    let mut sample = content();
    sample.sample = true;
    sample.register = false;
    let id = yard.publish(sample).await;
    drain(&yard.worker("one", &format!("grep -q '\"max_rows\": 64' $job || exit 70; {GOOD}"))).await;
    let state = yard.state(&id).await;
    assert_eq!(state.status, Status::Completed, "{state:#?}");
    assert!(yard.visible().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_nobody_has_is_the_users_fault() {
    let yard = Yard::new().await;
    let mut content = content();
    content.pipelines.get_mut("main").unwrap().model.repository = "nobody/nothing".into();
    let id = yard.publish(content).await;
    drain(&yard.worker("one", GOOD)).await;
    let state = yard.state(&id).await;
    assert_eq!(state.failure, Some(FailureCause::User));
    assert!(state.cause.unwrap().contains("nobody/nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_export_registers_nothing() {
    let yard = Yard::new().await;
    let id = yard.publish_silently(content()).await;
    let worker = yard.worker("one", &format!("{GOOD}; rm $artifacts/config.json"));
    let attempted = attempt(&worker, &id, None).await;
    assert!(attempted.ending.message().contains("exported no file"), "{attempted:?}");
    assert_eq!(yard.state(&id).await.failures.get(&FailureCause::Internal), Some(&1));
    assert!(yard.visible().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exact_job_is_left_to_a_worker_of_its_build() {
    let yard = Yard::new().await;
    let mut exact = content();
    exact.exact_worker = true;
    exact.tag = "t2".into();
    let id = yard.publish_silently(exact).await;
    let attempted = attempt(&yard.worker("one", GOOD), &id, None).await;
    assert!(
        matches!(attempted.ending, Ending::NotForThisWorker { .. }),
        "{attempted:?}"
    );
    assert_eq!(yard.state(&id).await.token, 0, "it was claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_no_job_is_dead() {
    let yard = Yard::new().await;
    yard.ring(&"0123456789abcdef0123456789abcdef".parse().unwrap()).await;
    drain(&yard.worker("one", GOOD)).await;
    // A drain ends when the ledger is empty; the message may not have been looked at by then.
    let worker = yard.worker("two", GOOD);
    let stop = worker.shutdown.clone();
    let working = crate::yard::start(&worker);
    let deadline = Instant::now() + Duration::from_secs(20);
    while yard.queue.depth(shared::job::Accelerator::Cpu).await.unwrap().dead == 0 {
        assert!(Instant::now() < deadline, "the message is not dead");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.stop();
    working.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn following_a_job_ends_with_its_exit_code_and_takes_its_messages_away() {
    let yard = Yard::new().await;
    let good = yard.publish(content()).await;
    assert_eq!(follow(&yard.worker("one", GOOD), &good).await, ExitCode::Ok);
    let depth = yard.queue.depth(shared::job::Accelerator::Cpu).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight), (0, 0));

    let mut other = content();
    other.nonce = Some("again".into());
    let bad = yard.publish_silently(other).await;
    assert_eq!(
        follow(&yard.worker("two", "export_model 0.1"), &bad).await,
        ExitCode::Quality
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_tells_what_the_trainer_said() {
    let yard = Yard::new().await;
    let id = yard.publish(content()).await;
    drain(&yard.worker("one", &format!("echo 'on stderr' >&2; echo 'no event'; {GOOD}"))).await;
    let mut reader = shared::joblog::JobLogReader::new(yard.store.clone(), id);
    let log = reader.next().await.unwrap();
    for part in [
        "stage retrieve",
        "on stderr",
        "(no event on stdout) no event",
        "stage register",
        "registered: version 1",
    ] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    assert_eq!(reader.next().await.unwrap(), "");
}
