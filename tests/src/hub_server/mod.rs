//! A hub of the tests' own: it speaks the Hugging Face hub's HTTP API over a folder of repositories, misbehaves on
//! request, and remembers what it was asked. That it is like the real one is checked with Python's `huggingface_hub`.
//!
//! `ROOT/OWNER/NAME/` is a repository at `main`, `ROOT/OWNER/NAME@REVISION/` at another revision. Commits come from
//! content. `ROOT/OLD/.renamed` or `ROOT/OWNER/OLD/.renamed` holds the name that a repository has today. A file `.gated` gates the repository: its first line is the one token that may read it. Large files and
//! weights are "in LFS": `resolve` redirects to a second address, as to a CDN, which refuses whoever brings a token.
//!
//! Control from another process: `POST /-/faults` takes a JSON list of [`Fault`], `GET /-/requests` gives the list of
//! [`Seen`].

mod answers;
mod fault;
mod repository;

pub use fault::{Fault, Seen, What};
pub use repository::commit_of;

use fault::Memory;
use repository::Repositories;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A running hub; it stops when dropped.
#[derive(Debug)]
pub struct HubServer {
    shared: Arc<Shared>,
    tasks: JoinSet<io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    repositories: Repositories,
    memory: Memory,
    hub: SocketAddr,
    cdn: SocketAddr,
    /// Files a page of the tree.
    page: usize,
}

impl HubServer {
    /// Serves `root` at a free port.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(root: &Path) -> io::Result<Self> {
        Self::start_at(root, 0, 1000).await
    }

    /// Serves `root` at `port` (0: a free one), `page` files a page of the tree.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start_at(root: &Path, port: u16, page: usize) -> io::Result<Self> {
        let hub = TcpListener::bind(("127.0.0.1", port)).await?;
        let cdn = TcpListener::bind(("127.0.0.1", 0)).await?;
        let shared = Arc::new(Shared {
            repositories: Repositories::new(root),
            memory: Memory::default(),
            hub: hub.local_addr()?,
            cdn: cdn.local_addr()?,
            page,
        });
        let mut tasks = JoinSet::new();
        for (listener, host) in [(hub, fault::Host::Hub), (cdn, fault::Host::Cdn)] {
            let shared = Arc::clone(&shared);
            let router = axum::Router::new().fallback(move |request| answers::answer(shared, host, request));
            tasks.spawn(async move { axum::serve(listener, router).await });
        }
        Ok(Self { shared, tasks })
    }

    /// For `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.hub)
    }

    /// Misbehave from now on.
    pub fn inject(&self, fault: Fault) {
        self.shared.memory.inject(fault);
    }

    /// Behave again.
    pub fn heal(&self) {
        self.shared.memory.heal();
    }

    /// Everything that was asked since the start or the last [`HubServer::forget`].
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.memory.seen()
    }

    /// Clears [`HubServer::seen`].
    pub fn forget(&self) {
        self.shared.memory.forget();
    }

    /// Bytes of file content sent for requests whose line contains `text`, from either address.
    #[must_use]
    pub fn bytes_sent(&self, text: &str) -> u64 {
        self.seen()
            .iter()
            .filter(|seen| seen.line.contains(text))
            .map(|seen| seen.sent)
            .sum()
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// A listener fails.
    pub async fn serve(mut self) -> io::Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}
