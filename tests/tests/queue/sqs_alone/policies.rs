//! deploy/iam against what the programs really ask SQS for: a role may exactly that.

use super::{action, body, take};
use crate::{HOLD, SHORT};
use serde_json::Value;
use shared::job::Accelerator;
use shared::queue::sqs::{inspect, setup};
use shared::queue::{Queue, Settlement};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tests::aws::AwsServer;
use tests::http_faults::Faults;
use tests::queue_suite::{expect, message};
use tests::sqs::Yard;

const CPU: Accelerator = Accelerator::Cpu;

/// An action, and whether it is on a queue for dead letters.
type Right = (String, bool);

/// What a policy allows. Nothing with a wildcard.
fn allowed(role: &str) -> BTreeSet<Right> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/iam/sqs-{role}.json"));
    let policy = std::fs::read_to_string(path).expect("the file");
    assert!(!policy.contains('*'), "{role}: {policy}");
    let policy: Value = serde_json::from_str(&policy).expect("JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    let mut all = BTreeSet::new();
    for statement in policy["Statement"].as_array().expect("statements") {
        assert_eq!(statement["Effect"], "Allow");
        let texts = |name: &str| -> Vec<String> { serde_json::from_value(statement[name].clone()).expect("texts") };
        let resources: BTreeSet<String> = texts("Resource").into_iter().collect();
        let work: BTreeSet<String> = Accelerator::ALL
            .into_iter()
            .map(|accelerator| format!("arn:aws:sqs:REGION:ACCOUNT:trainyard-{accelerator}"))
            .collect();
        let dead: BTreeSet<String> = work.iter().map(|name| format!("{name}-dead")).collect();
        for action in texts("Action") {
            let action = action.strip_prefix("sqs:").expect("SQS").to_owned();
            let both: BTreeSet<String> = work.union(&dead).cloned().collect();
            assert!(resources == work || resources == both, "{role}: {resources:?}");
            all.insert((action.clone(), false));
            if resources == both {
                all.insert((action, true));
            }
        }
    }
    all
}

fn asked(faults: &Faults) -> BTreeSet<Right> {
    let right = |request: &tests::http_faults::Request| {
        let body = body(request);
        let queue = body["QueueUrl"]
            .as_str()
            .or(body["QueueName"].as_str())
            .expect("a queue");
        (action(request).to_owned(), queue.ends_with("-dead"))
    };
    faults.seen().iter().map(right).collect()
}

#[tokio::test]
async fn roles_may_what_they_ask_for_and_no_more() {
    let faults = Faults::before(AwsServer::get().endpoint()).await;
    let yard = Yard::bare().through(faults.endpoint());
    setup(&yard.url(), &yard.access()).await.expect("makes");
    setup(&yard.url(), &yard.access()).await.expect("compares");
    assert_eq!(asked(&faults), allowed("setup"));

    let queue = yard.queue(SHORT, HOLD).await;
    queue.depth(CPU).await.expect("counts");
    assert_eq!(asked(&faults), allowed("reader"));

    let queue = yard.queue(SHORT, HOLD).await;
    for delay in [0, 1, 1000] {
        let delay = Duration::from_secs(delay);
        queue.publish(&message(1), delay).await.expect("publishes");
    }
    queue.depth(CPU).await.expect("counts");
    assert_eq!(asked(&faults), allowed("dispatcher"));

    let queue = yard.queue(SHORT, HOLD).await;
    let settlements = [
        Settlement::Release,
        Settlement::Retry { after: Duration::ZERO },
        Settlement::Dead { reason: "test".into() },
    ];
    for settlement in settlements {
        let receipt = expect(&queue).await.receipt;
        queue.extend(&receipt).await.expect("extends");
        queue.settle(receipt, settlement).await.expect("settles");
    }
    take(&queue).await;
    queue.depth(CPU).await.expect("counts");
    // What a worker puts off for long is published anew.
    queue.publish(&message(1), Duration::ZERO).await.expect("publishes");
    assert_eq!(asked(&faults), allowed("worker"));

    // What the doctor looks at, everybody may look at; that sending is not allowed is one of its findings.
    inspect(&yard.url(), &yard.access()).await.expect("looks");
    let looked: BTreeSet<Right> = asked(&faults)
        .into_iter()
        .filter(|(action, _)| action != "SendMessage")
        .collect();
    assert_eq!(looked, allowed("reader"));
}
