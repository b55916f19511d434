//! Calls of SQS: in bounded time, once, and with errors that say what SQS said.

use super::address::Address;
use crate::aws::AwsAccess;
use anyhow::anyhow;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::StalledStreamProtectionConfig;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use std::time::Duration;

/// SQS for one address.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) client: Client,
    pub(super) account: Option<String>,
    /// An answer takes no longer, beyond what was asked to wait for.
    answer: Duration,
}

/// A call that came to nothing.
#[derive(Debug)]
pub(super) struct Refused {
    /// As SQS names it; `None` where no answer came.
    pub(super) code: Option<String>,
    pub(super) error: anyhow::Error,
}

impl Refused {
    /// Found before SQS was asked.
    pub(super) fn ours(error: anyhow::Error) -> Self {
        Self { code: None, error }
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref().is_some_and(|ours| ours.contains(code))
    }

    /// There is no such queue. SQS has two names for that, of two protocols.
    pub(super) fn is_no_queue(&self) -> bool {
        self.is("NonExistentQueue") || self.is("QueueDoesNotExist")
    }

    /// We may not.
    pub(super) fn is_not_allowed(&self) -> bool {
        self.is("AccessDenied")
    }

    /// The delivery is another's, ended, or cannot be held for longer.
    pub(super) fn is_not_ours(&self) -> bool {
        ["MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue"]
            .iter()
            .any(|code| self.is(code))
    }
}

impl From<Refused> for anyhow::Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

impl Service {
    pub(super) async fn new(address: &Address, aws: &AwsAccess) -> Self {
        let config = aws_sdk_sqs::config::Builder::from(&aws.config().await)
            // The seam promises none: the caller decides.
            .retry_config(RetryConfig::disabled())
            // A long poll is silent, and small bodies are bounded by `call`.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let config = match &aws.sqs_endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        Self {
            client: Client::from_conf(config.build()),
            account: address.account.clone(),
            answer: address.limits.answer,
        }
    }

    /// One call, which waits for `wait` at SQS.
    pub(super) async fn call<T, E>(
        &self,
        what: &str,
        wait: Duration,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Refused>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match tokio::time::timeout(self.answer + wait, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(refused(what, error)),
            Err(_) => Err(Refused {
                code: None,
                error: anyhow!("failed to {what}: no answer within {:?}", self.answer + wait),
            }),
        }
    }

    /// Where a queue is; `None`: nowhere.
    pub(super) async fn find(&self, name: &str) -> Result<Option<String>, Refused> {
        let call = self.client.get_queue_url().queue_name(name);
        let call = call.set_queue_owner_aws_account_id(self.account.clone());
        match self
            .call(&format!("find the queue {name}"), Duration::ZERO, call.send())
            .await
        {
            Ok(found) => Ok(found.queue_url),
            Err(refused) if refused.is_no_queue() => Ok(None),
            Err(refused) => Err(refused),
        }
    }
}

/// What SQS said, or what stood between us and it. The SDK's own text is of one word, and its `Debug` has whole answers.
fn refused<E>(what: &str, error: SdkError<E>) -> Refused
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    let error = match (&code, error.raw_response()) {
        (Some(code), _) => anyhow!("SQS said {code}: {}", error.message().unwrap_or("nothing more")),
        (None, Some(response)) => anyhow!("SQS said {}", response.status()),
        (None, None) => anyhow!(error),
    };
    Refused {
        code,
        error: error.context(format!("failed to {what}")),
    }
}
