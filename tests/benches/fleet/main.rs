//! What the fleet itself costs, beside Celery on the same RabbitMQ in the same run: `make bench`.
//!
//! Publishing with confirms, from publishing to the trainer's start, and a whole job whose trainer does nothing.
//!
//! `cargo bench --workspace --bench fleet -- latency` measures only the parts that are named.

mod celery;
mod jobs;
mod latency;
mod rates;
mod table;

use anyhow::Result;
use table::Table;
use tests::rabbitmq::Broker;

/// Rounds of everything; both sides take turns in each.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    // `cargo test` builds and runs benches too; only `cargo bench` passes this.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("this is a benchmark: make bench");
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let asked = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let broker = Broker::get(env!("CARGO_BIN_EXE_broker"));
    let mut table = Table::default();
    for round in 1..=ROUNDS {
        if asked("rates") {
            eprintln!("round {round} of {ROUNDS}: publishing");
            rates::measure(broker, &mut table).await?;
        }
        if asked("latency") {
            eprintln!("round {round} of {ROUNDS}: from publishing to the start of a trainer");
            latency::measure(broker, &mut table).await?;
        }
    }
    let text = table.markdown();
    println!("{text}");
    if let Some(file) = std::env::var_os("BENCH_WRITE") {
        std::fs::write(file, text)?;
    }
    Ok(())
}
