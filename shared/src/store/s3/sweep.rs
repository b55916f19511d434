//! Uploads in parts that nobody completes any more.

use super::S3Store;
use super::errors::Refusal;
use super::server_time::ServerTime;
use crate::store::{Key, StoreError};
use std::time::Duration;

impl S3Store {
    /// Removes uploads to keys below `prefix` that began longer ago than `older_than`, by the server's clock.
    pub(super) async fn abort_old_uploads(&self, prefix: &Key, older_than: Duration) -> Result<u64, StoreError> {
        let mut aborted = 0;
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let time = ServerTime::default();
            let request = self.clients.repeating.list_multipart_uploads();
            let request = request
                .bucket(&self.address.bucket)
                .prefix(format!("{}/", self.address.name(prefix)))
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker);
            let page = request.customize().interceptor(time.clone()).send().await;
            let page = page.map_err(|error| Refusal::from(error).reading(prefix))?;
            for upload in page.uploads() {
                let (Some(name), Some(id)) = (upload.key(), upload.upload_id()) else {
                    continue;
                };
                let Some(key) = self.address.key(name) else { continue };
                if time.age(upload.initiated()) > older_than.as_secs() {
                    self.abort(&key, name, id).await?;
                    aborted += 1;
                }
            }
            (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key_marker.is_none() {
                return Ok(aborted);
            }
        }
    }
}
