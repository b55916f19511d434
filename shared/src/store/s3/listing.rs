//! What lies below a prefix, over all pages.

use super::S3Store;
use super::errors::{Refusal, unavailable};
use super::server_time::ServerTime;
use crate::store::{Entry, Key, StoreError};
use anyhow::anyhow;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;
use std::borrow::Cow;
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
                let name = object.key().and_then(|name| plain(&page, name));
                let Some(key) = name.and_then(|name| self.address.key(&name)) else {
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
            for name in folders.chain(objects).filter_map(|name| plain(&page, name)) {
                let name = name.trim_end_matches('/');
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
            // A name with a control character, which somebody else may make, is no XML.
            .encoding_type(EncodingType::Url)
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

/// A name of a page as it is; `None` where it is no text.
fn plain<'a>(page: &ListObjectsV2Output, name: &'a str) -> Option<Cow<'a, str>> {
    match page.encoding_type() {
        Some(EncodingType::Url) => decoded(name).map(Cow::Owned),
        _ => Some(Cow::Borrowed(name)),
    }
}

/// The encoding of forms: `+` is a space, `%41` a byte.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                *hex::decode(digits).ok()?.first()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn names_are_decoded_and_broken_ones_are_none() {
        for (encoded, plain) in [
            ("a/b-c_d.e~f", Some("a/b-c_d.e~f")),
            ("a+b%2Bc%20d", Some("a b+c d")),
            ("%e6%97%A5", Some("日")),
            ("100%25", Some("100%")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decoded(encoded).as_deref(), plain, "{encoded}");
        }
    }
}
