//! Two clients of one bucket: one repeats what fails, the other never does.

use crate::aws::AwsAccess;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use std::time::Duration;

/// A host that does not take a connection in this time is away.
const CONNECT: Duration = Duration::from_secs(4);
/// One request until its answer begins. No longer than a lease of default length may wait for its renewal.
const ANSWER: Duration = Duration::from_secs(10);
/// Tries of a request that may be repeated.
const TRIES: u32 = 5;

/// Clients for one store.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// For requests that may be sent twice: reads, deletions, parts.
    pub(super) repeating: Client,
    /// For conditional writes, whose repetition is the caller's business: it alone knows what a lost answer means.
    pub(super) once: Client,
    /// The server, if it is not AWS's by its own name.
    pub(super) endpoint: Option<String>,
}

impl Clients {
    pub(super) async fn open(access: &AwsAccess) -> Self {
        let shared = access.config().await;
        // A profile may name one too. One for S3 alone in a profile's section `services` is not looked at: how copies
        // are made depends on knowing the server.
        let endpoint = access
            .s3_endpoint
            .clone()
            .or_else(|| shared.endpoint_url().map(str::to_owned));
        let path_style = access.s3_path_style.unwrap_or(endpoint.is_some());
        let mut config = Builder::from(&shared)
            .force_path_style(path_style)
            .timeout_config(timeouts(ANSWER))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Bodies are verified by their SHA-256, which also knows objects that were sent in parts.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
        config.set_endpoint_url(endpoint.clone());
        let tries = RetryConfig::standard()
            .with_max_attempts(TRIES)
            .with_initial_backoff(Duration::from_millis(100))
            .with_max_backoff(Duration::from_secs(5));
        let repeating = config.clone().retry_config(tries).build();
        Self {
            repeating: Client::from_conf(repeating),
            once: Client::from_conf(config.retry_config(RetryConfig::disabled()).build()),
            endpoint,
        }
    }
}

/// Limits for one try of a request; how often it is tried limits the whole.
pub(super) fn timeouts(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(answer)
        .build()
}

/// The limit for a request with a body of `size` bytes, on a line of at least 128 KiB a second.
pub(super) fn patience_for(size: u64) -> Duration {
    ANSWER + Duration::from_secs(size >> 17)
}

/// Overrides the limit of a single request.
pub(super) fn within(answer: Duration) -> Builder {
    Builder::new().timeout_config(timeouts(answer))
}
