//! From what S3 answers, or does not, to what the caller can do about it.

use crate::store::{Conflict, Key, StoreError};
use anyhow::anyhow;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::io;

/// A request that did not succeed.
#[derive(Debug)]
pub(super) struct Refusal {
    /// S3's own word, for example `NoSuchKey`.
    code: Option<String>,
    /// HTTP status of the answer; `None`: there was none, or it could not be read.
    status: Option<u16>,
    /// Nothing was sent.
    unsent: bool,
    source: anyhow::Error,
}

impl<E> From<SdkError<E, HttpResponse>> for Refusal
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let unsent = match &error {
            SdkError::ConstructionFailure(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_user(),
            _ => false,
        };
        let SdkError::ServiceError(answer) = &error else {
            return Self {
                code: None,
                status: None,
                unsent,
                source: anyhow::Error::new(error),
            };
        };
        let (status, said) = (answer.raw().status().as_u16(), answer.err());
        let code = said.code().map(str::to_owned);
        let words = [code.as_deref(), said.message()].into_iter().flatten();
        let words = words.collect::<Vec<_>>().join(": ");
        Self {
            source: anyhow!("the store answered {status} {words}"),
            code,
            status: Some(status),
            unsent,
        }
    }
}

impl Refusal {
    /// Nothing is there. A missing bucket is no missing object.
    pub(super) fn is_absence(&self) -> bool {
        self.status == Some(404) && !self.is("NoSuchBucket")
    }

    /// The server does not know this kind of request.
    pub(super) fn is_unknown_to_the_server(&self) -> bool {
        self.status == Some(501) || self.is("NotImplemented")
    }

    /// S3's own word.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(super) fn into_source(self) -> anyhow::Error {
        self.source
    }

    /// The error of a request that changes nothing, or may be repeated.
    pub(super) fn reading(self, key: &Key) -> StoreError {
        if self.status == Some(403) && !self.is("RequestTimeTooSkewed") {
            tracing::debug!(%key, error = format!("{:#}", self.source), "denied");
            return StoreError::Denied { key: key.clone() };
        }
        unavailable(key, self.source)
    }

    /// The error of a conditional write.
    pub(super) fn writing(self, key: &Key) -> StoreError {
        let meaning = match (self.status, self.code.as_deref()) {
            // Some answers begin with 200, and the body says otherwise.
            (Some(412), _) | (_, Some("PreconditionFailed")) => Conflict::Changed,
            (Some(409), _) | (_, Some("ConditionalRequestConflict" | "OperationAborted")) => Conflict::Retry,
            (_, Some("NoSuchBucket")) => return unavailable(key, self.source),
            (_, Some("NoSuchUpload")) => Conflict::Retry,
            (Some(404), _) => Conflict::Gone,
            (Some(507), _) => return StoreError::NoSpace { key: key.clone() },
            _ if self.unsent || self.is_unknown_to_the_server() => return unavailable(key, self.source),
            (None | Some(200 | 408 | 429 | 500..), _) | (_, Some("RequestTimeout")) => {
                tracing::debug!(%key, error = format!("{:#}", self.source), "no answer");
                Conflict::Unknown
            }
            _ => return self.reading(key),
        };
        conflict(key, meaning)
    }
}

/// A conditional write to `key` that did not win.
pub(super) fn conflict(key: &Key, conflict: Conflict) -> StoreError {
    StoreError::Conflict {
        key: key.clone(),
        conflict,
    }
}

/// The store is away or broken.
pub(super) fn unavailable(key: &Key, source: impl Into<anyhow::Error>) -> StoreError {
    StoreError::Unavailable {
        key: key.clone(),
        source: source.into(),
    }
}

/// A file of this machine could not be read or written.
pub(super) fn local(key: &Key, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::NoSpace { key: key.clone() },
        _ => unavailable(key, error),
    }
}

/// Whether the bytes are those that were promised.
pub(super) fn verify(key: &Key, expected: &str, found: String) -> Result<(), StoreError> {
    if expected == found {
        return Ok(());
    }
    Err(StoreError::Digest {
        key: key.clone(),
        expected: expected.to_owned(),
        found,
    })
}
