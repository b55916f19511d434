//! What can be learnt of a broker without changing it, for `dispatcher doctor`.

use super::address::Address;
use super::link::{Link, Role};
use super::publisher::Publisher;
use super::setup::{self, Compared};
use super::{Limits, read, unreachable};
use crate::connect::ConnectError;
use anyhow::{anyhow, ensure};
use lapin::uri::AMQPScheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A look at a broker.
#[derive(Debug)]
pub struct Inspection {
    /// For example `3.10.8`; `None`: it was not asked (TLS), or does not say.
    pub version: Option<String>,
    /// Exchanges and queues against this version's.
    pub arguments: Compared,
    /// A message that no queue takes comes back, and is not lost.
    pub publishing: anyhow::Result<()>,
}

/// Looks at the broker of a URL. Everything must be there: [`super::RabbitQueue::connect`] says whether it is.
///
/// # Errors
/// As [`super::RabbitQueue::connect`].
pub async fn inspect(url: &str) -> Result<Inspection, ConnectError> {
    let address = read(url)?;
    let answer = Limits::default().answer;
    let link = Link::new(address.clone(), Role::Take, answer);
    let arguments = setup::compare(&link).await;
    let arguments = arguments.map_err(|source| unreachable(&address.shown, source))?;
    let publisher = Publisher::new(Link::new(address.clone(), Role::Publish, answer));
    let publishing = publisher.unroutable_comes_back().await;
    let greeting = async { anyhow::Ok(version(&greeting(&address).await?)) };
    Ok(Inspection {
        // Who has got so far is not told to do without the rest for a greeting.
        version: link.in_time("ask for the version", greeting).await.ok().flatten(),
        arguments,
        publishing,
    })
}

/// The broker's first frame, `connection.start`, which lapin keeps to itself.
async fn greeting(address: &Address) -> anyhow::Result<Vec<u8>> {
    ensure!(address.uri.scheme == AMQPScheme::AMQP, "TLS comes before the greeting");
    let authority = &address.uri.authority;
    let mut stream = TcpStream::connect((authority.host.as_str(), authority.port)).await?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
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
