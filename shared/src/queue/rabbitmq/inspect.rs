//! What can be learnt of a broker without changing it, for `dispatcher doctor`.

mod paths;
mod reach;
mod rights;

pub use paths::Paths;
pub use rights::Rights;

use super::address::Address;
use super::link::{Link, Role};
use super::publisher::Publisher;
use super::setup::{self, Compared};
use super::{read, unreachable};
use crate::connect::ConnectError;
use anyhow::{anyhow, ensure};
use lapin::uri::AMQPScheme;
use reach::GREETING;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an answer of the broker may take here.
const ANSWER: Duration = Duration::from_secs(5);

/// A look at a broker.
#[derive(Debug)]
pub struct Inspection {
    /// For example `3.10.8`; `None`: it was not asked (TLS), or does not say.
    pub version: Option<String>,
    /// Exchanges and queues against this version's.
    pub arguments: Compared,
    /// What follows from everything being there; `None` where it is not.
    pub use_of_it: Option<anyhow::Result<Usable>>,
}

/// What the user may do and what came of doing it.
#[derive(Debug)]
pub struct Usable {
    /// Of the user.
    pub rights: Rights,
    /// Probes that were sent.
    pub paths: Paths,
}

/// Looks at the broker of a URL.
///
/// # Errors
/// As [`super::RabbitQueue::connect`] for a broker that does not let us in; the source is one line with the remedy.
pub async fn inspect(url: &str) -> Result<Inspection, ConnectError> {
    let address = read(url)?;
    let link = Link::new(address.clone(), Role::Take, ANSWER);
    match link.channel().await {
        Ok(channel) => link.give_back(channel),
        Err(error) => {
            let reason = reach::diagnose(&address, &error).await;
            return Err(unreachable(&address.shown, anyhow!(reason)));
        }
    }
    let greeting = async { anyhow::Ok(version(&greeting(&address).await?)) };
    // Who has got so far is not told to do without the rest for a greeting.
    let version = link.in_time("ask for the version", greeting).await.ok().flatten();
    let arguments = setup::compare(&link).await;
    let arguments = arguments.map_err(|source| unreachable(&address.shown, source))?;
    let use_of_it = match &arguments {
        Compared::Different(_) => None,
        compared => {
            let publisher = Publisher::new(Link::new(address, Role::Publish, ANSWER));
            Some(usable(&link, &publisher, *compared == Compared::Same).await)
        }
    };
    Ok(Inspection {
        version,
        arguments,
        use_of_it,
    })
}

async fn usable(take: &Link, publisher: &Publisher, configure: bool) -> anyhow::Result<Usable> {
    let tried = async {
        let rights = Rights::ask(take, publisher, configure).await?;
        if rights.publish {
            publisher.unroutable_comes_back().await?;
        }
        let paths = paths::try_all(take, publisher, &rights).await?;
        Ok(Usable { rights, paths })
    };
    let tried = tried.await;
    // A broker with an alarm says so after the first publish, and may still have answered it.
    if publisher.link.is_blocked().await {
        return Err(anyhow!(
            "the broker takes no messages: it is short of memory or disk; rabbitmq-diagnostics alarms says of which"
        ));
    }
    tried
}

/// The broker's first frame, `connection.start`, which lapin keeps to itself.
async fn greeting(address: &Address) -> anyhow::Result<Vec<u8>> {
    ensure!(address.uri.scheme == AMQPScheme::AMQP, "TLS comes before the greeting");
    let authority = &address.uri.authority;
    let mut stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    stream.write_all(GREETING).await?;
    // Type, channel, then the size of what follows.
    let mut header = [0; 7];
    stream.read_exact(&mut header).await?;
    let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    ensure!(header[0] == 1 && size < 1 << 17, "this is no greeting");
    let mut payload = vec![0; usize::try_from(size).map_err(|_| anyhow!("too long"))?];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

/// The field `version` of the server's properties: name with its length, `S`, length, text.
fn version(greeting: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\x07versionS";
    let at = greeting.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    let (length, rest) = greeting.get(at..)?.split_first_chunk::<4>()?;
    let text = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_is_read_from_any_bytes_without_trust() {
        let field = |text: &[u8], length: u32| [b"..\x07versionS", &length.to_be_bytes()[..], text].concat();
        assert_eq!(version(&field(b"3.10.8", 6)).as_deref(), Some("3.10.8"));
        assert_eq!(version(&field(b"3.10.8", 7)), None);
        assert_eq!(version(&field(b"3.10.8", u32::MAX)), None);
        assert_eq!(version(&field(b"\x1b[2Jbad", 7)), None);
        assert_eq!(version(b"\x07versionS\0"), None);
        assert_eq!(version(b""), None);
    }
}
