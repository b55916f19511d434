//! The checks of a RabbitMQ, after the queue has answered.

use super::Check;
use super::checks::{check, warning};
use crate::site::Yard;
use anyhow::anyhow;
use shared::queue::rabbitmq::{Compared, Inspection, inspect};

/// The oldest version with a time to live for quorum queues: (major, minor).
const OLDEST: (u32, u32) = (3, 10);
/// The first in which a queue can have an acknowledgement timer of its own.
const TIMER_OF_A_QUEUE: (u32, u32) = (3, 12);

/// Version and timer, arguments, publishing; nothing for other queues, or where the broker was not reached.
pub(super) async fn checks(yard: &Yard) -> Vec<Check> {
    if !matches!(yard.fleet.queue_url.scheme(), "amqp" | "amqps") || yard.queue().await.is_err() {
        return Vec::new();
    }
    match inspect(yard.fleet.queue_url.expose()).await {
        Ok(Inspection {
            version,
            arguments,
            publishing,
        }) => vec![broker(version), queues(arguments), publishes(publishing)],
        Err(error) => vec![check("broker", Err(error.into()))],
    }
}

fn broker(version: Option<String>) -> Check {
    const TIMER: &str = "a job longer than its acknowledgement timer (30 min, unless consumer_timeout in rabbitmq.conf says \
                         otherwise; it is not told over AMQP) is delivered twice, and the second delivery is put off";
    let Some(version) = version else {
        return check("broker", Ok(format!("its version is not told; {TIMER}")));
    };
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let found = format!("RabbitMQ {version}; {TIMER}");
    match number {
        old if old < OLDEST => check("broker", Err(anyhow!("RabbitMQ {version} is too old: 3.10 or newer"))),
        old if old < TIMER_OF_A_QUEUE => check(
            "broker",
            Ok(format!("{found}; this version ignores a queue's x-consumer-timeout")),
        ),
        _ => check("broker", Ok(found)),
    }
}

fn queues(arguments: Compared) -> Check {
    const WHAT: &str = "broker queues";
    match arguments {
        Compared::Same => check(WHAT, Ok("all there, with the arguments of this version".into())),
        Compared::NotAllowed => check(
            WHAT,
            Ok("all there; only a user who may configure them can compare their arguments".into()),
        ),
        Compared::Different(text) => check(WHAT, Err(anyhow!(text))),
    }
}

fn publishes(publishing: anyhow::Result<()>) -> Check {
    const WHAT: &str = "broker publishing";
    match publishing {
        Ok(()) => check(WHAT, Ok("confirmed; a message that no queue takes comes back".into())),
        Err(error) if format!("{error:#}").contains("ACCESS_REFUSED") => {
            warning(WHAT, "this user may not publish (deploy/rabbitmq/README.md)")
        }
        Err(error) => check(WHAT, Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::broker;

    #[test]
    fn versions_are_told_apart() {
        for (version, verdict, says) in [
            ("3.9.29", Verdict::Failed, "too old"),
            ("3.10.8", Verdict::Ok, "ignores a queue's x-consumer-timeout"),
            ("4.1.2", Verdict::Ok, "acknowledgement timer"),
        ] {
            let check = broker(Some(version.into()));
            assert_eq!(check.verdict, verdict, "{version}");
            assert!(
                check.found.contains(says) && check.found.contains(version),
                "{}",
                check.found
            );
        }
        assert_eq!(broker(None).verdict, Verdict::Ok);
    }
}
