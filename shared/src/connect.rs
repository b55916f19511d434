//! What can go wrong between the URL of a backend and the backend.

/// A backend that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL names nothing that this version knows: bad settings, found before any connection.
    #[error("failed to read the {what} URL {url}: {reason}")]
    Url {
        /// `store` or `queue`.
        what: &'static str,
        /// Without credentials.
        url: String,
        /// What is wrong with it and what to set instead.
        reason: String,
    },
    /// The backend is not there, or not for us.
    #[error("failed to open the {what} {url}")]
    Unreachable {
        /// `store` or `queue`.
        what: &'static str,
        /// Without credentials.
        url: String,
        /// What happened.
        #[source]
        source: anyhow::Error,
    },
}

impl ConnectError {
    /// Whether the settings are at fault (exit code 64) and not the backend (69).
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Url { .. })
    }
}

/// `url` without what may be a secret: the user, the password and the query.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    // A password may itself contain `@` or `/`, so everything up to the last `@` goes.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn credentials_never_show() {
        for (url, shown) in [
            ("amqps://user:s3cret@host:5671/yard", "amqps://…@host:5671/yard"),
            ("amqp://user:s3c@r/et@host", "amqp://…@host"),
            ("s3://bucket/prefix?key=s3cret", "s3://bucket/prefix"),
            ("file:a/b", "file:a/b"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
