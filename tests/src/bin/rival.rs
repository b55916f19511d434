//! One of several processes that race for the same objects and messages. Started by the tests, which read what it
//! says, stop it and kill it: one line on stdout for everything that was answered.
//!
//! * `increment STORE KEY CALLER TIMES`: adds to its own entry of a counter; says the count.
//! * `create STORE PREFIX CALLER COUNT`: creates `PREFIX/0 …` with its name; says `won N`.
//! * `write STORE PREFIX COUNT`: creates and replaces objects that contain their own digest; says `N`.
//! * `publish QUEUE COUNT`: publishes message 0, 1, …; says `N`.
//! * `receive QUEUE`: settles messages until none has come for a second; says the job.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use shared::aws::AwsAccess;
use shared::job::Accelerator;
use shared::queue::{Queue, Settlement};
use shared::settings::Fleet;
use shared::store::{Conflict, Key, Store};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tests::queue_suite::message;
use tests::store_suite::increment;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["increment", store, key, caller, times] => {
            let (store, key) = (open(store).await?, Key::new(*key)?);
            for _ in 0..times.parse()? {
                say(increment(&*store, &key, caller).await)?;
            }
            Ok(())
        }
        ["create", store, prefix, caller, count] => create(&*open(store).await?, prefix, caller, count.parse()?).await,
        ["write", store, prefix, count] => write(&*open(store).await?, prefix, count.parse()?).await,
        ["publish", queue, count] => {
            let queue = queue_at(queue).await?;
            for number in 0..count.parse()? {
                queue.publish(&message(number), Duration::ZERO).await?;
                say(number)?;
            }
            Ok(())
        }
        ["receive", queue] => {
            let queue = queue_at(queue).await?;
            while let Some(delivery) = queue.receive(Accelerator::Cpu, Duration::from_secs(1)).await? {
                let job = delivery.message()?.job;
                queue.settle(delivery.receipt, Settlement::Done).await?;
                say(job)?;
            }
            Ok(())
        }
        other => bail!("no such rivalry: {other:?}"),
    }
}

fn aws() -> Result<AwsAccess> {
    Ok(Fleet::from_env(&std::env::vars().collect())?.aws)
}

async fn open(url: &str) -> Result<Arc<dyn Store>> {
    Ok(shared::store::connect(url, &aws()?).await?)
}

async fn queue_at(url: &str) -> Result<Arc<dyn Queue>> {
    Ok(shared::queue::connect(url, &aws()?).await?)
}

async fn create(store: &dyn Store, prefix: &str, caller: &str, count: u32) -> Result<()> {
    for number in 0..count {
        match store
            .put_new(&Key::new(format!("{prefix}/{number}"))?, caller.to_owned().into())
            .await
        {
            Ok(_) => say(format!("won {number}"))?,
            Err(error) if error.conflict() == Some(Conflict::Changed) => say(format!("lost {number}"))?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// For each number an object that is written once, a copy of it, and one object that changes with every number.
async fn write(store: &dyn Store, prefix: &str, count: u32) -> Result<()> {
    let changing = Key::new(format!("{prefix}/changing"))?;
    for number in 0..count {
        let body = format!("{number} ").repeat(10_000);
        let content = format!("{}\n{body}", hex::encode(Sha256::digest(&body)));
        let once = Key::new(format!("{prefix}/once/{number}"))?;
        store.put_new(&once, content.clone().into()).await?;
        store
            .copy_new(&once, &Key::new(format!("{prefix}/copy/{number}"))?)
            .await?;
        match store.get(&changing).await? {
            None => store.put_new(&changing, content.into()).await?,
            Some(object) => store.replace(&changing, &object.etag, content.into()).await?,
        };
        say(number)?;
    }
    Ok(())
}

fn say(what: impl std::fmt::Display) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{what}")?;
    stdout.flush().context("nobody listens")
}
