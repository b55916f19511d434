//! EC2's instance metadata service, version 2, as far as notices go; what it says is the test's.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A notice that the machine goes.
pub const SPOT: &str = "spot/instance-action";
/// A recommendation to leave it.
pub const REBALANCE: &str = "events/recommendations/rebalance";
/// What the Auto Scaling group wants of it.
pub const LIFECYCLE: &str = "autoscaling/target-lifecycle-state";

/// A running service; it stops when dropped.
#[derive(Debug)]
pub struct Imds {
    endpoint: String,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Shared {
    /// A token is good for so many questions.
    uses: u32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    texts: BTreeMap<String, String>,
    tokens: u32,
    left: u32,
    answered: u32,
    refused: u32,
}

impl Imds {
    /// Says of itself what an instance says that nothing happens to.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn start() -> Self {
        Self::with_tokens_for(u32::MAX)
    }

    /// Its tokens are refused after so many questions, as old ones are.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn with_tokens_for(uses: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(Shared {
            uses,
            inner: Mutex::default(),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = axum::Router::new()
            .route("/latest/api/token", put(token))
            .route("/latest/meta-data/{*path}", get(answer))
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        let imds = Self {
            endpoint,
            shared,
            _runtime: runtime,
        };
        imds.say(LIFECYCLE, "InService");
        imds
    }

    /// From now on there is this text at the path.
    pub fn say(&self, path: &str, text: &str) {
        self.shared.lock().texts.insert(path.to_owned(), text.to_owned());
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Tokens given, questions answered, questions with a bad token.
    #[must_use]
    pub fn counts(&self) -> (u32, u32, u32) {
        let inner = self.shared.lock();
        (inner.tokens, inner.answered, inner.refused)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, _body: Bytes) -> Response {
    const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
    let ttl = headers.get(TTL).and_then(|ttl| ttl.to_str().ok()?.parse::<u32>().ok());
    let Some(ttl) = ttl.filter(|ttl| (1..=21_600).contains(ttl)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut inner = shared.lock();
    inner.tokens += 1;
    inner.left = shared.uses;
    ([(TTL, ttl.to_string())], format!("token-{}", inner.tokens)).into_response()
}

async fn answer(State(shared): State<Arc<Shared>>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let mut inner = shared.lock();
    let given = headers
        .get("x-aws-ec2-metadata-token")
        .and_then(|token| token.to_str().ok());
    if given != Some(format!("token-{}", inner.tokens).as_str()) || inner.left == 0 {
        inner.refused += 1;
        return StatusCode::UNAUTHORIZED.into_response();
    }
    inner.left -= 1;
    inner.answered += 1;
    match inner.texts.get(&path) {
        Some(text) => text.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
