//! The checks of a RabbitMQ: one line for each thing that is as it should be, and one for each that is not.

use super::checks::{check, warning};
use super::{Check, Verdict};
use crate::site::Yard;
use anyhow::anyhow;
use shared::queue::rabbitmq::{Compared, Inspection, Paths, Rights, Usable, inspect};
use shared::settings::Fleet;

/// The oldest version with a time to live for quorum queues: (major, minor).
const OLDEST: (u32, u32) = (3, 10);
/// The first in which a queue can have an acknowledgement timer of its own.
const TIMER_OF_A_QUEUE: (u32, u32) = (3, 12);

/// What cannot be seen over AMQP.
pub(super) const NOT_CHECKED: &str = "the broker's policies, which can cut queues and the lives of messages short \
                                      (rabbitmqctl list_policies)";

/// Whether the fleet's queue is a RabbitMQ.
pub(super) fn is_one(fleet: &Fleet) -> bool {
    matches!(fleet.queue_url.scheme(), "amqp" | "amqps")
}

/// All of them. What follows from something that failed is left out.
pub(super) async fn checks(yard: &Yard) -> Vec<Check> {
    let Inspection {
        version,
        arguments,
        use_of_it,
    } = match inspect(yard.fleet.queue_url.expose()).await {
        Ok(inspection) => inspection,
        Err(error) => return vec![check("broker", Err(error.into()))],
    };
    let mut found = broker(version.as_deref());
    found.extend(queues(arguments));
    match use_of_it {
        Some(Ok(Usable { rights, paths })) => {
            found.push(permissions(&rights));
            found.extend(ways(&rights, paths));
        }
        Some(Err(error)) => found.push(check("broker publishing", Err(error))),
        None => {}
    }
    found
}

fn broker(version: Option<&str>) -> Vec<Check> {
    const TIMER: &str = "a message that is not acknowledged in 30 min is taken back, unless consumer_timeout in rabbitmq.conf \
                         says otherwise (rabbitmqctl environment tells)";
    const MEANS: &str = "a longer job's message is delivered a second time, which finds the job running and is put off: nothing \
                         is lost, and nothing is trained twice";
    let Some(version) = version else {
        return vec![
            check("broker", Ok("it answers; its version is not told".into())),
            check("broker timer", Ok(format!("{TIMER}; {MEANS}"))),
        ];
    };
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if number < OLDEST {
        let old = anyhow!("RabbitMQ {version} is too old: 3.10 or newer is needed");
        return vec![check("broker", Err(old))];
    }
    let of_queues = if number < TIMER_OF_A_QUEUE {
        "; this version ignores the x-consumer-timeout of a queue, so no queue can be given more"
    } else {
        ", or x-consumer-timeout of a queue"
    };
    vec![
        check("broker", Ok(format!("RabbitMQ {version}"))),
        check("broker timer", Ok(format!("{TIMER}{of_queues}; {MEANS}"))),
    ]
}

fn queues(arguments: Compared) -> Vec<Check> {
    const WHAT: &str = "broker queues";
    match arguments {
        Compared::Same => {
            let found = "all there, with the arguments of this version: quorum queues, delivery limit, dead letters";
            vec![check(WHAT, Ok(found.into()))]
        }
        Compared::NotAllowed => {
            let found = "all there; only a user who may configure them can compare their arguments";
            vec![check(WHAT, Ok(found.into()))]
        }
        Compared::Different(differences) => {
            let each = differences.into_iter().map(|text| check(WHAT, Err(anyhow!(text))));
            each.collect()
        }
    }
}

