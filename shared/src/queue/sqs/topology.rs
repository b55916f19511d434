//! What has to be there: a pure list, which `dispatcher setup` makes and `dispatcher doctor` compares with.
//!
//! ```text
//! <prefix>-cpu   ──received 1000 times──► <prefix>-cpu-dead      and so for gpu and inf1
//! ```

use crate::job::Accelerator;
use serde_json::{Value, json};

/// Receives after which SQS itself buries a message: a last net, far above what the ledger's budgets allow. A spot kill
/// or a job beyond the longest hold counts as one.
pub const RECEIVES: u32 = 1000;
/// Seconds that SQS keeps a message, dead letters too: its longest, 14 days.
pub const RETENTION: u32 = 14 * 24 * 3600;
/// Seconds for who receives without saying how long; we always say.
pub const VISIBILITY: u32 = 60;
/// Seconds that a receive waits unless it says so; we always say.
pub const WAIT: u32 = 20;
/// Bytes that a message may need: a dead letter with its reason.
pub const SIZE: u32 = 8192;

/// A standard queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOf {
    /// Its name.
    pub name: String,
    /// Where SQS moves what was received too often; none for a dead-letter queue.
    pub dead: Option<String>,
}

impl QueueOf {
    /// Attributes by SQS's names, but for the redrive policy.
    #[must_use]
    pub fn attributes(&self) -> [(&'static str, u32); 4] {
        [
            ("VisibilityTimeout", VISIBILITY),
            ("MessageRetentionPeriod", RETENTION),
            ("ReceiveMessageWaitTimeSeconds", WAIT),
            ("DelaySeconds", 0),
        ]
    }
}

/// The queue that workers of an accelerator take from.
#[must_use]
pub fn work_queue(prefix: &str, accelerator: Accelerator) -> String {
    format!("{prefix}-{accelerator}")
}

/// The dead letters of an accelerator.
#[must_use]
pub fn dead_queue(prefix: &str, accelerator: Accelerator) -> String {
    format!("{prefix}-{accelerator}-dead")
}

/// All queues, those for dead letters first, since the others name them.
#[must_use]
pub fn expected(prefix: &str) -> Vec<QueueOf> {
    let dead = Accelerator::ALL.into_iter().map(|accelerator| QueueOf {
        name: dead_queue(prefix, accelerator),
        dead: None,
    });
    let work = Accelerator::ALL.into_iter().map(|accelerator| QueueOf {
        name: work_queue(prefix, accelerator),
        dead: Some(dead_queue(prefix, accelerator)),
    });
    dead.chain(work).collect()
}

/// The same as a CloudFormation template.
#[must_use]
pub fn definitions(prefix: &str) -> String {
    let mut resources = serde_json::Map::new();
    for queue in expected(prefix) {
        let mut properties = serde_json::Map::new();
        properties.insert("QueueName".into(), json!(queue.name));
        for (name, value) in queue.attributes() {
            properties.insert(name.into(), json!(value));
        }
        if let Some(dead) = &queue.dead {
            let target = json!({"Fn::GetAtt": [resource(dead), "Arn"]});
            properties.insert(
                "RedrivePolicy".into(),
                json!({"deadLetterTargetArn": target, "maxReceiveCount": RECEIVES}),
            );
        }
        resources.insert(
            resource(&queue.name),
            json!({"Type": "AWS::SQS::Queue", "Properties": Value::Object(properties)}),
        );
    }
    let template = json!({"AWSTemplateFormatVersion": "2010-09-09", "Resources": Value::Object(resources)});
    format!("{template:#}")
}

/// CloudFormation's names of resources are letters and digits.
fn resource(queue: &str) -> String {
    queue
        .split(['-', '_'])
        .flat_map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or(("", ""));
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_queue_has_a_dead_letter_queue_made_before_it() {
        let all = expected("yard");
        for (at, queue) in all.iter().enumerate() {
            let Some(dead) = &queue.dead else { continue };
            assert!(all[..at].iter().any(|before| before.name == *dead), "{queue:?}");
        }
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn the_template_refers_to_its_own_resources() {
        let template: Value = serde_json::from_str(&definitions("my-yard_2")).expect("JSON");
        let cpu = &template["Resources"]["MyYard2Cpu"]["Properties"];
        assert_eq!(cpu["QueueName"], "my-yard_2-cpu");
        let dead = cpu["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
            .as_str()
            .expect("a name");
        assert_eq!(
            template["Resources"][dead]["Properties"]["QueueName"],
            "my-yard_2-cpu-dead"
        );
    }
}
