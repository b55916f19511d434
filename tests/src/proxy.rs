//! A small TCP proxy between a client and a server, which makes the network as bad as a test wants it.
//!
//! Of the proxies at hand, `noxious` is not kept any more and toxiproxy is a server in Go: neither can stop after exactly
//! so many bytes, which is the fault that matters most here. What TCP itself cannot do, nobody does for it: bytes are
//! never repeated or reordered. A request that is sent twice is a fault of the layer above.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;
/// A throttled connection passes its bytes in pieces, of which this many are a second's.
const PIECES: u64 = 50;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// What becomes of a connection at the end of a [`Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Both sides see their connection end.
    Cut,
    /// This direction ends, the other one goes on.
    HalfClose,
    /// Nothing passes any more in this direction, and nobody is told.
    Silence,
}

/// So many bytes pass in one direction, counted over all connections from the call of [`Proxy::set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Which way.
    pub direction: Direction,
    /// How many.
    pub bytes: u64,
    /// And then.
    pub then: Then,
}

/// What the network does. The default does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fault {
    /// Everything comes so much later.
    pub delay: Duration,
    /// At most so many bytes a second, each way.
    pub throttle: Option<u64>,
    /// The end of a connection after exactly so many bytes.
    pub limit: Option<Limit>,
    /// Connections are accepted and kept, nothing passes; what was on its way passes afterwards.
    pub blackhole: bool,
    /// New connections are closed at once.
    pub refuse: bool,
}

/// A running proxy. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    fault: watch::Sender<Fault>,
    /// Bytes that passed to the server and to the client since the fault was set.
    passed: [AtomicU64; 2],
    /// Of all connections that there are now.
    connections: Mutex<CancellationToken>,
}

impl Proxy {
    /// A proxy on a free port of this machine.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            fault: watch::Sender::new(Fault::default()),
            passed: Default::default(),
            connections: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, server, Arc::clone(&shared), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Self {
            address,
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the network is like this, for connections that there are, too.
    pub fn set(&self, fault: Fault) {
        for passed in &self.shared.passed {
            passed.store(0, Ordering::SeqCst);
        }
        self.shared.fault.send_replace(fault);
    }

    /// Cuts every connection that there is.
    pub fn cut(&self) {
        let mut connections = self.shared.connections();
        connections.cancel();
        *connections = CancellationToken::new();
    }

    /// Bytes that passed since the fault was set.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.passed[direction as usize].load(Ordering::SeqCst)
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `read` bytes; how many of them may pass, and what then where that is not all.
    fn count(&self, direction: Direction, read: usize) -> (usize, Option<Then>) {
        let limit = self.fault.borrow().limit.filter(|limit| limit.direction == direction);
        let before = self.passed[direction as usize].fetch_add(read as u64, Ordering::SeqCst);
        match limit {
            Some(limit) if before + read as u64 >= limit.bytes => {
                let left = usize::try_from(limit.bytes.saturating_sub(before)).unwrap_or(read);
                (left.min(read), Some(limit.then))
            }
            _ => (read, None),
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>, stop: CancellationToken) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.fault.borrow().refuse {
            continue;
        }
        // Dropping the proxy ends its connections; so does `cut`.
        let cut = shared.connections().clone();
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(client, server, &shared) => {}
                () = cut.cancelled() => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// One connection, to the end of both directions, or of one if that is a cut.
async fn connection(client: TcpStream, server: SocketAddr, shared: &Shared) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    for stream in [&client, &server] {
        // A test that counts on the proxy's delays wants no other ones.
        let _ = stream.set_nodelay(true);
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (mut up, mut down) = (
        std::pin::pin!(pump(from_client, to_server, Direction::ToServer, shared)),
        std::pin::pin!(pump(from_server, to_client, Direction::ToClient, shared)),
    );
    tokio::select! {
        end = &mut up => if end == End::OfDirection { down.await; },
        end = &mut down => if end == End::OfDirection { up.await; },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    OfDirection,
    OfConnection,
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, shared: &Shared) -> End {
    let mut faults = shared.fault.subscribe();
    let mut buffer = vec![0; CHUNK];
    loop {
        let throttle = shared.fault.borrow().throttle;
        let room = throttle.map_or(CHUNK, |rate| {
            usize::try_from(rate / PIECES).unwrap_or(CHUNK).clamp(1, CHUNK)
        });
        let read = match from.read(&mut buffer[..room]).await {
            Ok(0) => {
                // A half-closed connection stays one.
                let _ = to.shutdown().await;
                return End::OfDirection;
            }
            Ok(read) => read,
            Err(_) => return End::OfConnection,
        };
        let fault = *faults.borrow();
        tokio::time::sleep(fault.delay).await;
        if let Some(rate) = throttle {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
        }
        if faults.wait_for(|fault| !fault.blackhole).await.is_err() {
            return End::OfConnection;
        }
        let (passes, then) = shared.count(direction, read);
        if to.write_all(&buffer[..passes]).await.is_err() {
            return End::OfConnection;
        }
        match then {
            None => {}
            Some(Then::Cut) => return End::OfConnection,
            Some(Then::HalfClose) => {
                let _ = to.shutdown().await;
                return End::OfDirection;
            }
            Some(Then::Silence) => std::future::pending().await,
        }
    }
}
