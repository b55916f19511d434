//! The proxy of the network tests does to a plain echo server what it says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tests::proxy::{Direction, Fault, Limit, Proxy, Then};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers every byte by itself, and the end by a last word.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.write_all(b"end").await;
            });
        }
    });
    address
}

async fn through(fault: Fault) -> (Proxy, TcpStream) {
    let proxy = Proxy::start(echo().await).await;
    proxy.set(fault);
    let stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts");
    (proxy, stream)
}

/// What comes until the end, or until nothing comes for a while.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match tokio::time::timeout(Duration::from_millis(300), stream.read(&mut buffer)).await {
            Err(_) => return (all, false),
            Ok(Ok(0) | Err(_)) => return (all, true),
            Ok(Ok(read)) => all.extend_from_slice(&buffer[..read]),
        }
    }
}

fn limit(direction: Direction, bytes: u64, then: Then) -> Fault {
    Fault {
        limit: Some(Limit { direction, bytes, then }),
        ..Fault::default()
    }
}

#[tokio::test]
async fn passes_everything_and_counts_it() {
    let (proxy, mut stream) = through(Fault::default()).await;
    stream.write_all(b"hello").await.expect("writes");
    stream.shutdown().await.expect("half-closes");
    assert_eq!(
        rest(&mut stream).await,
        (b"helloend".to_vec(), true),
        "a half-close is passed on"
    );
    assert_eq!(
        (proxy.passed(Direction::ToServer), proxy.passed(Direction::ToClient)),
        (5, 8)
    );
}

#[tokio::test]
async fn cuts_after_exactly_so_many_bytes() {
    for direction in [Direction::ToClient, Direction::ToServer] {
        let (_proxy, mut stream) = through(limit(direction, 2, Then::Cut)).await;
        stream.write_all(b"hello").await.expect("writes");
        let (came, ended) = rest(&mut stream).await;
        assert!(ended && b"he".starts_with(&came), "{direction:?}: {came:?}, {ended}");
    }
}

#[tokio::test]
async fn half_closes_one_direction_only() {
    let (_proxy, mut stream) = through(limit(Direction::ToServer, 2, Then::HalfClose)).await;
    stream.write_all(b"hello").await.expect("writes");
    assert_eq!(rest(&mut stream).await, (b"heend".to_vec(), true));
}

#[tokio::test]
async fn falls_silent_without_a_word() {
    let (proxy, mut stream) = through(limit(Direction::ToClient, 2, Then::Silence)).await;
    stream.write_all(b"hello").await.expect("writes");
    assert_eq!(rest(&mut stream).await, (b"he".to_vec(), false));
    proxy.cut();
    assert!(rest(&mut stream).await.1, "a cut ends what is silent");
}

#[tokio::test]
async fn a_black_hole_keeps_what_comes_until_it_is_none() {
    let blackhole = Fault {
        blackhole: true,
        ..Fault::default()
    };
    let (proxy, mut stream) = through(blackhole).await;
    stream.write_all(b"hello").await.expect("writes");
    assert_eq!(rest(&mut stream).await, (Vec::new(), false));
    proxy.set(Fault::default());
    assert_eq!(rest(&mut stream).await, (b"hello".to_vec(), false));
}

#[tokio::test]
async fn delays_and_throttles() {
    let delayed = Fault {
        delay: Duration::from_millis(50),
        ..Fault::default()
    };
    let throttled = Fault {
        throttle: Some(2000),
        ..Fault::default()
    };
    for (fault, bytes, least) in [(delayed, 1, 100), (throttled, 400, 200)] {
        let (_proxy, mut stream) = through(fault).await;
        let started = Instant::now();
        stream.write_all(&vec![b'x'; bytes]).await.expect("writes");
        stream.read_exact(&mut vec![0; bytes]).await.expect("comes back");
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(least), "{fault:?}: {took:?}");
    }
}

#[tokio::test]
async fn refuses_new_connections_only() {
    let (proxy, mut stream) = through(Fault::default()).await;
    stream.write_all(b"a").await.expect("writes");
    assert_eq!(rest(&mut stream).await.0, b"a");
    proxy.set(Fault {
        refuse: true,
        ..Fault::default()
    });
    let mut refused = TcpStream::connect(proxy.address()).await.expect("accepted, and closed");
    assert!(rest(&mut refused).await.1);
    stream.write_all(b"b").await.expect("writes");
    assert_eq!(rest(&mut stream).await.0, b"b");
}
