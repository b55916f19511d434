//! Copies on the server that overwrite nothing.
//!
//! AWS's CopyObject takes `If-None-Match: *` (since October 2025). Other servers may not know that header there and
//! ignore it: moto 5.2 does, and overwrites (a test shows it), though it keeps the same header on PutObject and
//! CompleteMultipartUpload. Looking first and copying then would let two copies win. So where the server is not AWS's
//! own, a copy is made of one of the requests that every server with conditional writes keeps: small objects are read
//! and created, larger ones are made of parts that the server copies itself.

use super::S3Store;
use super::errors::{Refusal, conflict, unavailable};
use super::objects::{Found, Head};
use crate::store::{Conflict, Key, StoreError};
use anyhow::anyhow;
use aws_sdk_s3::types::{CompletedPart, MetadataDirective};
use futures::{StreamExt, TryStreamExt};

/// CopyObject copies no more.
const MOST_IN_ONE: u64 = 5 << 30;
/// Larger objects are copied in parts of this size.
const PART: u64 = 1 << 30;
/// Up to here, reading and creating is cheaper than an upload of parts.
const SMALL: u64 = 1 << 20;
/// Parts that the server copies at once.
const AT_ONCE: usize = 8;

/// Which requests copy an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// CopyObject with `If-None-Match: *`; in parts beyond 5 GiB. For AWS.
    Conditional,
    /// Conditional writes alone: for servers of which it is not known that they look at a condition of CopyObject.
    ByConditionalWrites,
}

impl Copies {
    /// What the server at `endpoint` is sure to keep; without an endpoint it is AWS's.
    #[must_use]
    pub fn of(endpoint: Option<&str>) -> Self {
        let Some(endpoint) = endpoint else {
            return Self::Conditional;
        };
        let host = endpoint
            .split("://")
            .last()
            .and_then(|rest| rest.split(['/', ':']).next());
        let is_aws = |host: &str| {
            [".amazonaws.com", ".amazonaws.com.cn"]
                .iter()
                .any(|end| host.ends_with(end))
        };
        if host.is_some_and(is_aws) {
            Self::Conditional
        } else {
            Self::ByConditionalWrites
        }
    }
}

impl S3Store {
    /// Creates `to` with the bytes of `from`.
    pub(super) async fn copy(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        let gone = || conflict(from, Conflict::Gone);
        let source = match self.copies {
            Copies::Conditional => self.head(from).await?.ok_or_else(gone)?,
            Copies::ByConditionalWrites => match self.read_up_to(from, SMALL).await? {
                Found::Whole(object) => return self.create(to, object.bytes).await.map(drop),
                Found::Larger(source) => source,
                Found::Nothing => return Err(gone()),
            },
        };
        match self.copies {
            Copies::Conditional if source.size <= MOST_IN_ONE => self.copy_object(from, &source, to).await,
            _ => self.copy_in_parts(from, &source, to).await,
        }
    }

    async fn copy_object(&self, from: &Key, source: &Head, to: &Key) -> Result<(), StoreError> {
        let limit = super::clients::patience_for(source.size >> 4);
        let request = self.clients.once.copy_object();
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(to))
            .copy_source(self.source_of(from))
            .copy_source_if_match(&source.etag)
            .metadata_directive(MetadataDirective::Copy);
        let answer = request
            .customize()
            .config_override(super::clients::within(limit))
            // This version of the client has no word for it.
            .mutate_request(|request| {
                request.headers_mut().insert("if-none-match", "*");
            })
            .send()
            .await;
        let refused = match answer {
            Ok(_) => return Ok(()),
            Err(error) => Refusal::from(error).writing(to),
        };
        // 412 may also be about the source, which was written anew since it was looked at.
        if refused.conflict() == Some(Conflict::Changed) && self.head(to).await?.is_none() {
            return Err(conflict(to, Conflict::Retry));
        }
        Err(refused)
    }

    async fn copy_in_parts(&self, from: &Key, source: &Head, to: &Key) -> Result<(), StoreError> {
        if self.head(to).await?.is_some() {
            return Err(conflict(to, Conflict::Changed));
        }
        let upload = self.begin(to, source.sha256.as_deref(), None).await?;
        let ranges: Vec<_> = match source.size {
            size if size <= MOST_IN_ONE => vec![None],
            size => (0..size.div_ceil(PART))
                .map(|number| Some((number * PART, size.min((number + 1) * PART) - 1)))
                .collect(),
        };
        let copies: Vec<_> = (1..)
            .zip(ranges)
            .map(|(number, range)| self.copy_part(from, source, &upload, number, range))
            .collect();
        let copied = futures::stream::iter(copies)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await;
        self.end(&upload, copied).await
    }

    async fn copy_part(
        &self,
        from: &Key,
        source: &Head,
        upload: &super::upload::Upload,
        number: i32,
        range: Option<(u64, u64)>,
    ) -> Result<CompletedPart, StoreError> {
        let limit = super::clients::patience_for(source.size.min(MOST_IN_ONE) >> 4);
        let request = self.clients.repeating.upload_part_copy();
        let request = request
            .bucket(&self.address.bucket)
            .key(self.address.name(&upload.key))
            .upload_id(&upload.id)
            .part_number(number)
            .copy_source(self.source_of(from))
            .copy_source_if_match(&source.etag)
            .set_copy_source_range(range.map(|(first, last)| format!("bytes={first}-{last}")));
        let answer = request
            .customize()
            .config_override(super::clients::within(limit))
            .send()
            .await;
        match answer.map_err(Refusal::from) {
            Ok(copied) => Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(copied.copy_part_result.and_then(|part| part.e_tag))
                .build()),
            Err(refusal) if refusal.is("NoSuchUpload") => Err(conflict(&upload.key, Conflict::Retry)),
            Err(refusal) if refusal.is_absence() => Err(conflict(from, Conflict::Gone)),
            Err(refusal) if refusal.status() == Some(412) => {
                Err(unavailable(from, anyhow!("it was written anew while it was copied")))
            }
            Err(refusal) => Err(refusal.reading(&upload.key)),
        }
    }

    /// `bucket/key` with everything but plain characters escaped, as the header wants it.
    fn source_of(&self, key: &Key) -> String {
        let name = self.address.name(key);
        let mut source = format!("{}/", self.address.bucket);
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => source.push(byte.into()),
                _ => source.push_str(&format!("%{byte:02X}")),
            }
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::Copies;

    #[test]
    fn only_aws_is_known_to_copy_conditionally() {
        let aws = [
            "https://s3.eu-west-1.amazonaws.com",
            "https://bucket.vpce-1-a.s3.us-east-1.vpce.amazonaws.com/",
        ];
        assert_eq!(Copies::of(None), Copies::Conditional);
        for endpoint in aws {
            assert_eq!(Copies::of(Some(endpoint)), Copies::Conditional, "{endpoint}");
        }
        for endpoint in [
            "http://127.0.0.1:9000",
            "https://amazonaws.com.example",
            "http://minio/.amazonaws.com",
        ] {
            assert_eq!(Copies::of(Some(endpoint)), Copies::ByConditionalWrites, "{endpoint}");
        }
    }
}
