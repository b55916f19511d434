//! Messages and jobs that anybody who can reach the queue or the store may have written: none makes a worker do anything
//! but put them aside.

use crate::yard::{GOOD, Yard, content, drain, start};
use shared::job::{Accelerator, Content, JobId};
use shared::ledger::Status;
use shared::queue::Depth;
use shared::queue::embedded::EmbeddedQueue;
use shared::queue::visibility;
use shared::store::Key;
use std::time::{Duration, Instant};
use worker::attempt::attempt;
use worker::outcome::Ending;

const CPU: Accelerator = Accelerator::Cpu;

/// Puts bytes into the queue as a stranger would.
async fn send(yard: &Yard, body: impl Into<Vec<u8>>) {
    let queue = EmbeddedQueue::open(&yard.path("queue.db"), visibility()).await.unwrap();
    queue.publish_bytes(CPU, body.into(), Duration::ZERO).await.unwrap();
}

/// Lets a worker work until the queue is so.
async fn work_until(yard: &Yard, what: &str, such: impl Fn(&Depth) -> bool) {
    let worker = yard.worker(&what.replace(' ', "-"), GOOD);
    let working = start(&worker);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let depth = yard.queue.depth(CPU).await.unwrap();
        if such(&depth) {
            break;
        }
        assert!(Instant::now() < deadline, "never {what}: {depth:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.shutdown.stop();
    working.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none_are_buried_and_the_next_one_is_done() {
    let yard = Yard::new().await;
    let id = "0123456789abcdef0123456789abcdef";
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"no JSON".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        "[".repeat(4000).into_bytes(),
        "{\"a\":".repeat(800).into_bytes(),
        vec![b' '; 8 << 20],
        br#"{"schema":1,"job":"../../etc/passwd","accelerator":"cpu","postponed":0}"#.to_vec(),
        format!(r#"{{"schema":1,"job":"{id}/../{id}","accelerator":"cpu","postponed":0}}"#).into(),
        format!(
            r#"{{"schema":1,"job":"{}","accelerator":"cpu","postponed":0}}"#,
            id.to_uppercase()
        )
        .into(),
        format!(r#"{{"schema":1,"job":"{id}","accelerator":"tpu\u001b[2J","postponed":0}}"#).into(),
        format!(r#"{{"schema":1,"job":"{id}","accelerator":"cpu","postponed":-1}}"#).into(),
        format!(r#"{{"schema":1,"job":"{id}","accelerator":"cpu","postponed":99999999999}}"#).into(),
        // Well formed, and of a job that nobody published.
        format!(r#"{{"schema":1,"job":"{id}","accelerator":"cpu","postponed":4294967295}}"#).into(),
    ];
    let count = bodies.len() as u64;
    for body in bodies {
        send(&yard, body).await;
    }
    let job = yard.publish(content()).await;
    work_until(&yard, "all are dead and the job is done", |depth| {
        depth.dead == count && depth.ready == 0 && depth.in_flight == 0
    })
    .await;
    assert_eq!(yard.state(&job).await.status, Status::Registered);
    assert_eq!(yard.ledger.jobs().await.unwrap(), [job], "a message made a job");
}

/// Writes `job.json` under an id without going through the ledger, as one could who can write to the store.
async fn plant(yard: &Yard, id: &JobId, bytes: Vec<u8>) {
    let key = Key::new(format!("trainyard/jobs/{id}/job.json")).unwrap();
    yard.store.put_new(&key, bytes.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_its_ids_content_or_no_job_is_never_claimed() {
    let yard = Yard::new().await;
    let honest = yard.publish_silently(content()).await;
    let honest = yard.ledger.job(&honest).await.unwrap().unwrap().to_vec().unwrap();
    let planted = [
        ("another job's bytes", honest.clone()),
        ("no JSON", b"rm -rf /".to_vec()),
        ("deep", "[".repeat(100_000).into_bytes()),
        ("large", vec![b' '; (1 << 20) + 1]),
        ("empty", Vec::new()),
    ];
    let worker = yard.worker("one", "touch never; exit 70");
    for (number, (case, bytes)) in planted.into_iter().enumerate() {
        let id: JobId = format!("{number:032x}").parse().unwrap();
        plant(&yard, &id, bytes).await;
        let attempted = attempt(&worker, &id, None).await;
        assert!(
            matches!(attempted.ending, Ending::NoJob { .. }),
            "{case}: {attempted:?}"
        );
        assert_eq!(yard.state(&id).await.token, 0, "{case} was claimed");
    }
    assert!(yard.visible().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_newer_schema_is_left_for_a_newer_worker() {
    let yard = Yard::new().await;
    let id: JobId = "f".repeat(32).parse().unwrap();
    plant(&yard, &id, br#"{"schema": 99, "content": {"wonder": true}}"#.to_vec()).await;
    yard.ring(&id).await;
    let attempted = attempt(&yard.worker("one", GOOD), &id, None).await;
    assert!(matches!(attempted.ending, Ending::Newer { .. }), "{attempted:?}");
    work_until(&yard, "put back", |depth| depth.delayed == 1 && depth.dead == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_the_queue_of_another_accelerator_does_nothing_to_its_job() {
    let yard = Yard::new().await;
    let of_gpu = Content {
        accelerator: Accelerator::Gpu,
        ..content()
    };
    let id = yard.publish_silently(of_gpu).await;
    // `ring` says cpu.
    yard.ring(&id).await;
    work_until(&yard, "put back", |depth| depth.delayed == 1).await;
    assert_eq!(
        (yard.state(&id).await.token, yard.state(&id).await.status),
        (0, Status::Queued)
    );
    // Once the job has ended, so does the message.
    let now = yard.ledger.read(&id).await.unwrap();
    let cancel = shared::ledger::Event::Cancel {
        reason: "by hand".into(),
    };
    yard.ledger.apply(&id, &now, &cancel).await.unwrap();
    yard.ring(&id).await;
    drain(&yard.worker("other", GOOD)).await;
    assert_eq!(yard.queue.depth(CPU).await.unwrap().dead, 0);
}
