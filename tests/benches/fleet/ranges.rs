//! One object as a bucket serves it to readers: HEAD, and GET of a range without a look at the rest. moto reads the whole
//! object for each range, which would measure moto.

use anyhow::Result;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Of the one content there is.
const ETAG: &str = "\"one\"";

/// A running server; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub(crate) endpoint: String,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Ranges {
    /// Serves the bytes under every key of every bucket.
    pub(crate) async fn of(bytes: Bytes) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let router = axum::Router::new().fallback(answer).with_state(bytes);
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { endpoint, serving })
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A store lists its bucket when it is opened.
const LISTING: &str = "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";

async fn answer(State(bytes): State<Bytes>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if uri.query().is_some_and(|query| query.contains("list-type=2")) {
        return ([(header::CONTENT_TYPE, "application/xml")], LISTING).into_response();
    }
    let common = [(header::ETAG, ETAG), (header::ACCEPT_RANGES, "bytes")];
    match (method, asked(&headers, bytes.len())) {
        (Method::HEAD, _) => (common, [(header::CONTENT_LENGTH, bytes.len())]).into_response(),
        (Method::GET, None) => (common, bytes).into_response(),
        (Method::GET, Some((first, last))) => {
            let range = format!("bytes {first}-{last}/{}", bytes.len());
            let part = bytes.slice(first..=last);
            (
                StatusCode::PARTIAL_CONTENT,
                common,
                [(header::CONTENT_RANGE, range)],
                part,
            )
                .into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// The first and the last byte of `Range: bytes=N-M`, where the object has them.
fn asked(headers: &HeaderMap, size: usize) -> Option<(usize, usize)> {
    let range = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < size).then_some((first, last))
}
