//! A first look at the bucket, whose failures are explained.

use super::S3Store;
use super::errors::Refusal;
use anyhow::Context;

impl S3Store {
    /// Whether the bucket is there and lets itself be listed.
    ///
    /// # Errors
    /// What the server said, and what to do about it.
    pub async fn look(&self) -> anyhow::Result<()> {
        let request = self.clients.repeating.list_objects_v2();
        let request = request
            .bucket(&self.address.bucket)
            .prefix(self.address.root())
            .max_keys(1);
        match request.send().await.map_err(Refusal::from) {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let remedy = self.remedy(&refusal);
                Err(refusal.into_source()).context(remedy)
            }
        }
    }

    fn remedy(&self, refusal: &Refusal) -> String {
        let url = self.address.url();
        match (refusal.status(), refusal.code()) {
            (_, Some("NoSuchBucket")) => {
                format!("there is no bucket {}: create it, or name another", self.address.bucket)
            }
            (_, Some("RequestTimeTooSkewed")) => "this machine's clock is wrong: set it (NTP)".to_owned(),
            (_, Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken")) => {
                "the keys are not valid: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role".to_owned()
            }
            (Some(403), _) => format!("{url} must not be listed with these keys: deploy/iam says what they need"),
            (Some(301 | 307 | 400), _) => {
                format!("{} may lie in another region: set AWS_REGION", self.address.bucket)
            }
            (Some(404), _) => "the endpoint does not speak S3: look at TRAINYARD_S3_ENDPOINT".to_owned(),
            (None, _) => {
                "no answer: look at TRAINYARD_S3_ENDPOINT, the network, and whether there are keys (AWS_ACCESS_KEY_ID, AWS_PROFILE or a role)".to_owned()
            }
            _ => format!("{url} cannot be listed"),
        }
    }
}
