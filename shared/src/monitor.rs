//! `/metrics`, `/livez` and `/readyz` of a process.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The monitor could not be started.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} (TRAINYARD_METRICS_ADDR)")]
pub struct MonitorError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// What `/readyz` answers. Starts not ready ("starting"). Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Result<(), String>>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Err("starting".into()))))
    }
}

impl Readiness {
    /// Everything needed was reached.
    pub fn ready(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Ok(());
    }

    /// Something needed is away: `why` is the body of the answer 503.
    pub fn not_ready(&self, why: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Err(why.into());
    }

    /// What was said last.
    pub fn get(&self) -> Result<(), String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The socket of a monitor, open and not yet served.
#[derive(Debug)]
pub struct Monitor(TcpListener);

impl Monitor {
    /// Opens the socket. An address that nobody chose (`explicit` is false) may be taken by another process of this
    /// machine: that is a warning and `None`, so several workers can share a machine without a setting.
    ///
    /// # Errors
    /// An address that was chosen cannot be had.
    pub async fn bind(address: SocketAddr, explicit: bool) -> Result<Option<Self>, MonitorError> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Some(Self(listener))),
            Err(source) if explicit => Err(MonitorError { address, source }),
            Err(source) => {
                tracing::warn!(%address, error = %source, "no /metrics: set TRAINYARD_METRICS_ADDR to another address");
                Ok(None)
            }
        }
    }

    /// Where it listens (port 0 was replaced by a real one).
    ///
    /// # Errors
    /// The socket is broken.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until `stop`. Series come from `registry`, gathered anew for every request.
    pub async fn serve(self, registry: Registry, readiness: Readiness, stop: CancellationToken) {
        let served = axum::serve(self.0, routes(registry, readiness))
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::warn!(%error, "the monitor stopped");
        }
    }
}

fn routes(registry: Registry, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics).with_state(registry))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.get() {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Monitor, Readiness};
    use prometheus::{IntCounter, Registry};
    use std::net::SocketAddr;
    use tokio_util::sync::CancellationToken;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    async fn status_and_body(address: SocketAddr, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    #[tokio::test]
    async fn shows_series_and_readiness() {
        let registry = Registry::new();
        let counter = IntCounter::new("trainyard_example_total", "an example").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.inc_by(3);
        let monitor = Monitor::bind(ANY_PORT, true).await.unwrap().unwrap();
        let address = monitor.address().unwrap();
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        let serving = tokio::spawn(monitor.serve(registry, readiness.clone(), stop.clone()));

        let (status, body) = status_and_body(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("\ntrainyard_example_total 3\n"), "{body}");
        assert_eq!(status_and_body(address, "/livez").await.0, 200);
        assert_eq!(status_and_body(address, "/readyz").await, (503, "starting\n".into()));
        readiness.ready();
        assert_eq!(status_and_body(address, "/readyz").await.0, 200);
        readiness.not_ready("the store is away");
        assert_eq!(
            status_and_body(address, "/readyz").await,
            (503, "the store is away\n".into())
        );

        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn taken_port_is_an_error_only_if_it_was_chosen() {
        let first = Monitor::bind(ANY_PORT, true).await.unwrap().unwrap();
        let address = first.address().unwrap();
        assert!(Monitor::bind(address, false).await.unwrap().is_none());
        let error = Monitor::bind(address, true).await.unwrap_err().to_string();
        assert!(error.contains("TRAINYARD_METRICS_ADDR"), "{error}");
    }
}
