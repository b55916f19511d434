//! Requests and their answers, as the Hugging Face hub gives them.

use super::Shared;
use super::fault::{Fault, Host, Seen, What};
use super::repository::{Commit, RepositoryFile};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

const PAGE: &str = "<!DOCTYPE html><html><body>Access to this model is restricted</body></html>";

/// A request, remembered, with the fault that is due for it.
struct Call {
    shared: Arc<Shared>,
    method: Method,
    segments: Vec<String>,
    query: String,
    headers: HeaderMap,
    fault: Option<What>,
    sent: Arc<AtomicU64>,
}

pub(super) async fn answer(shared: Arc<Shared>, host: Host, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let segments: Vec<String> = parts.uri.path().split('/').skip(1).map(decoded).collect();
    if segments.first().is_some_and(|first| first == "-") {
        return control(&shared, &segments, body).await;
    }
    let line = format!(
        "{} {}",
        parts.method,
        segments.iter().fold(String::new(), |all, part| all + "/" + part)
    );
    let authorized = parts.headers.contains_key(header::AUTHORIZATION);
    let sent = shared.memory.remember(Seen {
        host,
        line: line.clone(),
        range: range(&parts.headers),
        authorized,
        sent: 0,
    });
    let fault = shared.memory.fault(&line);
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let call = Call {
        shared,
        method: parts.method,
        segments,
        query,
        headers: parts.headers,
        fault,
        sent,
    };
    match &call.fault {
        Some(What::Silent) => std::future::pending().await,
        Some(What::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = Response::builder()
                .status(status)
                .header(header::CONTENT_TYPE, "text/html");
            if let Some(seconds) = retry_after {
                answer = answer.header(header::RETRY_AFTER, *seconds);
            }
            built(answer.body(Body::from(PAGE)))
        }
        Some(What::Redirect { to }) => built(
            Response::builder()
                .status(302)
                .header(header::LOCATION, to)
                .body(Body::empty()),
        ),
        _ if host == Host::Cdn => call.large().await,
        _ => call.answer().await,
    }
}

async fn control(shared: &Shared, segments: &[String], body: Body) -> Response {
    match segments.get(1).map(String::as_str) {
        Some("faults") => match to_bytes(body, 1 << 20)
            .await
            .map(|text| serde_json::from_slice::<Vec<Fault>>(&text))
        {
            Ok(Ok(faults)) => {
                shared.memory.heal();
                faults.into_iter().for_each(|fault| shared.memory.inject(fault));
                json_answer(&json!("ok"), None)
            }
            _ => refusal(400, "BadRequest", "not a list of faults"),
        },
        Some("requests") => json_answer(&json!(shared.memory.seen()), None),
        _ => refusal(404, "NotFound", "no such control"),
    }
}

