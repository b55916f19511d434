//! A trainer that does nothing but what the protocol asks for, so that a benchmark measures the fleet and not a training.
//!
//! Appends the moment at which it started (nanoseconds since 1970) to the file `starts` beside its own executable.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use trainer_protocol::{Checkpoint, Environment, OUTPUT_FILES, Report};

fn main() -> Result<()> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let starts = std::env::current_exe()?.with_file_name("starts");
    let mut file = fs::File::options().create(true).append(true).open(starts)?;
    file.write_all(format!("{started}\n").as_bytes())?;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|it| it == name);
        let value = at.and_then(|at| arguments.get(at + 1)).map(PathBuf::from);
        value.with_context(|| format!("{name} is missing"))
    };
    let (job, outputs) = (arguments.first().context("the job is missing")?, value("--outputs")?);
    ensure!(fs::metadata(job)?.is_file(), "{job} is no file");
    let artifacts = outputs.join(OUTPUT_FILES.artifacts);
    fs::create_dir_all(&artifacts)?;
    fs::write(artifacts.join("config.json"), "{}\n")?;
    fs::write(outputs.join(OUTPUT_FILES.predictions), "[]\n")?;
    fs::write(outputs.join(OUTPUT_FILES.report), serde_json::to_vec(&report())?)?;
    println!(r#"{{"event":"exported","files":1,"bytes":3}}"#);
    Ok(())
}

fn report() -> Report {
    Report {
        scores: BTreeMap::new(),
        per_label: BTreeMap::new(),
        labels: Vec::new(),
        train_rows: 0,
        validation_rows: 0,
        steps: 0,
        best_step: None,
        environment: Environment {
            trainer: "empty".into(),
            libtorch: "none".into(),
            precision: "fp32".into(),
            device: "cpu".into(),
            threads: 1,
            cpu_capability: "none".into(),
            gpu: None,
        },
        checkpoint: Checkpoint::default(),
        unmatched_environments: Vec::new(),
    }
}
