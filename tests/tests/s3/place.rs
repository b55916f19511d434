//! A bucket, seen through a proxy that can fail, and directly.

use shared::aws::AwsAccess;
use shared::store::s3::{S3Store, Transfer};
use shared::store::{Conflict, Store, StoreError};
use std::sync::Arc;
use tests::aws::AwsServer;
use tests::s3_faults::S3Faults;

/// Small enough that a test's file has many parts.
pub(crate) const SMALL: Transfer = Transfer {
    whole: 64 << 10,
    part: 5 << 20,
    range: 64 << 10,
    at_once: 3,
};

pub(crate) struct Place {
    pub(crate) faults: S3Faults,
    /// Through the proxy.
    pub(crate) store: Arc<S3Store>,
    /// Past it.
    pub(crate) direct: Arc<dyn Store>,
    pub(crate) bucket: String,
}

pub(crate) async fn place() -> Place {
    let server = AwsServer::get();
    let faults = S3Faults::before(server.endpoint()).await;
    let access = AwsAccess {
        s3_endpoint: Some(faults.endpoint().to_owned()),
        ..server.access()
    };
    let bucket = server.bucket().await;
    let store = S3Store::open(&format!("//{bucket}/yard"), &access)
        .await
        .expect("an address");
    let direct = shared::store::connect(&format!("s3://{bucket}/yard"), &server.access()).await;
    Place {
        faults,
        store: Arc::new(store.with_transfer(SMALL)),
        direct: direct.expect("a store"),
        bucket,
    }
}

pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Conflict {
    let error = result.expect_err("must not win");
    error.conflict().unwrap_or_else(|| panic!("no conflict but {error:?}"))
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Bytes that do not repeat themselves from part to part.
pub(crate) fn content(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|at| (at.wrapping_mul(0x9E37_79B9) >> 13) as u8)
        .collect()
}