impl Call {
    async fn answer(&self) -> Response {
        if let Some(path) = self.shared.repositories.path_of_today(&self.segments) {
            let query = if self.query.is_empty() { "" } else { "?" };
            let answer = Response::builder().status(307);
            let answer = answer.header(header::LOCATION, format!("{path}{query}{}", self.query));
            return built(answer.body(Body::empty()));
        }
        let parts: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["api", "models", owner, name] => self.info(&format!("{owner}/{name}"), "main"),
            ["api", "models", owner, name, "revision", revision] => self.info(&format!("{owner}/{name}"), revision),
            ["api", "models", owner, name, "tree", revision] => self.tree(&format!("{owner}/{name}"), revision),
            [owner, name, "resolve", revision, path @ ..] => {
                self.resolve(&format!("{owner}/{name}"), revision, &path.join("/"))
                    .await
            }
            _ => refusal(404, "NotFound", "Sorry, we can't find the page you are looking for."),
        }
    }

    /// The commit, if it exists and this caller may see its files. Names are public even where files are not.
    fn commit(&self, repository: &str, revision: &str, files: bool) -> Result<Commit, Box<Response>> {
        let bearer = self
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|text| text.strip_prefix("Bearer "));
        if !self.shared.repositories.exists(repository) {
            // The hub hides from strangers what is private and what is not there alike.
            let status = if token.is_some() { 404 } else { 401 };
            return Err(boxed(status, "RepoNotFound", "Repository not found"));
        }
        let Some(commit) = self.shared.repositories.commit(repository, revision) else {
            return Err(boxed(404, "RevisionNotFound", &format!("Invalid rev id: {revision}")));
        };
        match (&commit.gate, token) {
            (Some(gate), Some(token)) if files && gate != token => Err(boxed(
                403,
                "GatedRepo",
                "Your request to access this model is awaiting a review.",
            )),
            (Some(_), None) if files => Err(boxed(401, "GatedRepo", "Access to this model is restricted.")),
            _ => Ok(commit),
        }
    }

    fn info(&self, repository: &str, revision: &str) -> Response {
        let commit = match self.commit(repository, revision, false) {
            Ok(commit) => commit,
            Err(answer) => return *answer,
        };
        let siblings: Vec<Value> = commit
            .files
            .iter()
            .map(|file| json!({"rfilename": file.path}))
            .collect();
        let gated = if commit.gate.is_some() {
            json!("auto")
        } else {
            json!(false)
        };
        let info = json!({
            "_id": &commit.id[..24], "id": repository, "modelId": repository, "sha": commit.id, "private": false,
            "gated": gated, "disabled": false, "downloads": 0, "likes": 0, "tags": [], "siblings": siblings,
            "createdAt": "2024-01-01T00:00:00.000Z", "lastModified": "2024-01-01T00:00:00.000Z",
        });
        json_answer(&info, None)
    }

    fn tree(&self, repository: &str, revision: &str) -> Response {
        let commit = match self.commit(repository, revision, true) {
            Ok(commit) => commit,
            Err(answer) => return *answer,
        };
        let mut entries: Vec<Value> = commit.files.iter().map(entry).collect();
        if let Some(What::Name { path }) = &self.fault {
            entries.push(json!({"type": "file", "oid": "0".repeat(40), "size": 1, "path": path}));
        }
        let cursor = self
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="))
            .unwrap_or("0");
        let from = cursor.parse::<usize>().unwrap_or(0).min(entries.len());
        let to = (from + self.shared.page).min(entries.len());
        let next = (to < entries.len()).then(|| {
            let at = format!("http://{}/api/models/{repository}/tree/{revision}", self.shared.hub);
            format!("<{at}?recursive=true&cursor={to}>; rel=\"next\"")
        });
        json_answer(&json!(entries[from..to]), next)
    }

    async fn resolve(&self, repository: &str, revision: &str, path: &str) -> Response {
        let commit = match self.commit(repository, revision, true) {
            Ok(commit) => commit,
            Err(answer) => return *answer,
        };
        let Some(file) = commit.files.iter().find(|file| file.path == path) else {
            return refusal(404, "EntryNotFound", "Entry not found");
        };
        let answer = Response::builder().header("x-repo-commit", &commit.id);
        match &file.sha256 {
            Some(sha256) => {
                let location = format!("http://{}/lfs/{sha256}?signature=x", self.shared.cdn);
                let answer = answer
                    .status(302)
                    .header(header::LOCATION, location)
                    .header("x-linked-size", file.size);
                built(
                    answer
                        .header("x-linked-etag", format!("\"{sha256}\""))
                        .body(Body::empty()),
                )
            }
            None => {
                self.content(answer.header(header::ETAG, format!("\"{}\"", file.oid)), &file.location)
                    .await
            }
        }
    }

    /// Signed addresses of object stores refuse a second credential.
    async fn large(&self) -> Response {
        if self.headers.contains_key(header::AUTHORIZATION) {
            return refusal(400, "InvalidArgument", "Only one auth mechanism allowed");
        }
        let location = self
            .segments
            .get(1)
            .and_then(|sha256| self.shared.repositories.large(sha256));
        match location {
            Some(location) => {
                self.content(Response::builder().header(header::ACCEPT_RANGES, "bytes"), &location)
                    .await
            }
            None => refusal(404, "NotFound", "no such object"),
        }
    }

    /// The file's bytes, or those of the range, or what the fault makes of them.
    async fn content(&self, mut answer: axum::http::response::Builder, location: &Path) -> Response {
        if matches!(self.fault, Some(What::Html)) {
            return built(answer.header(header::CONTENT_TYPE, "text/html").body(Body::from(PAGE)));
        }
        let Ok(mut file) = tokio::fs::File::open(location).await else {
            return refusal(404, "NotFound", "the file is gone");
        };
        let size = file.metadata().await.map_or(0, |found| found.len());
        let asked = range(&self.headers).filter(|_| !matches!(self.fault, Some(What::IgnoreRange)));
        let from = asked.unwrap_or(0);
        if asked.is_some_and(|from| from >= size) {
            return built(
                answer
                    .status(416)
                    .header(header::CONTENT_RANGE, format!("bytes */{size}"))
                    .body(Body::empty()),
            );
        }
        if asked.is_some() {
            let last = size.saturating_sub(1);
            answer = answer
                .status(206)
                .header(header::CONTENT_RANGE, format!("bytes {from}-{last}/{size}"));
        }
        answer = answer.header(header::CONTENT_LENGTH, size - from);
        if self.method == Method::HEAD || file.seek(std::io::SeekFrom::Start(from)).await.is_err() {
            return built(answer.body(Body::empty()));
        }
        built(answer.body(self.body(file, size - from)))
    }

    fn body(&self, file: tokio::fs::File, length: u64) -> Body {
        let (limit, then) = match &self.fault {
            Some(What::Truncate { after }) => ((*after).min(length), Then::Break),
            Some(What::Stall { after }) => ((*after).min(length), Then::Wait),
            _ => (length, Then::End),
        };
        let corrupt = matches!(self.fault, Some(What::Corrupt));
        let sent = Arc::clone(&self.sent);
        let pieces = ReaderStream::with_capacity(file.take(limit), 64 << 10).map(move |piece| {
            let piece = piece?;
            sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
            Ok(if corrupt {
                piece.iter().map(|byte| !byte).collect::<Bytes>()
            } else {
                piece
            })
        });
        let end = futures::stream::once(async move {
            if let Then::Break = then {
                // Until what was sent has left this process: a break discards what has not.
                tokio::time::sleep(Duration::from_millis(30)).await;
                return Err(std::io::Error::other("broken on request"));
            }
            std::future::pending().await
        });
        match then {
            Then::End => Body::from_stream(pieces),
            _ => Body::from_stream(pieces.chain(end)),
        }
    }
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Break,
    Wait,
}

fn entry(file: &RepositoryFile) -> Value {
    let mut entry = json!({"type": "file", "oid": file.oid, "size": file.size, "path": file.path});
    if let Some(sha256) = &file.sha256 {
        entry["lfs"] = json!({"oid": sha256, "size": file.size, "pointerSize": 130});
    }
    entry
}

fn json_answer(value: &Value, next: Option<String>) -> Response {
    let mut answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
    if let Some(next) = next {
        answer = answer.header(header::LINK, next);
    }
    built(answer.body(Body::from(value.to_string())))
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    let answer = Response::builder()
        .status(status)
        .header("x-error-code", code)
        .header("x-error-message", message);
    built(
        answer
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(json!({"error": message}).to_string())),
    )
}

fn boxed(status: u16, code: &str, message: &str) -> Box<Response> {
    Box::new(refusal(status, code, message))
}

fn built(answer: Result<Response, axum::http::Error>) -> Response {
    answer.unwrap_or_else(|error| Response::new(Body::from(error.to_string())))
}

/// The first byte of `Range: bytes=N-`.
fn range(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

/// Percent-decoding of one segment, so that a revision may hold a slash.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|two| hex::decode(two).ok());
        match escaped {
            Some(byte) => {
                bytes.extend(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
