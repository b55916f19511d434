//! Questions to the hub: what commit a revision is, and what files a commit has. One attempt each.
//!
//! hf-hub answers the first. The second is asked here, since hf-hub 1.0 drops what matters of the answer: the tree gives
//! the SHA-256 of a file in LFS as `lfs.oid`, which hf-hub looks for as `lfs.sha256`; and it follows the link to the next
//! page to whatever host, with the token. Files are transferred in [`super::transfer`].

use super::digest::Digest;
use super::error::{HubError, shortened};
use super::manifest::HubFile;
use super::names::is_commit;
use super::settings::HubSettings;
use super::tries::{Failure, is_transient, retry_after};
use anyhow::anyhow;
use hf_hub::{HFClient, HFError};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Client, RequestBuilder, Response, Url};

/// Most bytes of a page of the tree, and most pages: what is beyond is no model repository.
const PAGE_LIMIT: usize = 16 << 20;
const MOST_PAGES: usize = 100;

/// A hub that may be asked.
#[derive(Debug)]
pub(super) struct Online {
    hub: HFClient,
    http: Client,
    settings: HubSettings,
}

/// What is asked about, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) repository: &'a str,
    pub(super) revision: &'a str,
}

/// Whether a hub can be at this address at all.
pub(super) fn check_endpoint(endpoint: &str) -> Result<(), HubError> {
    let web = Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    web.then_some(()).ok_or_else(|| HubError::Client {
        endpoint: endpoint.to_owned(),
        source: anyhow!("it is no address that begins with http:// or https://"),
    })
}

impl Online {
    /// Opens no connection, but reads the host's certificates.
    pub(super) fn new(settings: &HubSettings) -> Result<Self, HubError> {
        let failed = |source| HubError::Client {
            endpoint: settings.endpoint.clone(),
            source,
        };
        // No step down from https: what was asked for encrypted is not sent in the clear. Credentials stay with the
        // host that they are for: reqwest drops them from a redirect to another.
        let redirects = reqwest::redirect::Policy::custom(|attempt| {
            let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if attempt.previous().len() > 10 || (from_https && attempt.url().scheme() != "https") {
                return attempt.error("too many redirects, or one from https to http");
            }
            attempt.follow()
        });
        let http = Client::builder()
            .user_agent(concat!("trainyard/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.patience.connect)
            .read_timeout(settings.patience.read_idle)
            .redirect(redirects)
            .build()
            .map_err(|e| failed(e.into()))?;
        // hf-hub's own retries know nothing of Retry-After: `tries` does them.
        let hub = HFClient::builder()
            .endpoint(&settings.endpoint)
            .client(http.clone())
            .retry_max_attempts(0);
        let hub = match &settings.token {
            Some(token) => hub.token(token.expose()),
            None => hub,
        };
        let hub = hub.cache_dir(&settings.cache).build().map_err(|e| failed(e.into()))?;
        Ok(Self {
            hub,
            http,
            settings: settings.clone(),
        })
    }

    /// The commit of a branch, tag or commit.
    pub(super) async fn commit(&self, asked: Asked<'_>) -> Result<String, Failure> {
        let (owner, name) = hf_hub::split_id(asked.repository);
        let info = self.hub.model(owner, name).info().revision(asked.revision).send().await;
        let commit = info.map_err(|error| asked.understood(error, &self.settings))?.sha;
        match commit {
            Some(commit) if is_commit(&commit) && (!is_commit(asked.revision) || commit == asked.revision) => {
                Ok(commit)
            }
            other => Err(Failure::again(anyhow!("the hub named {other:?} as the commit"))),
        }
    }

    /// All files of a commit.
    pub(super) async fn tree(&self, asked: Asked<'_>) -> Result<Vec<HubFile>, Failure> {
        let mut next = Some(self.address(&["api", "models"], asked, "tree", "")?);
        if let Some(url) = &mut next {
            url.set_query(Some("recursive=true"));
        }
        let mut files = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { return Ok(files) };
            let response = self
                .authorized(self.http.get(url.clone()))
                .send()
                .await
                .map_err(Failure::again)?;
            let response = asked.checked(response, &self.settings).await?;
            next = next_page(&url, response.headers())?;
            files.extend(entries(&limited(response).await?)?);
        }
        Err(Failure::again(anyhow!("its list of files does not end")))
    }

    /// A request for the content of a file, not yet sent.
    pub(super) fn content(&self, asked: Asked<'_>, path: &str) -> Result<RequestBuilder, HubError> {
        let url = self.address(&[], asked, "resolve", path)?;
        Ok(self
            .authorized(self.http.get(url))
            .header(reqwest::header::ACCEPT_ENCODING, "identity"))
    }

    /// A small file, verified. Its size was looked at.
    pub(super) async fn small(&self, asked: Asked<'_>, file: &HubFile) -> Result<Vec<u8>, Failure> {
        let response = self.content(asked, &file.path)?.send().await.map_err(Failure::again)?;
        let mut response = asked.checked(response, &self.settings).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Failure::again)? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > file.size {
                break;
            }
        }
        if file.digest.is_of(&body) {
            return Ok(body);
        }
        Err(Failure::again(anyhow!("{} is not what the hub lists", file.path)))
    }

    pub(super) fn settings(&self) -> &HubSettings {
        &self.settings
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.settings.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    fn address(&self, prefix: &[&str], asked: Asked<'_>, verb: &str, path: &str) -> Result<Url, HubError> {
        let failed = |reason| HubError::Client {
            endpoint: self.settings.endpoint.clone(),
            source: reason,
        };
        let mut url = Url::parse(&self.settings.endpoint).map_err(|e| failed(e.into()))?;
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| failed(anyhow!("it has no path")))?;
        segments
            .pop_if_empty()
            .extend(prefix)
            .extend(asked.repository.split('/'))
            .push(verb)
            .push(asked.revision);
        segments.extend(path.split('/').filter(|part| !part.is_empty()));
        drop(segments);
        Ok(url)
    }
}

