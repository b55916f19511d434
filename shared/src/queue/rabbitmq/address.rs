//! Where the broker is, and who asks.

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use std::fmt;

/// Seconds after which a silent peer is given up, unless the URL has its own `heartbeat`: a host that vanished holds
/// its messages for at most twice as long.
const HEARTBEAT: u16 = 20;
/// Milliseconds for the connection, unless the URL has its own `connection_timeout`.
const CONNECTION_TIMEOUT: u64 = 10_000;

/// A URL that was read. `Debug` shows no user and no password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) uri: AMQPUri,
    pub(super) tls: OwnedTLSConfig,
    /// For people: without credentials.
    pub(super) shown: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

impl Address {
    /// Reads `amqp(s)://user:password@host:port/vhost?…`; see [`super`] for the parameters.
    ///
    /// # Errors
    /// For people, without credentials.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        const KNOWN: &str = "expected amqp(s)://user:password@host:port/vhost, with special characters percent-encoded";
        // What the parser says may quote the whole URL.
        let mut uri: AMQPUri = url.parse().map_err(|_| KNOWN.to_owned())?;
        if let Some(literal) = ipv6(url) {
            // lapin would go to localhost instead.
            uri.authority.host = literal.to_owned();
        }
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        uri.query.connection_timeout.get_or_insert(CONNECTION_TIMEOUT);
        let tls = tls(url, uri.scheme == AMQPScheme::AMQPS)?;
        Ok(Self {
            uri,
            tls,
            shown: crate::connect::without_credentials(url),
        })
    }
}

/// `::1` of `amqp://user@[::1]:5672/`.
fn ipv6(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    host.strip_prefix('[')?.split(']').next()
}

/// Certificate authority and client certificate: files named as in RabbitMQ's own URI parameters.
fn tls(url: &str, secure: bool) -> Result<OwnedTLSConfig, String> {
    const KNOWN: [&str; 8] = [
        "cacertfile",
        "certfile",
        "keyfile",
        "heartbeat",
        "connection_timeout",
        "auth_mechanism",
        "frame_max",
        "channel_max",
    ];
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let mut files = [None, None, None];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = KNOWN.iter().position(|known| *known == name) else {
            return Err(format!("unknown parameter {name:?}; known are {}", KNOWN.join(", ")));
        };
        if at < files.len() {
            let path = decoded(value).ok_or_else(|| format!("{name} is not percent-encoded UTF-8"))?;
            let read = std::fs::read(&path).map_err(|error| format!("failed to read {name} {path}: {error}"))?;
            files[at] = Some(read);
        }
    }
    let [authority, certificate, key] = files;
    if !secure && (authority.is_some() || certificate.is_some() || key.is_some()) {
        return Err("certificates are for amqps://, and this is amqp://".to_owned());
    }
    let cert_chain = match authority.map(String::from_utf8) {
        Some(Ok(pem)) if pem.contains("BEGIN CERTIFICATE") => Some(pem),
        Some(_) => return Err("cacertfile holds no certificate in PEM".to_owned()),
        None => None,
    };
    let identity = match (certificate, key) {
        (Some(pem), Some(key)) => Some(OwnedIdentity::PKCS8 { pem, key }),
        (None, None) => None,
        _ => return Err("a client certificate needs both certfile and keyfile".to_owned()),
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}

/// Without percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_show_no_secret() {
        let address = Address::read("amqp://user:s3%2Fcret@[::1]:5673/yard?heartbeat=5").expect("an address");
        assert_eq!(
            (address.uri.authority.host.as_str(), address.uri.authority.port),
            ("::1", 5673)
        );
        assert_eq!(address.uri.vhost, "yard");
        assert_eq!(address.uri.query.heartbeat, Some(5));
        assert_eq!(address.uri.authority.userinfo.password, "s3/cret");
        assert!(!format!("{address:?}").contains("s3"), "{address:?}");
        for (url, vhost) in [("amqp://host", "/"), ("amqp://host/", "/"), ("amqp://host/%2Fa", "/a")] {
            assert_eq!(Address::read(url).expect("an address").uri.vhost, vhost);
        }
    }

    #[test]
    fn mistakes_are_named_without_the_url() {
        for (url, said) in [
            ("amqp://user:s3cret@host:port/x", "percent-encoded"),
            ("amqp://user:s3cret@host/x?hartbeat=5", "unknown parameter \"hartbeat\""),
            (
                "amqps://user:s3cret@host/x?cacertfile=/no/such",
                "failed to read cacertfile /no/such",
            ),
            ("amqps://user:s3cret@host/x?certfile=/dev/null", "needs both"),
            ("amqp://user:s3cret@host/x?certfile=/dev/null", "amqps://"),
            ("amqps://user:s3cret@host/x?cacertfile=%2Fdev%2Fnull", "no certificate"),
        ] {
            let error = Address::read(url).expect_err("must be refused");
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
