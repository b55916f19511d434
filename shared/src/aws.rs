//! How AWS's services are reached, from the fleet's settings and AWS's standard credential chain.

use crate::secret::Secret;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;

/// Endpoints, region and keys. What is not set is left to the standard chain: profile, web identity, container, instance.
#[derive(Debug, Clone, Default)]
pub struct AwsAccess {
    /// `TRAINYARD_S3_ENDPOINT`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`: a server that speaks S3.
    pub s3_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SQS` or `AWS_ENDPOINT_URL`.
    pub sqs_endpoint: Option<String>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`; else `us-east-1`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID` with its secret.
    pub keys: Option<AwsKeys>,
}

/// A pair of keys.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// `AWS_ACCESS_KEY_ID`.
    pub id: Secret,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: Secret,
    /// `AWS_SESSION_TOKEN`, for keys that end.
    pub session: Option<Secret>,
}

impl AwsAccess {
    #[expect(dead_code, reason = "the clients of S3 and SQS are next")]
    /// What both clients have in common. Neither endpoint nor retries: each client sets its own.
    pub(crate) async fn config(&self) -> SdkConfig {
        let region = self.region.clone().unwrap_or_else(|| "us-east-1".to_owned());
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region));
        if let Some(keys) = &self.keys {
            let session = keys.session.as_ref().map(|token| token.expose().to_owned());
            loader = loader.credentials_provider(Credentials::new(
                keys.id.expose(),
                keys.secret.expose(),
                session,
                None,
                "settings",
            ));
        }
        loader.load().await
    }
}
