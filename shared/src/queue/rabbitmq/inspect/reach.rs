//! Why a broker does not let us in, told apart by what it does, not by what a library says about it.

use crate::queue::rabbitmq::address::Address;
use lapin::uri::AMQPScheme;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What begins a conversation.
pub(super) const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
/// For a first byte.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who answers at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Nobody,
    /// Speaks AMQP in the clear.
    Plain,
    /// Takes connections, and no AMQP in the clear: TLS most likely.
    Other,
}

/// One line: what is wrong and what to do about it. `error`: what the attempt to open a channel said.
pub(super) async fn diagnose(address: &Address, error: &anyhow::Error) -> String {
    let (text, authority) = (format!("{error:#}"), &address.uri.authority);
    let (place, vhost) = (format!("{}:{}", authority.host, authority.port), &address.uri.vhost);
    if text.contains("ACCESS_REFUSED") || text.contains("ACCESS-REFUSED") {
        return format!(
            "{place} refuses the user or the password of TRAINYARD_QUEUE_URL; rabbitmqctl authenticate_user tries them, \
             change_password sets one"
        );
    }
    if text.contains("NOT_ALLOWED") || text.contains("NOT-ALLOWED") {
        return if text.contains("not found") {
            format!("the broker has no virtual host {vhost}; rabbitmqctl add_vhost makes it, then dispatcher setup")
        } else {
            format!(
                "the user of TRAINYARD_QUEUE_URL may not use the virtual host {vhost}; rabbitmqctl set_permissions -p {vhost} \
                 lets it in (deploy/rabbitmq/README.md)"
            )
        };
    }
    match (who_is_there(&place).await, address.uri.scheme.clone()) {
        (There::Nobody, _) => format!(
            "nobody listens at {place}; brokers do at 5672, with TLS at 5671: is the broker up, and is this its port?"
        ),
        (There::Plain, AMQPScheme::AMQPS) => {
            format!("{place} speaks no TLS; take the broker's TLS port (5671), or amqp:// where nobody can listen in")
        }
        (There::Other, AMQPScheme::AMQP) => {
            format!("{place} does not speak AMQP in the clear; if it is the broker's TLS port: amqps://")
        }
        (There::Other, AMQPScheme::AMQPS) if is_about_authority(&text) => format!(
            "the certificate of {place} is not by an authority that is trusted here; name its file in the URL: \
             ?cacertfile=PEM ({text})"
        ),
        (There::Other, AMQPScheme::AMQPS) => format!(
            "no TLS connection with {place}; if it wants a client's certificate: ?certfile=PEM&keyfile=PEM in the URL ({text})"
        ),
        (There::Plain, AMQPScheme::AMQP) => text,
    }
}

fn is_about_authority(text: &str) -> bool {
    ["UnknownIssuer", "unknown issuer", "invalid peer certificate"]
        .iter()
        .any(|words| text.contains(words))
}

async fn who_is_there(place: &str) -> There {
    let Ok(Ok(mut stream)) = tokio::time::timeout(PATIENCE, TcpStream::connect(place)).await else {
        return There::Nobody;
    };
    let mut first = [0];
    let greeted = async {
        stream.write_all(GREETING).await?;
        stream.read_exact(&mut first).await
    };
    let answered = tokio::time::timeout(PATIENCE, greeted).await;
    // A method frame, or the version of AMQP that it would speak.
    if matches!(answered, Ok(Ok(_))) && (first == [1] || first == *b"A") {
        There::Plain
    } else {
        There::Other
    }
}