impl Asked<'_> {
    fn what(&self) -> String {
        format!("model {} at {}", self.repository, self.revision)
    }

    /// The response, if it is a success.
    pub(super) async fn checked(&self, response: Response, settings: &HubSettings) -> Result<Response, Failure> {
        if response.status().is_success() {
            return Ok(response);
        }
        let after = retry_after(response.headers());
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let (status, code, said) = (
            response.status().as_u16(),
            header("x-error-code"),
            header("x-error-message"),
        );
        Err(self.refusal(
            status,
            code.as_deref(),
            said.as_deref().unwrap_or_default(),
            after,
            settings,
        ))
    }

    /// What an answer other than success means. The hub says 401 for a repository that does not exist, so that nobody
    /// learns the names of private ones; its error code tells.
    fn refusal(
        &self,
        status: u16,
        code: Option<&str>,
        said: &str,
        after: Option<std::time::Duration>,
        settings: &HubSettings,
    ) -> Failure {
        let repository = self.repository.to_owned();
        let said = shortened(said);
        Failure::Final(match (status, code) {
            (_, Some("RepoNotFound")) => HubError::NoRepository { repository },
            (_, Some("RevisionNotFound")) => HubError::NoRevision {
                repository,
                revision: self.revision.to_owned(),
            },
            (401 | 403, _) => {
                let page = format!("{}/{}", settings.endpoint, self.repository);
                HubError::Gated {
                    repository,
                    page,
                    status,
                    said,
                }
            }
            (404, _) => HubError::NoRevision {
                repository,
                revision: self.revision.to_owned(),
            },
            (status, _) if is_transient(status) => {
                return Failure::Again {
                    after,
                    source: anyhow!("it answered {status}: {said}"),
                };
            }
            (status, _) => HubError::Refused {
                what: self.what(),
                status,
                said,
            },
        })
    }

    fn understood(&self, error: HFError, settings: &HubSettings) -> Failure {
        let (after, context) = match error {
            HFError::RateLimited { retry_after, context } => (retry_after, Some(context)),
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context } => (None, Some(context)),
            HFError::RepoNotFound { context, .. } | HFError::RevisionNotFound { context, .. } => (None, context),
            other => return Failure::again(other),
        };
        match context {
            Some(context) => {
                let said = context.server_message.as_deref().unwrap_or_default();
                self.refusal(
                    context.status.as_u16(),
                    context.error_code.as_deref(),
                    said,
                    after,
                    settings,
                )
            }
            None => Failure::again(anyhow!("the hub gave no reason")),
        }
    }
}

async fn limited(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::again)? {
        if body.len() + chunk.len() > PAGE_LIMIT {
            return Err(Failure::again(anyhow!("its list of files does not end")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `Link: <…>; rel="next"` (RFC 8288), on the same host only: the next request carries the token.
fn next_page(current: &Url, headers: &HeaderMap) -> Result<Option<Url>, Failure> {
    let text = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let mut links = text
        .flat_map(|value| value.split(','))
        .filter(|link| link.contains("rel=\"next\""));
    let Some(target) = links.next().and_then(|link| link.split_once('<')?.1.split_once('>')) else {
        return Ok(None);
    };
    let next = current.join(target.0).map_err(Failure::again)?;
    if next.origin() == current.origin() {
        Ok(Some(next))
    } else {
        Err(Failure::again(anyhow!("its list of files goes on at another host")))
    }
}

fn entries(body: &[u8]) -> Result<Vec<HubFile>, Failure> {
    #[derive(serde::Deserialize)]
    struct Large {
        oid: String,
        size: u64,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        r#type: String,
        path: String,
        oid: String,
        #[serde(default)]
        size: u64,
        lfs: Option<Large>,
    }
    let entries: Vec<Entry> = serde_json::from_slice(body).map_err(Failure::again)?;
    let files = entries.into_iter().filter(|entry| entry.r#type == "file").map(|entry| {
        let (text, size) = entry
            .lfs
            .map_or((entry.oid, entry.size), |large| (large.oid, large.size));
        Digest::try_from(text).map(|digest| HubFile {
            path: entry.path,
            size,
            digest,
        })
    });
    files.collect::<Result<_, _>>().map_err(Failure::again)
}
