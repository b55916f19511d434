//! A proxy in front of a server that speaks S3, which does to single requests what networks and busy servers do.
//!
//! Plain HTTP/1.1, one request a connection: what the server says is passed on byte by byte.

use anyhow::{Context, Result, bail};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server hears nothing; the answer is this status with this code of S3.
    Answered(u16, &'static str),
    /// The server does what it is asked for, and the answer is this all the same.
    DoneButAnswered(u16, &'static str),
    /// The server hears nothing, and the connection breaks.
    RequestLost,
    /// The server does what it is asked for, and the connection breaks before its answer.
    ReplyLost,
    /// The connection breaks; the server hears it when [`S3Faults::deliver_late`] is called.
    Late,
    /// The connection breaks after so many bytes of the answer's body.
    BodyCut(usize),
    /// A byte in the middle of the answer's body is another.
    BodyCorrupted,
    /// The answer comes after this time.
    Delayed(Duration),
    /// The server hears nothing; the answer is this document.
    Told(&'static str),
    /// The answer is of this date.
    Dated(&'static str),
}

#[derive(Debug)]
struct Rule {
    method: &'static str,
    target_part: String,
    times: u32,
    fault: Fault,
}

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<Rule>,
    seen: Vec<String>,
    late: Vec<Vec<u8>>,
}

/// A running proxy. It ends with the runtime that it was started on.
#[derive(Debug, Clone)]
pub struct S3Faults {
    endpoint: String,
    server: String,
    inner: Arc<Mutex<Inner>>,
}

impl S3Faults {
    /// In front of `server` (`http://HOST:PORT`), on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self {
            endpoint: format!("http://{}", listener.local_addr().expect("an address")),
            server: server.strip_prefix("http://").expect("plain HTTP").to_owned(),
            inner: Arc::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = accepting.clone();
                // A client that goes away is no failure of the test.
                tokio::spawn(async move { proxy.serve(client).await.ok() });
            }
        });
        proxy
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets the next `times` requests of `method` whose target (path and query) contains `target_part` meet `fault`.
    pub fn inject(&self, method: &'static str, target_part: &str, times: u32, fault: Fault) {
        self.inner().rules.push(Rule {
            method,
            target_part: target_part.to_owned(),
            times,
            fault,
        });
    }

    /// Faults that no request has met yet.
    #[must_use]
    pub fn faults_left(&self) -> u32 {
        self.inner().rules.iter().map(|rule| rule.times).sum()
    }

    /// Requests so far whose `METHOD target` contains `part`.
    #[must_use]
    pub fn seen(&self, part: &str) -> usize {
        self.inner().seen.iter().filter(|line| line.contains(part)).count()
    }

    /// The oldest late request arrives now; the server's status for it.
    ///
    /// # Panics
    /// If there is none, or the server does not answer.
    pub async fn deliver_late(&self) -> u16 {
        let request = self.inner().late.remove(0);
        let answer = self.forward(&request).await.expect("an answer");
        let line = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
        line.split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, line: &str) -> Option<Fault> {
        let mut inner = self.inner();
        inner.seen.push(line.to_owned());
        let (method, target) = line.split_once(' ')?;
        let met = inner
            .rules
            .iter_mut()
            .find(|rule| rule.times > 0 && rule.method == method && target.contains(&rule.target_part))?;
        met.times -= 1;
        Some(met.fault)
    }

    async fn serve(&self, mut client: TcpStream) -> Result<()> {
        let request = read_request(&mut client).await?;
        let line = String::from_utf8_lossy(&request[..end_of_line(&request)]).into_owned();
        let line = line.rsplit_once(' ').map_or(line.as_str(), |(line, _)| line);
        match self.fault(line) {
            None => client.write_all(&self.forward(&request).await?).await?,
            Some(Fault::Answered(status, code)) => client.write_all(&answer(status, code)).await?,
            Some(Fault::Told(document)) => client.write_all(&told(200, document)).await?,
            Some(Fault::DoneButAnswered(status, code)) => {
                self.forward(&request).await?;
                client.write_all(&answer(status, code)).await?;
            }
            Some(Fault::RequestLost) => {}
            Some(Fault::ReplyLost) => drop(self.forward(&request).await?),
            Some(Fault::Late) => self.inner().late.push(request),
            Some(Fault::BodyCut(after)) => {
                let whole = self.forward(&request).await?;
                let cut = whole.len().min(body(&whole) + after);
                client.write_all(&whole[..cut]).await?;
            }
            Some(Fault::BodyCorrupted) => {
                let mut whole = self.forward(&request).await?;
                let middle = usize::midpoint(body(&whole), whole.len());
                whole[middle] ^= 1;
                client.write_all(&whole).await?;
            }
            Some(Fault::Dated(date)) => {
                client.write_all(&dated(&self.forward(&request).await?, date)).await?;
            }
            Some(Fault::Delayed(time)) => {
                let whole = self.forward(&request).await?;
                tokio::time::sleep(time).await;
                client.write_all(&whole).await?;
            }
        }
        client.shutdown().await?;
        Ok(())
    }

    /// What the server answers, whole.
    async fn forward(&self, request: &[u8]) -> Result<Vec<u8>> {
        let mut server = TcpStream::connect(&self.server).await?;
        server.write_all(request).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// A whole request, with `Connection: close`.
async fn read_request(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    let head = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut read).await? == 0 {
            bail!("no request");
        }
    };
    let text = std::str::from_utf8(&read[..head - 4]).context("a head is text")?;
    let field = |line: &str, name: &str| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    };
    let length = text.lines().find_map(|line| field(line, "content-length"));
    let length: usize = length.map_or(Ok(0), |length| length.parse())?;
    if text.lines().any(|line| field(line, "expect").is_some()) {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| field(line, "connection").is_none() && field(line, "expect").is_none())
        .collect();
    let mut request = format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).into_bytes();
    request.extend_from_slice(&read[head..]);
    let whole = request.len() - (read.len() - head) + length;
    while request.len() < whole {
        if client.read_buf(&mut request).await? == 0 {
            // As the network does it: the server hears of a request that breaks off.
            bail!("the request broke off");
        }
    }
    Ok(request)
}

fn end_of_line(request: &[u8]) -> usize {
    request.iter().position(|byte| *byte == b'\r').unwrap_or(request.len())
}

/// Where the body of an answer begins.
fn body(answer: &[u8]) -> usize {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    head.map_or(answer.len(), |end| end + 4)
}

fn dated(answer: &[u8], date: &str) -> Vec<u8> {
    let (head, body) = answer.split_at(body(answer));
    let head = String::from_utf8_lossy(head);
    let kept = head
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    [format!("{head}\r\nDate: {date}\r\n\r\n").as_bytes(), body].concat()
}

fn answer(status: u16, code: &str) -> Vec<u8> {
    let message = "as the test wants it";
    told(
        status,
        &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
    )
}

fn told(status: u16, document: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?>{document}");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
