//! Queues of SQS in moto: a prefix a test.

use crate::aws::{ACCESS_KEY, AwsServer, REGION, SECRET_KEY};
use serde_json::{Value, json};
use shared::aws::{AwsAccess, AwsKeys};
use shared::job::Accelerator;
use shared::queue::Message;
use shared::queue::sqs::{SqsQueue, setup, topology};
use std::time::Duration;

/// Queues that nobody else has.
#[derive(Debug)]
pub struct Yard {
    endpoint: String,
    prefix: String,
}

impl Yard {
    /// A prefix without queues.
    #[must_use]
    pub fn bare() -> Self {
        let server = AwsServer::get();
        Self {
            endpoint: server.endpoint().to_owned(),
            prefix: server.fresh_name("yard"),
        }
    }

    /// A prefix with all queues.
    ///
    /// # Panics
    /// If they cannot be made.
    pub async fn new() -> Self {
        let yard = Self::bare();
        setup(&yard.url(), &yard.access()).await.expect("sets up");
        yard
    }

    /// The same queues, reached through another endpoint.
    #[must_use]
    pub fn through(&self, endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            prefix: self.prefix.clone(),
        }
    }

    /// What the queues' names begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `sqs://PREFIX`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("sqs://{}", self.prefix)
    }

    /// How they are reached.
    #[must_use]
    pub fn access(&self) -> AwsAccess {
        AwsAccess {
            sqs_endpoint: Some(self.endpoint.clone()),
            region: Some(REGION.to_owned()),
            keys: Some(AwsKeys {
                id: ACCESS_KEY.to_owned().into(),
                secret: SECRET_KEY.to_owned().into(),
                session: None,
            }),
            ..AwsAccess::default()
        }
    }

    /// What a binary's environment needs to use them.
    #[must_use]
    pub fn variables(&self, parameters: &str) -> Vec<(String, String)> {
        [
            ("TRAINYARD_QUEUE_URL", format!("{}{parameters}", self.url())),
            ("AWS_ENDPOINT_URL_SQS", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The queue with a visibility, and a longest hold of a delivery.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn queue(&self, visibility: Duration, hold: Duration) -> SqsQueue {
        let url = format!(
            "{}?visibility={}s&hold={}s",
            self.url(),
            visibility.as_secs(),
            hold.as_secs()
        );
        SqsQueue::connect(&url, &self.access()).await.expect("a queue")
    }

    /// A call of SQS in JSON, as nobody of ours makes it.
    ///
    /// # Panics
    /// If moto refuses.
    pub async fn call(&self, action: &str, body: Value) -> Value {
        let request = reqwest::Client::new()
            .post(format!("{}/", AwsServer::get().endpoint()))
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .header("content-type", "application/x-amz-json-1.0")
            // moto reads region and service of it, and believes everybody.
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, \
                     Signature=0"
                ),
            )
            .body(body.to_string());
        let answer = request.send().await.expect("moto answers");
        let status = answer.status();
        let text = answer.text().await.expect("text");
        assert!(status.is_success(), "{action}: {text}");
        serde_json::from_str(if text.is_empty() { "{}" } else { &text }).expect("JSON")
    }

    /// Where moto has a queue.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/123456789012/{name}", AwsServer::get().endpoint())
    }

    /// Sends a text that need not be a message of ours.
    pub async fn send_text(&self, to: Accelerator, text: &str) {
        let url = self.queue_url(&topology::work_queue(&self.prefix, to));
        self.call("SendMessage", json!({"QueueUrl": url, "MessageBody": text}))
            .await;
    }

    /// Sends a message as one of 15 min and a rest arrives: with the rest of its delay.
    ///
    /// # Panics
    /// If moto refuses.
    pub async fn send_later(&self, to: Accelerator, message: &Message, rest: Duration) {
        let url = self.queue_url(&topology::work_queue(&self.prefix, to));
        let body = serde_json::to_string(message).expect("JSON");
        let rest = json!({"DataType": "Number", "StringValue": rest.as_millis().to_string()});
        let ask = json!({"QueueUrl": url, "MessageBody": body, "MessageAttributes": {"trainyard-later-ms": rest}});
        self.call("SendMessage", ask).await;
    }

    /// Up to ten dead letters, with all attributes; they stay.
    ///
    /// # Panics
    /// If moto answers something else.
    pub async fn dead_letters(&self, of: Accelerator) -> Vec<Value> {
        let url = self.queue_url(&topology::dead_queue(&self.prefix, of));
        let ask = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0,
                         "MessageAttributeNames": ["All"]});
        let found = self.call("ReceiveMessage", ask).await;
        found["Messages"].as_array().cloned().unwrap_or_default()
    }
}
