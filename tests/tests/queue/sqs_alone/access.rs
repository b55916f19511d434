//! What must be there, how it is made, and what is said when it is not or is not as it should be.

use super::text;
use crate::HOLD;
use serde_json::{Value, json};
use shared::job::Accelerator;
use shared::queue::sqs::{SqsQueue, inspect, setup, topology};
use shared::queue::{Depth, Found, Queue};
use std::time::Duration;
use tests::aws::{AwsServer, SECRET_KEY};
use tests::http_faults::{Fault, Faults};
use tests::queue_suite::message;
use tests::sandbox::Sandbox;
use tests::sqs::Yard;

const CPU: Accelerator = Accelerator::Cpu;

async fn refused(yard: &Yard) -> String {
    let opened = SqsQueue::connect(&yard.url(), &yard.access()).await;
    text(opened.expect_err("must be refused"))
}

#[tokio::test]
async fn what_is_missing_is_named_and_never_made_by_the_way() {
    let yard = Yard::bare();
    for _ in 0..2 {
        let error = refused(&yard).await;
        assert!(
            error.contains(yard.prefix()) && error.contains("dispatcher setup"),
            "{error}"
        );
    }
    let fifo = Yard::new().await;
    let name = topology::work_queue(fifo.prefix(), Accelerator::Gpu);
    fifo.call("DeleteQueue", json!({"QueueUrl": fifo.queue_url(&name)}))
        .await;
    let attributes = json!({"FifoQueue": "true"});
    let ask = json!({"QueueName": format!("{name}.fifo"), "Attributes": attributes});
    fifo.call("CreateQueue", ask).await;
    let error = refused(&fifo).await;
    assert!(
        error.contains(&format!("{name}.fifo")) && error.contains("FIFO queues cannot"),
        "{error}"
    );
}

#[tokio::test]
async fn setting_up_again_changes_nothing() {
    let yard = Yard::bare();
    let first = setup(&yard.url(), &yard.access()).await.expect("sets up");
    assert!(first.iter().all(|made| made.found == Found::Made), "{first:?}");
    let queue = yard.queue(Duration::from_secs(60), HOLD).await;
    queue.publish(&message(1), Duration::ZERO).await.expect("publishes");
    let second = setup(&yard.url(), &yard.access()).await.expect("sets up");
    assert!(
        second.iter().all(|made| made.found == Found::ThereAlready),
        "{second:?}"
    );
    assert_eq!(queue.depth(CPU).await.expect("counts").ready, 1);
}

async fn attributes(yard: &Yard, queue: &str) -> Value {
    let ask = json!({"QueueUrl": yard.queue_url(queue), "AttributeNames": ["All"]});
    yard.call("GetQueueAttributes", ask).await["Attributes"].clone()
}

async fn change(yard: &Yard, queue: &str, attribute: &str, value: &str) {
    let ask = json!({"QueueUrl": yard.queue_url(queue), "Attributes": {attribute: value}});
    yard.call("SetQueueAttributes", ask).await;
}

/// Each misconfiguration on queues of its own: the attribute, what it is set to, whether jobs suffer, and what is said.
#[tokio::test]
async fn misconfigurations_are_named_one_by_one() {
    let elsewhere = Yard::new().await;
    let elsewhere = topology::dead_queue(elsewhere.prefix(), CPU);
    let other_target = format!(
        r#"{{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:{elsewhere}", "maxReceiveCount": 1000}}"#
    );
    let few = |prefix: &str| {
        format!(
            r#"{{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:{prefix}-cpu-dead", "maxReceiveCount": 3}}"#
        )
    };
    for (attribute, value, is_harmful, says) in [
        (
            "MessageRetentionPeriod",
            "345600",
            true,
            "MessageRetentionPeriod is 345600, expected 1209600",
        ),
        ("VisibilityTimeout", "30", false, "VisibilityTimeout is 30, expected 60"),
        ("DelaySeconds", "5", false, "DelaySeconds is 5, expected 0"),
        (
            "ReceiveMessageWaitTimeSeconds",
            "0",
            false,
            "ReceiveMessageWaitTimeSeconds is 0, expected 20",
        ),
        ("MaximumMessageSize", "1024", true, "MaximumMessageSize is 1024"),
        ("RedrivePolicy", "{}", true, "no RedrivePolicy"),
        (
            "RedrivePolicy",
            &other_target,
            true,
            &format!("names arn:aws:sqs:us-east-1:123456789012:{elsewhere}"),
        ),
        ("RedrivePolicy", "few", true, "maxReceiveCount is 3, expected 1000"),
    ] {
        let yard = Yard::new().await;
        let queue = topology::work_queue(yard.prefix(), CPU);
        let value = if value == "few" {
            few(yard.prefix())
        } else {
            value.to_owned()
        };
        change(&yard, &queue, attribute, &value).await;
        let before = attributes(&yard, &queue).await;
        let found = inspect(&yard.url(), &yard.access()).await.expect("looks").differences;
        assert_eq!(found.len(), 1, "{attribute}: {found:?}");
        assert_eq!(found[0].is_harmful, is_harmful, "{found:?}");
        assert!(found[0].found.starts_with(&format!("queue {queue}: ")), "{found:?}");
        assert!(
            found[0].found.contains(says) && !found[0].remedy.is_empty(),
            "{found:?}"
        );
        let error = text(setup(&yard.url(), &yard.access()).await.expect_err("must be refused"));
        assert!(error.contains(says) && error.contains("left as it is"), "{error}");
        assert_eq!(attributes(&yard, &queue).await, before);
        // They differ, and are there all the same.
        yard.queue(Duration::from_secs(60), HOLD).await;
    }
    let yard = Yard::new().await;
    let dead = topology::dead_queue(yard.prefix(), CPU);
    change(&yard, &dead, "MessageRetentionPeriod", "60").await;
    let found = inspect(&yard.url(), &yard.access()).await.expect("looks").differences;
    assert!(found.len() == 1 && found[0].found.contains(&dead), "{found:?}");
}

