//! What the fleet itself costs, beside Celery on the same RabbitMQ in the same run: `make bench`.
//!
//! Publishing with confirms, from publishing to the trainer's start, a whole job whose trainer does nothing, and files to a
//! bucket and back.
//!
//! `cargo bench --workspace --bench fleet -- latency` measures only the parts that are named.

mod celery;
mod jobs;
mod latency;
mod ranges;
mod rates;
mod table;
mod transfers;

use anyhow::Result;
use std::io::IsTerminal;
use table::Table;
use tests::rabbitmq::Broker;

/// Rounds of everything where BENCH_ROUNDS says nothing else; both sides take turns in each.
const ROUNDS: usize = 3;

/// What a reader of the table must know.
const ABOUT: &str = "\
# What the fleet costs
Written by `make bench`: medians of the rounds with the least and the most, both sides in one run; a ratio is the median \
of the rounds' ratios, above 1 where ours is better. The store is a folder; RabbitMQ and moto (S3, SQS) run on the same \
machine. From publishing to the trainer's start, ours starts a process for each job, whose record and claim are on disk \
before, while Celery's task begins in a process that is warm and reads nothing. Uploads go to moto, downloads come from \
memory: a server of the benchmark's own, since moto reads the whole object for each range that is asked for.
";

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
    let rounds = std::env::var("BENCH_ROUNDS").map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    for round in 1..=rounds {
        if asked("rates") {
            eprintln!("round {round} of {rounds}: publishing");
            rates::measure(broker, &mut table).await?;
        }
        if asked("latency") {
            eprintln!("round {round} of {rounds}: from publishing to the start of a trainer");
            latency::measure(broker, &mut table).await?;
        }
        if asked("transfers") {
            eprintln!("round {round} of {rounds}: files to a bucket and back");
            transfers::measure(&mut table).await?;
        }
    }
    println!("{}", table.markdown(std::io::stdout().is_terminal()));
    for name in table.missed() {
        eprintln!("missed its aim: {name}");
    }
    // A part of the table is not the table.
    if let (Some(file), true) = (std::env::var_os("BENCH_WRITE"), named.is_empty()) {
        std::fs::write(file, format!("{ABOUT}\n{}", table.markdown(false)))?;
    }
    Ok(())
}