/// Which of the roles of deploy/rabbitmq/README.md the user has.
fn permissions(rights: &Rights) -> Check {
    const WHAT: &str = "broker permissions";
    let missing = rights.missing();
    let takes = rights.take.iter().any(|may| *may);
    let found = match (rights.publish && rights.delay, takes || rights.bury) {
        _ if missing.is_empty() && rights.configure => {
            "those of an administrator; dispatchers and workers need less (deploy/rabbitmq/README.md)"
        }
        _ if missing.is_empty() => "those of a worker",
        (true, false) => "those of a dispatcher: it takes no messages",
        (false, false) if !rights.publish && !rights.delay => {
            return warning(
                WHAT,
                "those of a reader: it can publish and take nothing; a dispatcher or worker needs more \
                 (deploy/rabbitmq/README.md)",
            );
        }
        _ => {
            let role = if takes || rights.bury { "worker" } else { "dispatcher" };
            let needed = missing
                .into_iter()
                .filter(|right| role == "worker" || !right.ends_with("dead") && right.starts_with("write"));
            let needed: Vec<String> = needed.collect();
            return warning(
                WHAT,
                format!(
                    "a {role} also needs {}; rabbitmqctl set_permissions as in deploy/rabbitmq/README.md",
                    needed.join(", ")
                ),
            );
        }
    };
    check(WHAT, Ok(found.into()))
}

fn ways(rights: &Rights, paths: Paths) -> Vec<Check> {
    if !paths.broken.is_empty() {
        let each = paths
            .broken
            .into_iter()
            .map(|text| check("broker paths", Err(anyhow!(text))));
        return each.collect();
    }
    let mut found = Vec::new();
    if rights.publish {
        found.push(check(
            "broker publishing",
            Ok("confirmed; a message that no queue takes comes back".into()),
        ));
    }
    if rights.publish && rights.delay {
        let tried = match paths.untried.as_slice() {
            [] => "probes went every way to the work queues, at once and by each delay".to_owned(),
            untried => format!(
                "probes went every way to the work queues but {}, where messages wait or nobody could take a probe out",
                untried.join(", ")
            ),
        };
        found.push(check("broker paths", Ok(tried)));
    }
    if rights.bury {
        let tried = match paths.died_and_read_back {
            true => "a probe that died came back, and each queue of dead letters takes one",
            false => "each queue of dead letters takes a probe",
        };
        found.push(check("broker dead letters", Ok(tried.into())));
    }
    found
}

/// Whether any of them failed.
pub(super) fn failed(found: &[Check]) -> bool {
    found.iter().any(|check| check.verdict == Verdict::Failed)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::{broker, permissions};
    use shared::queue::rabbitmq::Rights;

    #[test]
    fn versions_are_told_apart() {
        for (version, verdict, says) in [
            ("3.9.29", Verdict::Failed, "too old"),
            ("3.10.8", Verdict::Ok, "ignores the x-consumer-timeout"),
            ("3.12.0", Verdict::Ok, "or x-consumer-timeout of a queue"),
            ("4.1.2", Verdict::Ok, "nothing is trained twice"),
        ] {
            let found = broker(Some(version));
            let last = found.last().expect("a check");
            assert_eq!(last.verdict, verdict, "{version}");
            assert!(last.found.contains(says), "{}", last.found);
            assert!(found[0].found.contains(version), "{}", found[0].found);
        }
        assert!(broker(None).iter().all(|check| check.verdict == Verdict::Ok));
    }

    #[test]
    fn roles_are_told_apart_and_what_they_lack_is_named() {
        let rights = |configure, publish, delay, bury, take| Rights {
            configure,
            publish,
            delay,
            bury,
            take,
        };
        let (all, none) = ([true; 3], [false; 3]);
        for (rights, verdict, says) in [
            (rights(true, true, true, true, all), Verdict::Ok, "administrator"),
            (rights(false, true, true, true, all), Verdict::Ok, "a worker"),
            (rights(false, true, true, false, none), Verdict::Ok, "a dispatcher"),
            (rights(false, false, false, false, none), Verdict::Warning, "a reader"),
            (
                rights(false, true, true, false, all),
                Verdict::Warning,
                "a worker also needs write on trainyard.dead;",
            ),
            (
                rights(false, true, true, true, [true, false, true]),
                Verdict::Warning,
                "a worker also needs read on trainyard.gpu;",
            ),
            (
                rights(false, true, false, false, none),
                Verdict::Warning,
                "a dispatcher also needs write on trainyard.delay.9;",
            ),
            (
                rights(true, false, true, true, all),
                Verdict::Warning,
                "a worker also needs write on trainyard;",
            ),
        ] {
            let check = permissions(&rights);
            assert_eq!(check.verdict, verdict, "{rights:?}");
            assert!(check.found.contains(says), "{rights:?}: {}", check.found);
        }
    }
}
