//! EC2's instance metadata service, version 2: a token by PUT, then GET with it.

use reqwest::header::HeaderValue;
use reqwest::{Client, Method, StatusCode, redirect};
use std::time::{Duration, Instant};

/// It answers within milliseconds where there is one; where packets to it vanish, this is what a look costs.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
/// The longest life that a token can have.
const TTL: Duration = Duration::from_secs(21_600);
/// Longer answers are none of its.
const BODY_BYTES: usize = 64 << 10;

/// One instance's metadata.
#[derive(Debug)]
pub(super) struct Imds {
    http: Client,
    endpoint: String,
    token: Option<Token>,
}

#[derive(Debug)]
struct Token {
    value: HeaderValue,
    renew: Instant,
}

/// No answer that could be used: there is no such service here, or it is in trouble.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImdsError {
    /// Not even a connection, or no answer in time.
    #[error("no answer")]
    Away(#[from] reqwest::Error),
    /// Something else lives there, or it refuses.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// Something else lives there.
    #[error("its answer is none: {0}")]
    Odd(&'static str),
}

impl Imds {
    /// At `endpoint`, a URL without a path.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub(super) fn new(endpoint: String) -> Result<Self, ImdsError> {
        // A proxy would ask for its own machine's notices; certificates have no part in plain HTTP.
        let http = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .tls_certs_only([])
            .build()?;
        Ok(Self {
            http,
            endpoint,
            token: None,
        })
    }

    /// What lies at `path` below `latest/meta-data/`; `None` where nothing does.
    ///
    /// # Errors
    /// [`ImdsError`]; a refused token is renewed once.
    pub(super) async fn get(&mut self, path: &str) -> Result<Option<String>, ImdsError> {
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let url = format!("{}/latest/meta-data/{path}", self.endpoint);
            let answer = self
                .http
                .get(url)
                .header("X-aws-ec2-metadata-token", token)
                .send()
                .await?;
            match answer.status() {
                StatusCode::OK => return text(answer).await.map(Some),
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::UNAUTHORIZED if !renewed => {
                    self.token = None;
                    renewed = true;
                }
                other => return Err(ImdsError::Status(other)),
            }
        }
    }

    async fn token(&mut self) -> Result<HeaderValue, ImdsError> {
        if let Some(token) = self.token.as_ref().filter(|token| Instant::now() < token.renew) {
            return Ok(token.value.clone());
        }
        let url = format!("{}/latest/api/token", self.endpoint);
        const TTL_HEADER: &str = "X-aws-ec2-metadata-token-ttl-seconds";
        let asked = self.http.request(Method::PUT, url).header(TTL_HEADER, TTL.as_secs());
        let answer = asked.send().await?;
        if answer.status() != StatusCode::OK {
            return Err(ImdsError::Status(answer.status()));
        }
        let granted = answer.headers().get(TTL_HEADER).and_then(|value| value.to_str().ok());
        let life = granted
            .and_then(|text| text.parse().ok())
            .map_or(TTL, Duration::from_secs);
        let mut value =
            HeaderValue::from_str(text(answer).await?.trim()).map_err(|_| ImdsError::Odd("a token is plain text"))?;
        value.set_sensitive(true);
        self.token = Some(Token {
            value: value.clone(),
            renew: Instant::now() + life.mul_f64(0.9),
        });
        Ok(value)
    }
}

async fn text(mut answer: reqwest::Response) -> Result<String, ImdsError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > BODY_BYTES {
            return Err(ImdsError::Odd("too long"));
        }
    }
    String::from_utf8(bytes).map_err(|_| ImdsError::Odd("no text"))
}
