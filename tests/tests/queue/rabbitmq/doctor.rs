//! `dispatcher doctor` on a broker that somebody set up wrongly: every mistake is one line that names it and what to do.

mod mistake;

use crate::broker;
use mistake::mistakes;
use serde_json::Value;
use shared::queue::rabbitmq::setup;
use tests::rabbitmq::{ADMIN, PASSWORD};
use tests::sandbox::Sandbox;

/// Exit code, and the lines about the broker: (verdict, what was found).
fn doctor(url: &str) -> (i32, Vec<(String, String)>) {
    let mut machine = Sandbox::new();
    machine.variables.push(("TRAINYARD_QUEUE_URL".into(), url.into()));
    let done = machine.run("dispatcher", &["doctor", "--output", "json"]);
    assert!(!done.output().contains(PASSWORD), "{}", done.output());
    let looked: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.output()));
    let not_checked = looked["not_checked"].to_string();
    assert!(
        not_checked.contains("list_policies"),
        "what AMQP does not tell: {not_checked}"
    );
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let checks = looked["checks"].as_array().expect("a list").iter();
    let broker = checks.filter(|check| {
        let what = text(&check["what"]);
        what.starts_with("broker") || what == "queue"
    });
    (
        done.code(),
        broker
            .map(|check| (text(&check["verdict"]), text(&check["found"])))
            .collect(),
    )
}

/// One line says `words`, and no other complains.
fn assert_named(case: &str, (code, lines): (i32, Vec<(String, String)>), verdict: &str, words: &[&str]) {
    assert_eq!(code, if verdict == "failed" { 69 } else { 0 }, "{case}: {lines:#?}");
    let complaints: Vec<_> = lines.iter().filter(|(verdict, _)| verdict != "ok").collect();
    assert_eq!(complaints.len(), 1, "{case}: {lines:#?}");
    let (found, said) = complaints[0];
    assert_eq!(found, verdict, "{case}: {said}");
    for word in words {
        assert!(said.contains(word), "{case}: {word:?} is missing: {said}");
    }
}

