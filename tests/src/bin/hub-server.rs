//! `hub-server --root DIR [--port N]`: the tests' hub over a folder of repositories, for whoever cannot be in one
//! process with it. Its address is the first line on stdout.

use anyhow::{Context, bail};
use std::path::PathBuf;
use tests::hub_server::HubServer;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (mut root, mut port) = (None, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--root" => root = Some(PathBuf::from(value)),
            "--port" => port = value.parse().context("--port")?,
            _ => bail!("usage: hub-server --root DIR [--port N]"),
        }
    }
    let server = HubServer::start_at(&root.context("--root is missing")?, port, 1000).await?;
    println!("{}", server.url());
    server.serve().await.context("serving ended")
}