/// What moto does not know of, as AWS says it.
#[tokio::test]
async fn misconfigurations_that_only_aws_knows_are_named() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let through = yard.through(faults.endpoint());
    let dead = topology::dead_queue(yard.prefix(), CPU);
    let mut told = attributes(&yard, &dead).await;
    told["RedriveAllowPolicy"] = json!(r#"{"redrivePermission": "denyAll"}"#);
    told["FifoQueue"] = json!("true");
    let answer = json!({ "Attributes": told }).to_string();
    faults.next(
        |request| super::action(request) == "GetQueueAttributes",
        Fault::Answer(200, Vec::new(), answer),
    );
    let found = inspect(&through.url(), &through.access())
        .await
        .expect("looks")
        .differences;
    let found: Vec<&str> = found.iter().map(|one| one.found.as_str()).collect();
    assert_eq!(
        found,
        [
            format!("queue {dead}: it is a FIFO queue"),
            format!("queue {dead}: RedriveAllowPolicy is denyAll")
        ]
    );
}

#[tokio::test]
async fn who_may_not_send_is_told_and_trying_leaves_nothing() {
    let yard = Yard::new().await;
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let through = yard.through(faults.endpoint());
    let found = inspect(&through.url(), &through.access()).await.expect("looks");
    assert_eq!(found.no_sending, Vec::<String>::new());
    let denied = r#"{"__type": "com.amazonaws.sqs#AccessDeniedException", "message": "not you"}"#;
    let fault = Fault::Answer(403, Vec::new(), denied.into());
    let work = topology::work_queue(yard.prefix(), CPU);
    let end = format!("/{work}");
    faults.next(
        move |request| {
            let is_ours = |url: &str| url.ends_with(&end);
            super::action(request) == "SendMessage" && super::body(request)["QueueUrl"].as_str().is_some_and(is_ours)
        },
        fault.clone(),
    );
    let found = inspect(&through.url(), &through.access()).await.expect("looks");
    assert_eq!(found.no_sending, [work]);
    faults.next(|_| true, fault);
    let error = refused(&through).await;
    assert!(error.contains("AccessDenied") && error.contains("not you"), "{error}");
    let queue = yard.queue(Duration::from_secs(60), HOLD).await;
    for accelerator in Accelerator::ALL {
        assert_eq!(queue.depth(accelerator).await.expect("counts"), Depth::default());
    }
}

/// What a person does, with everything that the client could log.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_dispatcher_sets_queues_up_once_and_looks_at_them() {
    let yard = Yard::bare();
    let mut machine = Sandbox::new();
    machine.variables.extend(yard.variables(""));
    machine.variables.push(("RUST_LOG".into(), "trace".into()));
    let run = |arguments: &[&str], code| {
        let done = machine.run("dispatcher", arguments);
        assert_eq!(done.code(), code, "{arguments:?}: {}", done.output());
        assert!(!done.output().contains(SECRET_KEY), "{}", done.output());
        done
    };
    let early = run(&["publish", "--project", "sentiment", "--tag", "t1"], 69);
    assert!(early.stderr.contains("dispatcher setup"), "{}", early.stderr);
    let template: Value = serde_json::from_str(&run(&["setup", "--print-definitions"], 0).stdout).expect("JSON");
    let first = run(&["setup"], 0);
    let second = run(&["setup"], 0);
    for resource in template["Resources"].as_object().expect("resources").values() {
        let name = resource["Properties"]["QueueName"].as_str().expect("a name");
        assert!(
            first.stdout.contains(&format!("made queue {name}\n")),
            "{}",
            first.stdout
        );
        let made = attributes(&yard, name).await;
        for attribute in ["MessageRetentionPeriod", "VisibilityTimeout", "DelaySeconds"] {
            let printed = resource["Properties"][attribute].to_string();
            assert_eq!(made[attribute].as_str(), Some(printed.as_str()), "{name} {attribute}");
        }
    }
    assert!(second.stdout.contains("0 made, 6 there already"), "{}", second.stdout);
    let found = |code| {
        let looked = run(&["doctor", "--output", "json"], code).stdout;
        let looked: Value = serde_json::from_str(&looked).expect("JSON");
        let checks = looked["checks"].as_array().expect("a list").clone();
        move |what: &str| {
            let check = checks.iter().find(|check| check["what"] == what).expect(what);
            format!("{} {}", check["verdict"], check["found"])
        }
    };
    let fine = found(0);
    for (what, says) in [("sqs attributes", "14 days"), ("sqs sending", "allowed")] {
        assert!(
            fine(what).starts_with("\"ok\"") && fine(what).contains(says),
            "{}",
            fine(what)
        );
    }
    change(&yard, &topology::work_queue(yard.prefix(), CPU), "RedrivePolicy", "{}").await;
    let wrong = found(69)("sqs attributes");
    assert!(
        wrong.starts_with("\"failed\"") && wrong.contains("no RedrivePolicy"),
        "{wrong}"
    );
}
