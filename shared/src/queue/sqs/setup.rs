//! Making the queues, and looking whether they are there.

use super::inspect::{Facts, differences};
use super::service::{Refused, Service};
use super::topology::{self, QueueOf, RECEIVES};
use super::{read, unreachable};
use crate::aws::AwsAccess;
use crate::connect::ConnectError;
use crate::queue::{Found, Made};
use anyhow::{Context, anyhow, bail};
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::try_join_all;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

/// Makes the queues of a URL. What is there already stays as it is; repeating it changes nothing.
///
/// # Errors
/// As [`super::SqsQueue::connect`]; and for a queue with other attributes, named with what was expected and found.
/// What was made before stays.
pub async fn setup(url: &str, aws: &AwsAccess) -> Result<Vec<Made>, ConnectError> {
    let address = read(url)?;
    let made = make_all(&Service::new(&address, aws).await, &address.prefix).await;
    made.map_err(|source| unreachable(&address.shown, source))
}

async fn make_all(service: &Service, prefix: &str) -> anyhow::Result<Vec<Made>> {
    if let Some(account) = &service.account {
        bail!("queues are made by their own account: leave {account} out of the URL, with its keys");
    }
    let mut made = Vec::new();
    let mut arns = HashMap::new();
    for queue in topology::expected(prefix) {
        let dead = queue.dead.as_ref().and_then(|name| arns.get(name)).cloned();
        let (url, found) = match service.find(&queue.name).await? {
            Some(url) => (url, Found::ThereAlready),
            None => (make(service, &queue, dead.as_deref()).await?, Found::Made),
        };
        let facts = Facts::of(service, &url).await?;
        if found == Found::ThereAlready {
            leave_or_refuse(&queue, &facts, dead.as_deref())?;
        }
        arns.insert(queue.name.clone(), facts.arn()?);
        made.push(Made {
            what: format!("queue {}", queue.name),
            found,
        });
    }
    Ok(made)
}

async fn make(service: &Service, queue: &QueueOf, dead: Option<&str>) -> anyhow::Result<String> {
    let attributes = queue.attributes().map(|(name, value)| (name, value.to_string()));
    let redrive = dead.map(|arn| json!({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES}).to_string());
    let redrive = redrive.map(|policy| ("RedrivePolicy", policy));
    let attributes: HashMap<_, _> = attributes
        .into_iter()
        .chain(redrive)
        .map(|(name, value)| (QueueAttributeName::from(name), value))
        .collect();
    let call = service.client.create_queue().queue_name(&queue.name);
    let call = call.set_attributes(Some(attributes)).send();
    let what = format!("make the queue {}", queue.name);
    let made = service.call(&what, Duration::ZERO, call).await?;
    made.queue_url
        .with_context(|| format!("failed to {what}: SQS did not say where it is"))
}

fn leave_or_refuse(queue: &QueueOf, facts: &Facts, dead: Option<&str>) -> anyhow::Result<()> {
    let all = differences(queue, facts, dead);
    if all.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = all.iter().map(|difference| difference.found.clone()).collect();
    Err(anyhow!(
        "the queue {} exists with other attributes than this version's, and was left as it is: {}; change them \
         (aws sqs set-queue-attributes), or use another prefix",
        queue.name,
        all.join("; ")
    ))
}

/// Where every queue is, by name; attributes only `setup` and `doctor` compare.
pub(super) async fn check(service: &Service, prefix: &str) -> anyhow::Result<HashMap<String, String>> {
    let look = async |queue: QueueOf| match service.find(&queue.name).await? {
        Some(url) => Ok((queue.name, url)),
        None => Err(missing(service, &queue.name).await?),
    };
    let found = try_join_all(topology::expected(prefix).into_iter().map(look)).await?;
    Ok(found.into_iter().collect())
}

/// What to say of a queue that is not there.
async fn missing(service: &Service, name: &str) -> Result<anyhow::Error, Refused> {
    let fifo = format!("{name}.fifo");
    // Who may not ask for other names is told all the same.
    let is_fifo = matches!(service.find(&fifo).await, Ok(Some(_)));
    Ok(if is_fifo {
        anyhow!(
            "there is a queue {fifo}, but FIFO queues cannot be used; `dispatcher setup` makes the standard queue {name}"
        )
    } else {
        anyhow!(
            "there is no queue {name}: run `dispatcher setup`, or make those of `dispatcher setup --print-definitions`"
        )
    })
}
