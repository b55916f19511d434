//! What can be learnt of the queues without changing them, for `dispatcher doctor`.

use super::service::{Refused, Service};
use super::topology::{self, QueueOf, RECEIVES, RETENTION, SIZE};
use super::{read, unreachable};
use crate::aws::AwsAccess;
use crate::connect::ConnectError;
use anyhow::{Context, anyhow};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// A look at the queues.
#[derive(Debug)]
pub struct Inspection {
    /// Whatever is not as `dispatcher setup` makes it.
    pub differences: Vec<Difference>,
    /// Queues into which we may not send; dispatchers need the work queues, workers all.
    pub no_sending: Vec<String>,
}

/// One attribute of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whether jobs suffer from it; otherwise a person should know.
    pub is_harmful: bool,
    /// Attribute, what it is and what was expected.
    pub found: String,
    /// What it means, and what to do.
    pub remedy: String,
}

/// Attributes of a queue as SQS tells them.
#[derive(Debug, Default)]
pub(super) struct Facts(HashMap<String, String>);

impl Facts {
    pub(super) async fn of(service: &Service, url: &str) -> Result<Self, Refused> {
        let call = service.client.get_queue_attributes().queue_url(url);
        let call = call.attribute_names(QueueAttributeName::All).send();
        let found = service.call("read a queue's attributes", Duration::ZERO, call).await?;
        let found = found.attributes.unwrap_or_default();
        Ok(Self(
            found
                .into_iter()
                .map(|(name, value)| (name.as_str().to_owned(), value))
                .collect(),
        ))
    }

