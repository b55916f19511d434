//! `dispatcher doctor` on a broker that somebody set up wrongly: every mistake is one line that names it and what to do.

use crate::broker;
use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, ExchangeUnbindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};
use serde_json::{Value, json};
use shared::queue::rabbitmq::setup;
use shared::queue::rabbitmq::topology::Topology;
use std::net::TcpListener;
use tests::rabbitmq::{ADMIN, PASSWORD};
use tests::sandbox::Sandbox;

/// What somebody did to a broker that was set up rightly.
#[derive(Debug)]
enum Mistake {
    NoQueue(&'static str),
    NoExchange(&'static str),
    /// A queue of its name, made otherwise: what is durable, what deletes itself, what is exclusive, and its arguments.
    Queue(&'static str, [bool; 3], Vec<(&'static str, Value)>),
    /// An exchange of its name, of another type.
    Exchange(&'static str, &'static str),
    /// Without its binding.
    Unbound(&'static str),
}

const DURABLE: [bool; 3] = [true, false, false];

/// The right arguments of a queue but for these.
fn but(queue: &str, others: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    let all = Topology::expected().queues;
    let right = all.into_iter().find(|one| one.name == queue).expect("a queue of ours");
    let mut arguments = right.arguments;
    arguments.retain(|(name, _)| others.iter().all(|(other, _)| other != name));
    arguments.extend(others.iter().filter(|(_, value)| !value.is_null()).cloned());
    arguments
}

/// Mistakes and words of the one line that must name each.
fn mistakes() -> Vec<(Mistake, Vec<&'static str>)> {
    use Mistake::{Exchange, NoExchange, NoQueue, Queue, Unbound};
    const CPU: &str = "trainyard.cpu";
    let other = |arguments: &[(&'static str, Value)]| Queue(CPU, DURABLE, but(CPU, arguments));
    vec![
        (
            Queue(CPU, DURABLE, vec![]),
            vec!["queue trainyard.cpu", "x-dead-letter-exchange none"],
        ),
        (
            other(&[("x-delivery-limit", json!(3))]),
            vec!["x-delivery-limit", "'3'", "'1000'"],
        ),
        (
            other(&[("x-delivery-limit", Value::Null)]),
            vec!["x-delivery-limit none"],
        ),
        (
            other(&[("x-dead-letter-exchange", json!("elsewhere"))]),
            vec!["x-dead-letter-exchange", "elsewhere"],
        ),
        (
            other(&[("x-dead-letter-routing-key", json!("gpu"))]),
            vec!["x-dead-letter-routing-key", "'gpu'"],
        ),
        (
            other(&[("x-max-length", json!(10)), ("x-overflow", json!("drop-head"))]),
            vec!["queue trainyard.cpu", "x-max-length", "'10'"],
        ),
        (
            other(&[("x-overflow", json!("drop-head"))]),
            vec!["x-overflow", "drop-head"],
        ),
        (
            other(&[("x-message-ttl", json!(60_000))]),
            vec!["x-message-ttl", "'60000'"],
        ),
        (other(&[("x-expires", json!(3_600_000))]), vec!["x-expires"]),
        (
            Queue(CPU, DURABLE, vec![("x-queue-mode", json!("lazy"))]),
            vec!["queue trainyard.cpu", "x-dead-letter-exchange none"],
        ),
        (
            Queue(CPU, [true, true, false], vec![]),
            vec!["queue trainyard.cpu", "auto_delete"],
        ),
        (
            Queue(CPU, [false, false, true], vec![]),
            vec!["queue trainyard.cpu", "exclusive"],
        ),
        (
            Queue(CPU, [false, false, false], vec![]),
            vec!["queue trainyard.cpu", "durable"],
        ),
        (
            Queue(
                "trainyard.gpu.dead",
                DURABLE,
                but("trainyard.gpu.dead", &[("x-max-length", json!(1))]),
            ),
            vec!["queue trainyard.gpu.dead", "x-max-length", "'1'"],
        ),
        (
            Queue(
                "trainyard.cpu.delay.4",
                DURABLE,
                but("trainyard.cpu.delay.4", &[("x-message-ttl", json!(1))]),
            ),
            vec!["queue trainyard.cpu.delay.4", "x-message-ttl", "'16000'"],
        ),
        (
            NoQueue("trainyard.gpu"),
            vec!["no queue trainyard.gpu", "dispatcher setup"],
        ),
        (
            NoQueue("trainyard.inf1.delay.3"),
            vec!["no queue trainyard.inf1.delay.3", "dispatcher setup"],
        ),
        (
            NoQueue("trainyard.cpu.dead"),
            vec!["no queue trainyard.cpu.dead", "dispatcher setup"],
        ),
        (
            NoExchange("trainyard.dead"),
            vec!["no exchange trainyard.dead", "dispatcher setup"],
        ),
        (
            Exchange("trainyard", "fanout"),
            vec!["exchange trainyard has type", "fanout", "topic"],
        ),
        (
            Exchange("trainyard.dead", "topic"),
            vec!["exchange trainyard.dead has type", "direct"],
        ),
        (
            Unbound("trainyard.inf1"),
            vec![
                "exchange trainyard is not bound to queue trainyard.inf1",
                "dispatcher setup",
            ],
        ),
        (
            Unbound("trainyard.cpu.dead"),
            vec!["exchange trainyard.dead is not bound to queue trainyard.cpu.dead"],
        ),
        (
            Unbound("trainyard.gpu.delay.4"),
            vec!["trainyard.delay.4 is not bound to queue trainyard.gpu.delay.4"],
        ),
        (
            Unbound("trainyard.delay.6"),
            vec!["trainyard.delay.7 is not bound to exchange trainyard.delay.6"],
        ),
        (
            Unbound("trainyard"),
            vec![
                "trainyard.delay.0 is not bound to exchange trainyard:",
                "dispatcher setup",
            ],
        ),
    ]
}

fn table(arguments: &[(&'static str, Value)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Value::String(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            number => AMQPValue::LongLongInt(number.as_i64().expect("a number")),
        };
        table.insert((*name).into(), value);
    }
    table
}

async fn delete_queue(channel: &Channel, queue: &str) {
    let deleted = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
    deleted.expect("deletes");
}

async fn delete_exchange(channel: &Channel, exchange: &str) {
    let deleted = channel
        .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
        .await;
    deleted.expect("deletes");
}

impl Mistake {
    async fn make(&self, channel: &Channel) {
        match self {
            Self::NoQueue(queue) => delete_queue(channel, queue).await,
            Self::NoExchange(exchange) => delete_exchange(channel, exchange).await,
            Self::Queue(queue, [durable, auto_delete, exclusive], arguments) => {
                delete_queue(channel, queue).await;
                let options = QueueDeclareOptions {
                    durable: *durable,
                    auto_delete: *auto_delete,
                    exclusive: *exclusive,
                    ..QueueDeclareOptions::default()
                };
                let declared = channel.queue_declare((*queue).into(), options, table(arguments)).await;
                declared.unwrap_or_else(|error| panic!("{self:?}: {error}"));
            }
            Self::Exchange(exchange, kind) => {
                delete_exchange(channel, exchange).await;
                let options = ExchangeDeclareOptions {
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                let kind = ExchangeKind::Custom((*kind).to_owned());
                let declared = channel
                    .exchange_declare((*exchange).into(), kind, options, FieldTable::default())
                    .await;
                declared.expect("declares");
            }
            Self::Unbound(destination) => {
                let all = Topology::expected().bindings;
                let one = all
                    .iter()
                    .find(|binding| binding.destination == *destination)
                    .expect("a binding");
                let (source, to, key) = (
                    one.source.as_str().into(),
                    one.destination.as_str().into(),
                    one.routing_key.as_str().into(),
                );
                let unbound = if one.to_queue {
                    channel.queue_unbind(to, source, key, FieldTable::default()).await
                } else {
                    let options = ExchangeUnbindOptions::default();
                    channel
                        .exchange_unbind(to, source, key, options, FieldTable::default())
                        .await
                };
                unbound.expect("unbinds");
            }
        }
    }

    /// Back to how it was, where `setup` cannot do it alone.
    async fn mend(&self, channel: &Channel, url: &str) {
        match self {
            Self::Queue(queue, ..) => delete_queue(channel, queue).await,
            Self::Exchange(exchange, _) => delete_exchange(channel, exchange).await,
            _ => {}
        }
        setup(url).await.expect("sets up again");
    }
}

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
async fn every_reason_not_to_be_let_in_is_named_in_one_line() {
    let broker = broker();
    let vhost = broker.vhost().await;
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("a port");
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
            plain.replace(&plain_port, &free.port().to_string()),
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
