//! S3 and SQS of the tests: moto, one server a test binary, and buckets of which a test has one.

use anyhow::{Context, Result};
use serde_json::Value;
use shared::aws::{AwsAccess, AwsKeys};
use shared::secret::Secret;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What every client of it signs with; moto lets everybody in.
pub const ACCESS_KEY: &str = "AKIATESTS";
/// No test may find it in any text.
pub const SECRET_KEY: &str = "s3cret-of-the-tests";
/// Where everything is.
pub const REGION: &str = "us-east-1";

/// A running server. It ends when this process does, however that ends: it reads our end of its standard input.
#[derive(Debug)]
pub struct AwsServer {
    endpoint: String,
    names: AtomicU32,
    _child: Child,
}

impl AwsServer {
    /// The server of this test binary, started by the first test that asks.
    ///
    /// # Panics
    /// If it does not start.
    pub fn get() -> &'static Self {
        Self::with_pages_of(10)
    }

    /// The same; if this is the first to ask, its lists come in pages of so many objects. Few make every test that lists read
    /// several pages, AWS's thousand spare a fleet's tests most of the time that hundreds of versions take.
    ///
    /// # Panics
    /// If it does not start.
    pub fn with_pages_of(objects: u32) -> &'static Self {
        static SERVER: OnceLock<AwsServer> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(objects).expect("moto"))
    }

    fn start(page: u32) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut child = Command::new(root.join(".tools/moto/bin/python"))
            .arg(root.join("tests/python/aws_server.py"))
            .arg(page.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("moto is installed by `scripts/setup.sh judges`")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its stdout is piped")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).with_context(|| format!("moto said {line:?}"))?;
        Ok(Self {
            endpoint: format!("http://127.0.0.1:{}", said["port"]),
            names: AtomicU32::new(0),
            _child: child,
        })
    }

    /// `http://127.0.0.1:PORT`, for S3 and SQS.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same, for a proxy in front of it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let (_, address) = self.endpoint.split_once("://").expect("a URL");
        address.parse().expect("an address")
    }

    /// A name that no other test of this binary has: a bucket's, a queue's.
    #[must_use]
    pub fn fresh_name(&self, of: &str) -> String {
        format!("{of}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A new, empty bucket. Its name.
    ///
    /// # Panics
    /// If moto refuses.
    pub async fn bucket(&self) -> String {
        let name = self.fresh_name("bucket");
        let url = format!("{}/{name}", self.endpoint);
        let made = reqwest::Client::new().put(url).send().await.expect("moto answers");
        assert!(made.status().is_success(), "{made:?}");
        name
    }

    /// Uploads in parts to a bucket that were neither completed nor aborted: their keys.
    ///
    /// # Panics
    /// If moto refuses.
    pub async fn uploads(&self, bucket: &str) -> Vec<String> {
        let url = format!("{}/{bucket}?uploads", self.endpoint);
        let listed = reqwest::get(url).await.expect("moto answers");
        assert!(listed.status().is_success(), "{listed:?}");
        let listed = listed.text().await.expect("text");
        let keys = listed.split("<Key>").skip(1).filter_map(|rest| rest.split_once('<'));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    /// How a client reaches it.
    #[must_use]
    pub fn access(&self) -> AwsAccess {
        AwsAccess {
            s3_endpoint: Some(self.endpoint.clone()),
            sqs_endpoint: Some(self.endpoint.clone()),
            region: Some(REGION.to_owned()),
            keys: Some(AwsKeys {
                id: Secret::new(ACCESS_KEY.to_owned()),
                secret: Secret::new(SECRET_KEY.to_owned()),
                session: None,
            }),
            ..AwsAccess::default()
        }
    }

    /// What a binary's environment needs to find it.
    #[must_use]
    pub fn variables(&self) -> [(String, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }
}