    pub(super) fn arn(&self) -> anyhow::Result<String> {
        let arn = self.0.get("QueueArn").context("SQS told no name (ARN) of a queue")?;
        Ok(arn.clone())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// A policy in JSON.
    fn policy(&self, name: &str) -> Value {
        serde_json::from_str(self.text(name)).unwrap_or_default()
    }
}

/// Looks at the queues of a URL. All must be there: [`super::SqsQueue::connect`] says whether they are.
///
/// # Errors
/// As [`super::SqsQueue::connect`].
pub async fn inspect(url: &str, aws: &AwsAccess) -> Result<Inspection, ConnectError> {
    let address = read(url)?;
    let looked = look(&Service::new(&address, aws).await, &address.prefix).await;
    looked.map_err(|source| unreachable(&address.shown, source))
}

async fn look(service: &Service, prefix: &str) -> anyhow::Result<Inspection> {
    let urls = super::setup::check(service, prefix).await?;
    let mut inspection = Inspection {
        differences: Vec::new(),
        no_sending: Vec::new(),
    };
    let mut arns = HashMap::new();
    for queue in topology::expected(prefix) {
        let url = urls.get(&queue.name).context("every queue was found")?;
        let facts = Facts::of(service, url).await?;
        let dead = queue.dead.as_ref().and_then(|name| arns.get(name));
        let found = differences(&queue, &facts, dead.map(String::as_str));
        inspection.differences.extend(found.into_iter().map(|one| Difference {
            found: format!("queue {}: {}", queue.name, one.found),
            ..one
        }));
        if !may_send(service, url).await? {
            inspection.no_sending.push(queue.name.clone());
        }
        arns.insert(queue.name, facts.arn()?);
    }
    Ok(inspection)
}

/// Tries a message that SQS refuses for its delay: who may not send hears of that instead, and no message is there
/// afterwards, whatever came of it.
async fn may_send(service: &Service, url: &str) -> anyhow::Result<bool> {
    const TOO_LONG: i32 = 901;
    let call = service.client.send_message().queue_url(url).message_body("probe");
    let call = call.delay_seconds(TOO_LONG).send();
    match service.call("try to send", Duration::ZERO, call).await {
        Err(refused) if refused.is("InvalidParameterValue") => Ok(true),
        Err(refused) if refused.is_not_allowed() => Ok(false),
        Err(refused) => Err(refused.into()),
        Ok(_) => Err(anyhow!(
            "SQS took a message with a delay of {TOO_LONG} s: it is none of this version"
        )),
    }
}

/// Attribute by attribute. `dead`: the ARN of the queue for its dead letters.
pub(super) fn differences(queue: &QueueOf, facts: &Facts, dead: Option<&str>) -> Vec<Difference> {
    let mut all = Vec::new();
    if facts.text("FifoQueue") == "true" {
        all.push(difference(
            true,
            "it is a FIFO queue",
            "only standard queues can be used: make it anew as one",
        ));
    }
    for (name, expected) in queue.attributes() {
        let Some(found) = facts.number(name).filter(|found| *found != u64::from(expected)) else {
            continue;
        };
        let (is_harmful, remedy) = match name {
            "MessageRetentionPeriod" if found < u64::from(RETENTION) => {
                (true, "what waits or is buried for longer is deleted: set it to 14 days")
            }
            "DelaySeconds" => (
                false,
                "harmless here, since every message says its own; others wait: set it to 0",
            ),
            "VisibilityTimeout" => (
                false,
                "harmless here, since every receive says its own (the URL's visibility)",
            ),
            _ => (false, "harmless here, since every receive says its own"),
        };
        all.push(difference(
            is_harmful,
            &format!("{name} is {found}, expected {expected}"),
            remedy,
        ));
    }
    if let Some(size) = facts
        .number("MaximumMessageSize")
        .filter(|size| *size < u64::from(SIZE))
    {
        let found = format!("MaximumMessageSize is {size}, expected at least {SIZE}");
        all.push(difference(
            true,
            &found,
            "dead letters with a long reason are refused: raise it",
        ));
    }
    match dead {
        Some(dead) => redrive(&facts.policy("RedrivePolicy"), dead, &mut all),
        None => allows(facts, &mut all),
    }
    all
}

fn difference(is_harmful: bool, found: &str, remedy: &str) -> Difference {
    Difference {
        is_harmful,
        found: found.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// Of a work queue: what SQS itself buries, and where.
fn redrive(policy: &Value, dead: &str, all: &mut Vec<Difference>) {
    let Some(target) = policy["deadLetterTargetArn"].as_str() else {
        let remedy =
            format!("a message that kills its worker is delivered for 14 days: set deadLetterTargetArn {dead}");
        all.push(difference(true, "it has no RedrivePolicy", &remedy));
        return;
    };
    if target != dead {
        let found = format!("RedrivePolicy names {target}, expected {dead}");
        all.push(difference(
            true,
            &found,
            "dead letters land where nobody looks: correct deadLetterTargetArn",
        ));
    }
    let count = &policy["maxReceiveCount"];
    // A number; some servers and tools write a text.
    let receives = count
        .as_u64()
        .or_else(|| count.as_str()?.parse().ok())
        .unwrap_or_default();
    if receives < u64::from(RECEIVES) {
        let found = format!("maxReceiveCount is {receives}, expected {RECEIVES}");
        let remedy = "jobs that are interrupted or long are buried though they are well: raise it; attempts are counted in the ledger";
        all.push(difference(true, &found, remedy));
    }
}

/// Of a queue for dead letters: that it takes them, and keeps them.
fn allows(facts: &Facts, all: &mut Vec<Difference>) {
    if facts.policy("RedriveAllowPolicy")["redrivePermission"] == "denyAll" {
        let remedy = "SQS cannot bury what is received too often: allow the work queue as a source";
        all.push(difference(true, "RedriveAllowPolicy is denyAll", remedy));
    }
    if facts.policy("RedrivePolicy")["deadLetterTargetArn"].is_string() {
        let remedy = "who looks at dead letters may lose them to a third queue: remove it";
        all.push(difference(false, "it has a RedrivePolicy of its own", remedy));
    }
}
