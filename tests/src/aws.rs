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
    /// The same, but for a fleet's tests, which keep one process busy with each.
    sqs_endpoint: String,
    names: AtomicU32,
    _children: Vec<Child>,
}

static SERVER: OnceLock<AwsServer> = OnceLock::new();

impl AwsServer {
    /// The server of this test binary, started by the first test that asks. Lists come in pages of ten, so that every test
    /// that lists reads several.
    ///
    /// # Panics
    /// If it does not start.
    pub fn get() -> &'static Self {
        SERVER.get_or_init(|| Self::start(10).expect("moto"))
    }

    /// The same for a fleet's hundreds of versions, if this is the first to ask: pages of a thousand, as on AWS, and a
    /// process each for S3 and SQS.
    ///
    /// # Panics
    /// If it does not start.
    pub fn of_a_fleet() -> &'static Self {
        SERVER.get_or_init(|| {
            let (s3, sqs) = (Self::start(1000).expect("moto"), Self::start(1000).expect("moto"));
            Self {
                sqs_endpoint: sqs.endpoint,
                _children: s3._children.into_iter().chain(sqs._children).collect(),
                ..s3
            }
        })
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
        let endpoint = format!("http://127.0.0.1:{}", said["port"]);
        Ok(Self {
            sqs_endpoint: endpoint.clone(),
            endpoint,
            names: AtomicU32::new(0),
            _children: vec![child],
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
        address_of(&self.endpoint)
    }

    /// Where SQS is.
    #[must_use]
    pub fn sqs_address(&self) -> SocketAddr {
        address_of(&self.sqs_endpoint)
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
            sqs_endpoint: Some(self.sqs_endpoint.clone()),
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
    pub fn variables(&self) -> Vec<(String, String)> {
        let common = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
        ];
        // Not where it is the same, for it would outrank what a test puts before both.
        let own = (self.sqs_endpoint != self.endpoint).then_some(("AWS_ENDPOINT_URL_SQS", self.sqs_endpoint.as_str()));
        let all = common.into_iter().chain(own);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn address_of(endpoint: &str) -> SocketAddr {
    let (_, address) = endpoint.split_once("://").expect("a URL");
    address.parse().expect("an address")
}
