//! `hub-fetch ENDPOINT CACHE REPOSITORY REVISION [--hold]`: one process that resolves and fetches a model, so that tests
//! can have several, and kill them. Prints the snapshot's folder; with `--hold` it then keeps the snapshot in use until
//! its stdin ends.

use anyhow::{Context, bail};
use shared::hub::{Hub, HubSettings, Needs};
use std::io::Read;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (endpoint, cache, repository, revision, hold) = match arguments.as_slice() {
        [endpoint, cache, repository, revision] => (endpoint, cache, repository, revision, false),
        [endpoint, cache, repository, revision, flag] if flag == "--hold" => {
            (endpoint, cache, repository, revision, true)
        }
        _ => bail!("usage: hub-fetch ENDPOINT CACHE REPOSITORY REVISION [--hold]"),
    };
    let mut settings = HubSettings::new(cache);
    endpoint.clone_into(&mut settings.endpoint);
    let hub = Hub::new(settings)?;
    let model = hub.resolve(repository, revision, Needs::default()).await?.model;
    let snapshot = hub
        .fetch(
            &model,
            Needs {
                sentences: true,
                ..Needs::default()
            },
            &|_| (),
        )
        .await?;
    println!("{}", snapshot.folder().display());
    if hold {
        std::io::stdin().read_to_end(&mut Vec::new()).context("stdin")?;
    }
    Ok(())
}
