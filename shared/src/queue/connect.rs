//! From a URL to a queue.

use super::embedded::EmbeddedQueue;
use super::rabbitmq::{Limits, RabbitQueue};
use super::sqs::SqsQueue;
use super::{Queue, visibility};
use crate::aws::AwsAccess;
use crate::connect::{ConnectError, without_credentials};
use crate::crash;
use std::path::Path;
use std::sync::Arc;

/// Opens the queue that `url` names: `embedded:PATH`, a file shared by the processes of one machine, or
/// `amqp(s)://user:password@host:port/vhost`, queues of a RabbitMQ ([`super::rabbitmq`]), or `sqs://PREFIX`, queues of
/// SQS ([`super::sqs`]), reached as `aws` says.
///
/// The file is created by the first `publish` or `receive`, so asking an empty place leaves no trace; that it cannot
/// be written is found here all the same.
///
/// # Errors
/// [`ConnectError::Url`] for a scheme that is unknown, [`ConnectError::Unreachable`] where
/// the file is no queue of this version, or cannot be written or created, or where the broker is away, refuses us or
/// lacks our queues.
pub async fn connect(url: &str, aws: &AwsAccess) -> Result<Arc<dyn Queue>, ConnectError> {
    open(url, aws).await.map(crash::around_queue)
}

async fn open(url: &str, aws: &AwsAccess) -> Result<Arc<dyn Queue>, ConnectError> {
    let fault = |reason: String| ConnectError::Url {
        what: "queue",
        url: without_credentials(url),
        reason,
    };
    let known = "known are embedded:PATH, for example TRAINYARD_QUEUE_URL=embedded:.trainyard/queue.db, \
                 amqp(s)://user:password@host:port/vhost and sqs://PREFIX";
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(fault(format!("it has no scheme; {known}")));
    };
    match scheme {
        "embedded" if rest.is_empty() => Err(fault(format!("it names no file; {known}"))),
        "embedded" if rest.starts_with("//") && !rest.starts_with("///") => Err(fault(
            "a file has no host: write embedded:PATH or embedded:///PATH".to_owned(),
        )),
        "embedded" => {
            let path = Path::new(rest.strip_prefix("//").unwrap_or(rest));
            let opened = EmbeddedQueue::open(path, visibility()).await;
            let unreachable = |source| ConnectError::Unreachable {
                what: "queue",
                url: url.to_owned(),
                source,
            };
            Ok(Arc::new(opened.map_err(unreachable)?))
        }
        "amqp" | "amqps" => Ok(Arc::new(RabbitQueue::connect(url, Limits::default()).await?)),
        "sqs" => Ok(Arc::new(SqsQueue::connect(url, aws).await?)),
        _ => Err(fault(format!("unknown scheme; {known}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_sqs_that_is_away_is_unreachable_and_a_bad_url_is_usage() {
        let keys = crate::aws::AwsKeys {
            id: "AKIA".to_owned().into(),
            secret: "s3cret".to_owned().into(),
            session: None,
        };
        let aws = AwsAccess {
            sqs_endpoint: Some("http://127.0.0.1:1".to_owned()),
            keys: Some(keys),
            ..AwsAccess::default()
        };
        let away = connect("sqs://yard", &aws).await.expect_err("nobody listens");
        assert!(!away.is_usage(), "{away}");
        let chain = format!("{:#}", anyhow::Error::from(away));
        assert!(chain.contains("sqs://yard") && !chain.contains("s3cret"), "{chain}");
        let wrong = connect("sqs://key:s3cret@queue", &aws)
            .await
            .expect_err("must be refused");
        assert!(wrong.is_usage() && !wrong.to_string().contains("s3cret"), "{wrong}");
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_unreachable_and_a_bad_url_is_usage() {
        let away = connect("amqp://user:s3cret@127.0.0.1:1/yard", &AwsAccess::default())
            .await
            .expect_err("nobody listens");
        assert!(!away.is_usage(), "{away}");
        let chain = format!("{:#}", anyhow::Error::from(away));
        assert!(!chain.contains("s3cret") && chain.contains("127.0.0.1:1"), "{chain}");
        let wrong = connect("amqp://user:s3cret@host/yard?no=1", &AwsAccess::default())
            .await
            .expect_err("must be refused");
        assert!(wrong.is_usage() && !wrong.to_string().contains("s3cret"), "{wrong}");
    }

    #[tokio::test]
    async fn unknown_schemes_are_told_the_known_ones() {
        for url in ["redis://x", "queue", "embedded:", "embedded://host/x", ""] {
            let error = connect(url, &AwsAccess::default()).await.expect_err("must be refused");
            assert!(
                error.is_usage() && error.to_string().contains("embedded:PATH"),
                "{url}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn connecting_creates_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        connect(
            &format!("embedded:{}/deep/queue.db", folder.path().display()),
            &AwsAccess::default(),
        )
        .await
        .expect("a queue");
        assert!(!folder.path().join("deep").exists());
    }

    #[tokio::test]
    async fn a_place_that_is_no_queue_is_unreachable() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(
            folder.path().join("text"),
            "no database at all, but long enough to be one ".repeat(40),
        )
        .expect("a file");
        for path in ["", "text", "text/below"] {
            let error = connect(
                &format!("embedded:{}/{path}", folder.path().display()),
                &AwsAccess::default(),
            )
            .await;
            let error = error.expect_err("must fail");
            assert!(!error.is_usage(), "{path}: {error}");
        }
    }
}
