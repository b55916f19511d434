//! What stands between a client and an HTTP server, and does it harm: an answer in the server's place, a request or an
//! answer that is lost, a delay. Each fault is asked for, meets one request, and is counted.

use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the server, which says this instead: a status, headers and a body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// It never reaches the server; the connection is closed.
    LostRequest,
    /// The server does it; the answer is lost and the connection closed.
    LostReply,
    /// The answer comes later.
    Delay(Duration),
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Request line and headers.
    pub head: String,
    /// What follows them.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        pairs
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

type Matches = Box<dyn Fn(&Request) -> bool + Send>;

#[derive(Default)]
struct Plan {
    faults: VecDeque<(Matches, Fault)>,
    seen: Vec<Request>,
}

/// A server in front of another. It ends when it is dropped.
pub struct Faults {
    endpoint: String,
    plan: Arc<Mutex<Plan>>,
    serving: JoinHandle<()>,
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Faults {
    /// In front of `http://host:port`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn before(upstream: &str) -> Self {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let shared = Arc::clone(&plan);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (plan, upstream) = (Arc::clone(&shared), upstream.clone());
                // A client that leaves in the middle is nobody's error.
                tokio::spawn(async move { serve(client, &plan, &upstream).await.ok() });
            }
        });
        Self {
            endpoint,
            plan,
            serving,
        }
    }

    /// Where clients go.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The next request that matches meets the fault; of several faults, the oldest first.
    pub fn next(&self, matches: impl Fn(&Request) -> bool + Send + 'static, fault: Fault) {
        self.plan().faults.push_back((Box::new(matches), fault));
    }

    /// Faults that no request has met yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.plan().faults.len()
    }

    /// All requests since the last call, whatever became of them.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut self.plan().seen)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faults({})", self.endpoint)
    }
}

/// One request, and the end of its connection: clients open another.
async fn serve(mut client: TcpStream, plan: &Mutex<Plan>, upstream: &str) -> Result<()> {
    let request = read(&mut client).await?;
    let fault = {
        let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        let at = plan.faults.iter().position(|(matches, _)| matches(&request));
        plan.seen.push(request.clone());
        at.and_then(|at| plan.faults.remove(at)).map(|(_, fault)| fault)
    };
    match fault {
        Some(Fault::LostRequest) => return Ok(()),
        Some(Fault::Answer(status, headers, body)) => {
            let headers: String = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} Fault\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            client.write_all(answer.as_bytes()).await?;
            return Ok(());
        }
        Some(Fault::LostReply) => {
            let mut nobody = Vec::new();
            forward(&request, upstream).await?.read_to_end(&mut nobody).await?;
            return Ok(());
        }
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    let mut server = forward(&request, upstream).await?;
    // Either end may leave; then the other is left too.
    tokio::io::copy_bidirectional(&mut server, &mut client).await?;
    Ok(())
}

async fn forward(request: &Request, upstream: &str) -> Result<TcpStream> {
    let mut server = TcpStream::connect(upstream).await?;
    let lines = request.head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("connection")
    });
    let head: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    server
        .write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
        .await?;
    server.write_all(&request.body).await?;
    Ok(server)
}

async fn read(client: &mut TcpStream) -> Result<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut more = [0; 4096];
        let read = client.read(&mut more).await?;
        anyhow::ensure!(read > 0, "the client left");
        bytes.extend_from_slice(&more[..read]);
    };
    let mut body = bytes.split_off(end + 4);
    let mut request = Request {
        head: String::from_utf8(bytes).context("no text")?.trim_end().to_owned(),
        body: Vec::new(),
    };
    let length: usize = request.header("content-length").unwrap_or("0").parse()?;
    while body.len() < length {
        let read = client.read_buf(&mut body).await?;
        anyhow::ensure!(read > 0, "the client left");
    }
    request.body = body;
    Ok(request)
}