fn assert_fine(case: &str, (code, lines): (i32, Vec<(String, String)>), words: &[&str]) {
    assert!(
        code == 0 && lines.iter().all(|(verdict, _)| verdict == "ok"),
        "{case}: {lines:#?}"
    );
    for word in words {
        assert!(
            lines.iter().any(|(_, said)| said.contains(word)),
            "{case}: {word:?} is missing: {lines:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_mistake_in_exchanges_queues_and_bindings_is_named_in_one_line() {
    let broker = broker();
    let vhost = broker.vhost().await;
    let right = [
        "RabbitMQ 3.10",
        "this version ignores the x-consumer-timeout of a queue",
        "a longer job's message is delivered a second time",
        "quorum queues, delivery limit",
        "an administrator",
        "probes went every way to the work queues, at once and by each delay",
        "a probe that died came back",
    ];
    assert_fine("nothing is wrong", doctor(&vhost.url()), &right);
    for (mistake, words) in mistakes() {
        let (_connection, channel) = broker.channel(vhost.name()).await;
        mistake.make(&channel).await;
        let found = doctor(&vhost.url());
        assert_named(&format!("{mistake:?}"), found, "failed", &words);
        mistake.mend(&channel, &vhost.url()).await;
    }
    assert_fine("all is mended", doctor(&vhost.url()), &right);
    // Whatever was tried, nobody finds a message.
    let queue = vhost.queue(crate::LONG).await;
    for accelerator in shared::job::Accelerator::ALL {
        let depth = shared::queue::Queue::depth(&queue, accelerator).await.expect("counts");
        assert_eq!(depth, shared::queue::Depth::default(), "{accelerator}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_queue_without_its_process_is_named_in_one_line() {
    let broker = broker();
    let vhost = broker.vhost().await;
    let server = format!("{{'{}_trainyard.cpu', node()}}", vhost.name());
    let ra = |what: &str| format!("ra:{what}_server(quorum_queues, {server}).");
    broker.ctl(&["eval", &ra("stop")]).await;
    let words = ["queue trainyard.cpu", "delete_queue", "dispatcher setup"];
    assert_named("stopped", doctor(&vhost.url()), "failed", &words);
    broker.ctl(&["eval", &ra("restart")]).await;
    assert_fine("started again", doctor(&vhost.url()), &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_reason_not_to_be_let_in_is_named_in_one_line() {
    let broker = broker();
    let vhost = broker.vhost().await;
    let (plain, secure) = (vhost.url(), broker.tls_url(ADMIN, vhost.name()));
    let port = |url: &str| {
        url.rsplit(':')
            .next()
            .expect("a port")
            .split('/')
            .next()
            .expect("a port")
            .to_owned()
    };
    let (plain_port, tls_port) = (port(&plain), port(&secure));
    let authority = format!("cacertfile={}", broker.certificate("authority.pem"));
    let other = format!(
        "certfile={}&keyfile={}",
        broker.certificate("client.pem"),
        broker.certificate("client.key")
    );
    let cases = [
        (
            "wrong password",
            plain.replace(PASSWORD, "guessed"),
            vec!["user or the password", "change_password"],
        ),
        (
            "wrong user",
            plain.replace(ADMIN, "nobody"),
            vec!["user or the password"],
        ),
        (
            "no such virtual host",
            broker.url(ADMIN, "nowhere"),
            vec!["no virtual host nowhere", "add_vhost"],
        ),
        (
            "not let into the virtual host",
            broker.url("worker", vhost.name()),
            vec!["may not use", "set_permissions"],
        ),
        (
            "wrong port",
            // tcpmux, which nobody runs.
            plain.replace(&format!(":{plain_port}/"), ":1/"),
            vec!["nobody listens", "5672"],
        ),
        (
            "TLS where there is none",
            plain.replace("amqp://", "amqps://"),
            vec!["speaks no TLS", "amqp://"],
        ),
        (
            "none where there is TLS",
            secure.replace("amqps://", "amqp://"),
            vec!["not speak AMQP in the clear", "amqps://"],
        ),
        (
            "an authority that nobody knows",
            format!("{secure}?{other}"),
            vec!["authority", "cacertfile=PEM"],
        ),
        (
            "no certificate of its own",
            format!("{secure}?{authority}"),
            vec!["certfile=PEM", &tls_port],
        ),
    ];
    for (case, url, words) in cases {
        assert_named(case, doctor(&url), "failed", &words);
    }
    assert_fine(
        "all of them right",
        doctor(&format!("{secure}?{authority}&{other}")),
        &["an administrator"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_permission_that_a_role_lacks_is_named_in_one_line() {
    const WORK: &str = r"^trainyard\.(cpu|gpu|inf1)$";
    let broker = broker();
    let vhost = broker.vhost().await;
    let url = broker.url("worker", vhost.name());
    let cases = [
        // configure, write, read
        (
            ["^$", r"^trainyard(\.delay\.9|\.dead)?$", WORK],
            "ok",
            vec!["those of a worker", "only a user who may configure"],
        ),
        (
            ["^$", r"^trainyard(\.delay\.9)?$", "^$"],
            "ok",
            vec!["those of a dispatcher"],
        ),
        (
            ["^$", r"^trainyard(\.delay\.9)?$", WORK],
            "warning",
            vec!["worker also needs write on trainyard.dead;"],
        ),
        (
            ["^$", r"^trainyard\..*$", WORK],
            "warning",
            vec!["worker also needs write on trainyard;", "set_permissions"],
        ),
        (
            [".*", r"^trainyard(\.dead)?$", ".*"],
            "warning",
            vec!["worker also needs write on trainyard.delay.9;"],
        ),
        (
            ["^$", ".*", r"^trainyard\.cpu$"],
            "warning",
            vec!["worker also needs read on trainyard.gpu, read on trainyard.inf1;"],
        ),
        (
            ["^$", r"^trainyard$", "^$"],
            "warning",
            vec!["dispatcher also needs write on trainyard.delay.9;"],
        ),
        (["^$", "^$", "^$"], "warning", vec!["those of a reader"]),
    ];
    for ([configure, write, read], verdict, words) in cases {
        let set = ["set_permissions", "-p", vhost.name(), "worker", configure, write, read];
        broker.ctl(&set).await;
        let case = format!("{configure} {write} {read}");
        match verdict {
            "ok" => assert_fine(&case, doctor(&url), &words),
            verdict => assert_named(&case, doctor(&url), verdict, &words),
        }
    }
    broker.ctl(&["clear_permissions", "-p", vhost.name(), "worker"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_alarm_in_force_is_named_in_one_line() {
    let broker = broker();
    let _alone = broker.alone().await;
    let url = broker.url(ADMIN, "alone");
    setup(&url).await.expect("sets up");
    broker.ctl(&["set_disk_free_limit", "1000000GB"]).await;
    let words = ["short of memory or disk", "rabbitmq-diagnostics alarms"];
    assert_named("disk", doctor(&url), "failed", &words);
    broker.ctl(&["set_disk_free_limit", "1MB"]).await;
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;
    assert_named("memory", doctor(&url), "failed", &words);
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "2GB"]).await;
    assert_fine("neither", doctor(&url), &["comes back"]);
}
