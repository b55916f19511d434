//! Tells the platform that a busy worker shall not be the victim of scale-in.
//!
//! Kubernetes: annotations of the worker's own pod, through the API that every pod can reach. `pod-deletion-cost` makes
//! a ReplicaSet remove idle pods first, `do-not-disrupt` keeps Karpenter from emptying the node.

use anyhow::{Context as _, Result, ensure};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, redirect};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// Where a pod finds its token, its namespace and the API's certificate.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An idle worker is one that was idle for this long: the next job may be at hand.
const IDLE: Duration = Duration::from_secs(5);
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(30);
/// No answer of the API takes longer.
const ANSWER: Duration = Duration::from_secs(5);

/// The worker's own pod.
#[derive(Debug)]
pub struct Pod {
    http: Client,
    url: String,
    account: PathBuf,
}

impl Pod {
    /// The pod `name` at the API server `host:port`, with what lies in the folder `account`. Connects to nothing.
    ///
    /// # Errors
    /// The folder does not hold what a pod has, or the names are none.
    pub fn open(account: &Path, host: &str, port: &str, name: &str) -> Result<Self> {
        let read = |file: &str| {
            let path = account.join(file);
            std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))
        };
        let authority = Certificate::from_pem_bundle(&read("ca.crt")?).context("failed to read ca.crt")?;
        let namespace = String::from_utf8(read("namespace")?).context("failed to read the namespace")?;
        let namespace = namespace.trim();
        for part in [namespace, name] {
            let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
            ensure!(plain && !part.is_empty(), "{part:?} is no name of Kubernetes");
        }
        // An IPv6 address stands in brackets.
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let http = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .https_only(true)
            .timeout(ANSWER)
            .tls_certs_only(authority)
            .build()
            .context("failed to make a client")?;
        Ok(Self {
            http,
            url: format!("https://{host}:{port}/api/v1/namespaces/{namespace}/pods/{name}"),
            account: account.to_owned(),
        })
    }

    /// Sets the annotations.
    async fn tell(&self, busy: bool) -> Result<()> {
        // The token is renewed in its file about once an hour.
        let token = tokio::fs::read_to_string(self.account.join("token"))
            .await
            .context("failed to read the token")?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.trim())).context("the token is no plain text")?;
        authorization.set_sensitive(true);
        let annotations = json!({
            "controller.kubernetes.io/pod-deletion-cost": if busy { "1000" } else { "0" },
            // Null takes it away.
            "karpenter.sh/do-not-disrupt": busy.then_some("true"),
        });
        let patch = json!({"metadata": {"annotations": annotations}});
        let answer = self
            .http
            .patch(&self.url)
            .header("Authorization", authorization)
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string())
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "the API answered {} (deploy/k8s/worker-rbac.yaml holds the role that it needs)",
            answer.status()
        );
        Ok(())
    }
}

/// Keeps the platform informed until dropped. Failures are said once and never end anything.
pub async fn run(pod: Pod, mut busy: watch::Receiver<usize>) {
    let (mut told, mut complained) = (None, false);
    loop {
        let now = *busy.borrow_and_update() > 0;
        if told == Some(now) {
            if busy.changed().await.is_err() {
                return;
            }
            continue;
        }
        if !now
            && told.is_some()
            && let Ok(changed) = tokio::time::timeout(IDLE, busy.changed()).await
        {
            if changed.is_err() {
                return;
            }
            continue;
        }
        match pod.tell(now).await {
            Ok(()) => {
                tracing::debug!(busy = now, "the pod's annotations are set");
                (told, complained) = (Some(now), false);
            }
            Err(error) => {
                if !complained {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "this worker is not protected from scale-in"
                    );
                    complained = true;
                }
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    changed = busy.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}
