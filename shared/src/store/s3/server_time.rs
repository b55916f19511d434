//! The server's clock, as its answers tell it.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Keeps the `Date` of the newest answer to the requests that it is given to.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerTime {
    /// Unix seconds; 0: no answer yet.
    seconds: Arc<AtomicI64>,
}

impl ServerTime {
    /// Seconds since 1970 by the server's clock, if it told them.
    pub(super) fn now(&self) -> Option<i64> {
        Some(self.seconds.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// How long ago `then` was; what lies in the future, or is not known, is new.
    pub(super) fn age(&self, then: Option<&DateTime>) -> u64 {
        let Some((now, then)) = self.now().zip(then) else {
            return 0;
        };
        u64::try_from(now - then.secs()).unwrap_or(0)
    }
}

impl Intercept for ServerTime {
    fn name(&self) -> &'static str {
        "ServerTime"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok()) {
            self.seconds.store(date.secs(), Ordering::Relaxed);
        }
        Ok(())
    }
}
