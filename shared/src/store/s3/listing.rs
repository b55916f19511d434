//! What lies below a prefix, over all pages.

use super::S3Store;
use super::errors::{Refusal, unavailable};
use super::server_time::ServerTime;
use crate::store::{Entry, Key, StoreError};
use anyhow::anyhow;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use std::collections::BTreeSet;

impl S3Store {
    /// Every object below `prefix` whose name is a key, in order of keys.
    pub(super) async fn entries(&self, prefix: &Key) -> Result<Vec<Entry>, StoreError> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let time = ServerTime::default();
            let page = self.page(prefix, None, next, &time).await?;
            for object in page.contents() {
                let Some(key) = object.key().and_then(|name| self.address.key(name)) else {
                    continue;
                };
                found.push(Entry {
                    key,
                    size: object
                        .size()
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or_default(),
                    age_seconds: time.age(object.last_modified()),
                });
            }
            next = following(prefix, &page)?;
            if next.is_none() {
                break;
            }
        }
        // S3 lists in this order; not every server does.
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// Names one level below `prefix`, in order.
    pub(super) async fn names(&self, prefix: &Key) -> Result<Vec<String>, StoreError> {
        let skip = self.address.name(prefix).len() + 1;
        let mut found = BTreeSet::new();
        let mut next = None;
        loop {
            let page = self.page(prefix, Some("/"), next, &ServerTime::default()).await?;
            let folders = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
            let objects = page.contents().iter().filter_map(|object| object.key());
            for name in folders.map(|folder| folder.trim_end_matches('/')).chain(objects) {
                // The marker of an empty folder, as some tools make them, is no object of ours.
                if self.address.key(name).is_some()
                    && let Some(name) = name.get(skip..)
                {
                    found.insert(name.to_owned());
                }
            }
            next = following(prefix, &page)?;
            if next.is_none() {
                return Ok(found.into_iter().collect());
            }
        }
    }

    async fn page(
        &self,
        prefix: &Key,
        delimiter: Option<&str>,
        next: Option<String>,
        time: &ServerTime,
    ) -> Result<ListObjectsV2Output, StoreError> {
        let request = self.clients.repeating.list_objects_v2();
        let request = request
            .bucket(&self.address.bucket)
            .prefix(format!("{}/", self.address.name(prefix)))
            .set_delimiter(delimiter.map(str::to_owned))
            .set_continuation_token(next);
        let answer = request.customize().interceptor(time.clone()).send().await;
        answer.map_err(|error| Refusal::from(error).reading(prefix))
    }
}

fn following(prefix: &Key, page: &ListObjectsV2Output) -> Result<Option<String>, StoreError> {
    match (page.is_truncated(), page.next_continuation_token()) {
        (Some(true), Some(token)) => Ok(Some(token.to_owned())),
        (Some(true), None) => Err(unavailable(
            prefix,
            anyhow!("the store cut its list and does not go on"),
        )),
        _ => Ok(None),
    }
}
