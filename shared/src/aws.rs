//! How AWS's services are reached, from the fleet's settings and AWS's standard credential chain.

use crate::secret::Secret;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;

/// Endpoints, region and keys. What is not set is left to the standard chain: profile, web identity, container, instance.
#[derive(Debug, Clone, Default)]
pub struct AwsAccess {
    /// `TRAINYARD_S3_ENDPOINT`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`: a server that speaks S3.
    pub s3_endpoint: Option<String>,
    /// `TRAINYARD_S3_PATH_STYLE`: the bucket in the path, not in the host's name; else so where an endpoint is set.
    pub s3_path_style: Option<bool>,
    /// `AWS_ENDPOINT_URL_SQS` or `AWS_ENDPOINT_URL`.
    pub sqs_endpoint: Option<String>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`; else that of the profile, else `us-east-1`.
    pub region: Option<String>,
    /// `AWS_PROFILE`: a section of AWS's own files.
    pub profile: Option<String>,
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
    /// What both clients have in common. Neither endpoint nor retries: each client sets its own.
    pub(crate) async fn config(&self) -> SdkConfig {
        let mut of_profile = ProfileFileRegionProvider::builder();
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(profile) = &self.profile {
            of_profile = of_profile.profile_name(profile);
            loader = loader.profile_name(profile);
        }
        let region = RegionProviderChain::first_try(self.region.clone().map(Region::new))
            .or_else(of_profile.build())
            .or_else(Region::from_static("us-east-1"));
        loader = loader.region(region);
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
