//! Who may do what, what must be there, and what is said when it is not.

use super::{take, text};
use crate::{LONG, broker};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use shared::job::Accelerator;
use shared::queue::rabbitmq::{Limits, RabbitQueue, setup};
use shared::queue::{Depth, Found, Queue, Settlement};
use std::time::Duration;
use tests::queue_suite::{expect, message};
use tests::rabbitmq::{ADMIN, PASSWORD, ROLES};
use tests::sandbox::Sandbox;

const CPU: Accelerator = Accelerator::Cpu;
const NOW: Duration = Duration::ZERO;

async fn refused(url: &str) -> String {
    text(
        RabbitQueue::connect(url, Limits::default())
            .await
            .expect_err("must be refused"),
    )
}

#[tokio::test]
async fn who_is_refused_is_told_why_without_the_password() {
    let broker = broker();
    let _beside = broker.beside_others().await;
    let wrong = broker.url(ADMIN, "bare").replace(PASSWORD, "s3cret-guess");
    let error = refused(&wrong).await;
    assert!(
        error.contains("ACCESS_REFUSED") || error.contains("ACCESS-REFUSED"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
    let error = refused(&broker.url(ADMIN, "nowhere")).await;
    assert!(error.contains("nowhere"), "{error}");
    let error = refused(&broker.url("worker", "bare")).await;
    assert!(error.contains("bare"), "{error}");
}

#[tokio::test]
async fn what_is_missing_is_named_and_never_made_by_the_way() {
    let broker = broker();
    let _beside = broker.beside_others().await;
    let error = refused(&broker.url(ADMIN, "bare")).await;
    assert!(
        error.contains("no exchange trainyard") && error.contains("dispatcher setup"),
        "{error}"
    );
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_named_and_left_alone() {
    let broker = broker();
    let _beside = broker.beside_others().await;
    let url = broker.url(ADMIN, "other");
    let (_connection, channel) = broker.channel("other").await;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declare = || channel.queue_declare("trainyard.gpu".into(), durable, FieldTable::default());
    declare().await.expect("a classic queue");
    for _ in 0..2 {
        let error = text(setup(&url).await.expect_err("must be refused"));
        for word in [
            "queue trainyard.gpu",
            "x-dead-letter-exchange",
            "current is none",
            "left as it is",
        ] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    declare().await.expect("it is what it was");
}

#[tokio::test]
async fn a_broker_with_certificates_is_spoken_to_over_tls() {
    let broker = broker();
    let vhost = broker.vhost().await;
    let plain = broker.tls_url(ADMIN, vhost.name());
    let authority = format!("{plain}?cacertfile={}", broker.certificate("authority.pem"));
    let both = format!(
        "{authority}&certfile={}&keyfile={}",
        broker.certificate("client.pem"),
        broker.certificate("client.key")
    );
    let error = refused(&plain).await;
    assert!(error.contains("certificate"), "an authority that nobody knows: {error}");
    refused(&authority).await;
    let queue = RabbitQueue::connect(&both, Limits::default()).await.expect("a queue");
    queue.publish(&message(1), NOW).await.expect("publishes");
    assert_eq!(take(&queue).await, 1);
}

#[tokio::test]
async fn setting_up_again_changes_nothing() {
    let vhost = broker().vhost().await;
    let queue = vhost.queue(LONG).await;
    queue.publish(&message(1), NOW).await.expect("publishes");
    let made = setup(&vhost.url()).await.expect("sets up");
    assert!(made.iter().all(|made| made.found == Found::ThereAlready), "{made:?}");
    assert_eq!(take(&queue).await, 1);
}

/// The node imported the definitions with the permissions that deploy/rabbitmq/README.md recommends.
#[tokio::test]
async fn least_privilege_is_enough_and_no_more() {
    let broker = broker();
    let _beside = broker.beside_others().await;
    let open = async |user: &str| {
        let url = broker.url(user, "trainyard");
        RabbitQueue::connect(&url, Limits::default()).await.expect("a queue")
    };
    let made = setup(&broker.url(ADMIN, "trainyard")).await.expect("as imported");
    assert!(made.iter().all(|made| made.found == Found::ThereAlready), "{made:?}");

    let (dispatcher, worker, reader) = (open("dispatcher").await, open("worker").await, open("reader").await);
    for delay in [NOW, Duration::from_secs(1)] {
        dispatcher
            .publish(&message(1), delay)
            .await
            .expect("a dispatcher publishes");
    }
    let error = text(
        dispatcher
            .receive(CPU, NOW)
            .await
            .expect_err("a dispatcher takes nothing"),
    );
    assert!(error.contains("ACCESS_REFUSED"), "{error}");
    let settlements = [
        Settlement::Release,
        Settlement::Retry {
            after: Duration::from_secs(1),
        },
        Settlement::Dead { reason: "test".into() },
        Settlement::Done,
    ];
    for settlement in settlements {
        let receipt = expect(&worker).await.receipt;
        worker.settle(receipt, settlement).await.expect("a worker settles");
    }
    assert_eq!(
        reader.depth(CPU).await.expect("a reader counts"),
        Depth {
            dead: 1,
            ..Depth::default()
        }
    );
    text(
        reader
            .publish(&message(2), NOW)
            .await
            .expect_err("a reader publishes nothing"),
    );
    for user in ["dispatcher", "worker", "reader"] {
        let error = text(
            setup(&broker.url(user, "bare"))
                .await
                .expect_err("no right in this virtual host"),
        );
        assert!(error.contains("bare"), "{error}");
    }
    worker_cannot_configure().await;
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rabbitmq/README.md");
    let readme = std::fs::read_to_string(readme).expect("the file");
    for (user, rights) in ROLES {
        let line = readme
            .lines()
            .find(|line| line.contains(&format!("-p trainyard {user} ")));
        let told: Vec<&str> = line.expect(user).split('\'').skip(1).step_by(2).collect();
        assert_eq!(told, rights, "{user}");
    }
}

async fn worker_cannot_configure() {
    let url = broker().url("worker", "trainyard");
    let error = text(setup(&url).await.expect_err("a worker configures nothing"));
    assert!(
        error.contains("ACCESS_REFUSED") && error.contains("trainyard"),
        "{error}"
    );
}

/// What a person does, with everything that the client could log.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_dispatcher_sets_a_broker_up_once_and_looks_at_it() {
    let broker = broker();
    let _beside = broker.beside_others().await;
    let mut machine = Sandbox::new();
    let url = broker.url(ADMIN, "fresh");
    machine.variables.push(("TRAINYARD_QUEUE_URL".into(), url));
    machine.variables.push(("RUST_LOG".into(), "trace,lapin=trace".into()));
    let run = |arguments: &[&str], code| {
        let done = machine.run("dispatcher", arguments);
        assert_eq!(done.code(), code, "{arguments:?}: {}", done.output());
        assert!(!done.output().contains(PASSWORD), "{}", done.output());
        done
    };
    let early = run(&["publish", "--project", "sentiment", "--tag", "t1"], 69);
    assert!(early.stderr.contains("dispatcher setup"), "{}", early.stderr);
    let first = run(&["setup"], 0);
    assert!(
        first.stdout.contains("made queue trainyard.cpu.delay.9"),
        "{}",
        first.stdout
    );
    let second = run(&["setup"], 0);
    assert!(second.stdout.contains("0 made, 48 there already"), "{}", second.stdout);
    let looked = run(&["doctor", "--output", "json"], 0);
    let looked: serde_json::Value = serde_json::from_str(&looked.stdout).expect("JSON");
    let found = |what: &str| {
        let checks = looked["checks"].as_array().expect("a list");
        let check = checks.iter().find(|check| check["what"] == what).expect(what);
        format!("{} {}", check["verdict"], check["found"])
    };
    for (what, says) in [
        ("broker timer", "x-consumer-timeout"),
        ("broker queues", "all there, with the arguments"),
        ("broker publishing", "comes back"),
    ] {
        assert!(
            found(what).starts_with("\"ok\"") && found(what).contains(says),
            "{looked:#}"
        );
    }
    // Who imports the file gets what `setup` makes: the node's own virtual host `trainyard` was made so.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rabbitmq/definitions.json");
    let file = std::fs::read_to_string(file).expect("the file");
    assert_eq!(run(&["setup", "--print-definitions"], 0).stdout, file, "write it anew");
    run(&["setup", "--vhost", "other"], 64);
}
