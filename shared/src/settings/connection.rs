//! URLs that may hold a password.

use crate::secret::Secret;
use std::fmt;

/// Where a backend is. Shown without user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection(Secret);

impl Connection {
    /// Takes a URL over.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(Secret::new(url))
    }

    /// The whole URL, for `connect` alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The part before the first `:`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.expose().split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.expose();
        let Some((scheme, rest)) = url.split_once("://") else {
            return f.write_str(url);
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        // The last `@` before the path: a password may hold one that nobody escaped.
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (authority, path) = match path.rfind('@') {
            Some(at) => (&path[at + 1..], ""),
            None => (authority.rsplit('@').next().unwrap_or_default(), path),
        };
        write!(f, "{scheme}://{authority}{path}")
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_password_and_query_are_not_shown() {
        let cases = [
            ("amqp://guest:pa@ss@host:5672/vhost", "amqp://host:5672/vhost"),
            ("amqps://u:marked/x@host/v", "amqps://host/v"),
            ("mlflow+http://host:5000?token=marked", "mlflow+http://host:5000"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("embedded:.trainyard/queue.db", "embedded:.trainyard/queue.db"),
            ("bucket:", "bucket:"),
        ];
        for (url, shown) in cases {
            assert_eq!(Connection::new(url.into()).to_string(), shown);
            assert!(!format!("{:?}", Connection::new(url.into())).contains("marked"));
        }
    }
}
