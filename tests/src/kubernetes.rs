//! A Kubernetes API server, as far as a pod that annotates itself needs one: over TLS, with the files of a service
//! account.

use crate::certificates;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::patch;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// No test may find it in any text.
pub const TOKEN: &str = "s3cret-token-of-the-tests";

/// What a pod asked for.
#[derive(Debug, Clone)]
pub struct Patch {
    /// `namespace/name` of the pod.
    pub pod: String,
    /// The body.
    pub body: Value,
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Kubernetes {
    account: TempDir,
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Shared {
    allows: bool,
    patches: Mutex<Vec<Patch>>,
}

impl Kubernetes {
    /// Takes every patch that comes with the right token and type, or says 403.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(allows: bool) -> Self {
        let account = tempfile::tempdir().expect("a folder");
        certificates::write(account.path()).expect("certificates");
        let at = |name: &str| account.path().join(name);
        std::fs::copy(at("authority.pem"), at("ca.crt")).expect("ca.crt");
        std::fs::write(at("namespace"), "trains").expect("namespace");
        std::fs::write(at("token"), format!("{TOKEN}\n")).expect("token");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let chain = vec![CertificateDer::from_pem_file(at("server.pem")).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(at("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = tcp.local_addr().expect("an address");
        let listener = TlsListener {
            tcp,
            acceptor: TlsAcceptor::from(Arc::new(config.expect("a configuration"))),
        };
        let shared = Arc::new(Shared {
            allows,
            patches: Mutex::default(),
        });
        let routes = axum::Router::new()
            .route("/api/v1/namespaces/{namespace}/pods/{name}", patch(annotate))
            .with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self {
            account,
            address,
            shared,
            _runtime: runtime,
        }
    }

    /// What a pod's environment says of it.
    #[must_use]
    pub fn variables(&self) -> [(String, String); 4] {
        [
            ("KUBERNETES_SERVICE_HOST", self.address.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", self.address.port().to_string()),
            ("TRAINYARD_SERVICE_ACCOUNT", self.account.path().display().to_string()),
            ("TRAINYARD_PROTECT", "kubernetes".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// What was asked so far.
    #[must_use]
    pub fn patches(&self) -> Vec<Patch> {
        self.shared
            .patches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn annotate(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("authorization") != Some(format!("Bearer {TOKEN}").as_str()) {
        return StatusCode::UNAUTHORIZED;
    }
    if header("content-type") != Some("application/merge-patch+json") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    let Ok(body) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let patch = Patch {
        pod: format!("{namespace}/{name}"),
        body,
    };
    shared
        .patches
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(patch);
    if shared.allows {
        StatusCode::OK
    } else {
        StatusCode::FORBIDDEN
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.tcp.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
