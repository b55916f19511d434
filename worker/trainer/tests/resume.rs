//! Interrupted trainings, through the binary: the bits of one that was left alone, or a word that they are not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::job::Job;
use judge::json;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A training of eight steps that is evaluated twice, of whose weights the best are exported, and whose checkpoints are
/// those of the interval alone.
fn job(checkpoint_every: Value) -> Job {
    job_of("bert-text", checkpoint_every)
}

fn job_of(model: &str, checkpoint_every: Value) -> Job {
    let mut job = Job::new(model, "text-classification");
    job.description["training"]["save_strategy"] = json!("no");
    job.description["training"]["checkpoint_every"] = checkpoint_every;
    job
}

/// The word in the name of the point, and the exit code; `None`: a signal.
const STOPPED: (&str, Option<i32>) = ("stopped", Some(75));
const KILLED: (&str, Option<i32>) = ("killed", None);

/// What one process said on stderr, and its exit code; `None`: a signal.
struct Ended {
    code: Option<i32>,
    log: String,
}

/// Runs the trainer with outputs and checkpoints called `name`; it is killed or stopped at `point`.
fn run(job: &Job, name: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = job.command(name);
    // Threads of so small a model only wait for each other, and many processes share the machine.
    command.env("OMP_NUM_THREADS", "1").envs(variables.iter().copied());
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn finish(job: &Job, name: &str) -> Ended {
    let ended = run(job, name, &[]);
    assert_eq!(ended.code, Some(0), "{name}: {}", ended.log);
    ended
}

fn outputs(job: &Job, name: &str) -> PathBuf {
    job.folder.path().join(format!("outputs-{name}"))
}

fn checkpoints(job: &Job, name: &str) -> PathBuf {
    job.folder.path().join(format!("checkpoints-{name}"))
}

fn sha256(file: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(file).unwrap()))
}

fn model(job: &Job, name: &str) -> String {
    sha256(&outputs(job, name).join("model_artifacts/model.safetensors"))
}

/// Everything that is registered of a training but its data.
fn assert_same(job: &Job, one: &str, other: &str) {
    assert_eq!(model(job, one), model(job, other), "{other}: other weights");
    for file in ["report.json", "loss_curve.jsonl", "predictions.json"] {
        let read = |name| std::fs::read_to_string(outputs(job, name).join(file)).unwrap();
        assert_eq!(read(one), read(other), "{other}: another {file}");
    }
}

/// Interrupts the training at every step of `steps` in each of `ways`, and lets it go on.
fn interrupt_everywhere(job: &Job, steps: u64, ways: &[(&str, Option<i32>)]) {
    for step in 1..=steps {
        for &(way, code) in ways {
            let name = format!("{way}-{step}");
            let point = format!("{way}-at-step-{step}");
            let first = run(job, &name, &[("TRAINYARD_CRASH_AT", &point)]);
            assert_eq!(first.code, code, "{point}: {}", first.log);
            let second = finish(job, &name);
            assert_eq!(
                second.log.contains("resumed at step"),
                way == "stopped" || step > 3,
                "{point}: {}",
                second.log
            );
            assert_same(job, "whole", &name);
        }
    }
}

#[test]
fn at_every_step_stopped_or_killed_the_bits_are_those_of_a_training_left_alone() {
    let job = job(json!({"steps": 3}));
    finish(&job, "whole");
    let report = json(&outputs(&job, "whole").join("report.json"));
    assert_eq!(report["steps"], 8);
    interrupt_everywhere(&job, 8, &[STOPPED, KILLED]);
}

#[test]
fn in_bf16_too_the_bits_are_those_of_a_training_left_alone() {
    // Its heads fill the tiles of AMX.
    let mut job = job_of("bert-wide-head-text", json!({"steps": 3}));
    job.description["precision"] = json!("bf16");
    finish(&job, "whole");
    finish(&job, "again");
    assert_same(&job, "whole", "again");
    interrupt_everywhere(&job, 8, &[KILLED]);
    job.description["precision"] = json!("fp32");
    finish(&job, "other");
    assert_ne!(model(&job, "whole"), model(&job, "other"), "it was no bf16");
}

#[test]
fn frozen_layers_are_frozen_after_a_checkpoint_too() {
    let mut job = job(json!({"steps": 3}));
    job.description["training"]["freeze"] = json!(1);
    finish(&job, "whole");
    interrupt_everywhere(&job, 5, &[KILLED]);
}

#[test]
fn in_bf16_frozen_layers_sums_of_batches_and_what_is_computed_again_go_on_with_the_same_bits() {
    let mut job = job(json!({"steps": 3}));
    job.description["precision"] = json!("bf16");
    let training = &mut job.description["training"];
    training["freeze"] = json!(1);
    training["gradient_checkpointing"] = json!(true);
    training["gradient_accumulation_steps"] = json!(2);
    training["epochs"] = json!(4);
    finish(&job, "whole");
    let report = json(&outputs(&job, "whole").join("report.json"));
    assert_eq!(report["steps"], 8);
    interrupt_everywhere(&job, 8, &[KILLED]);
}

#[test]
fn early_stopping_and_the_best_model_go_on_where_they_were() {
    let mut job = job(json!({"steps": 3}));
    let training = &mut job.description["training"];
    training["epochs"] = json!(20);
    training["evaluation_strategy"] = json!("steps");
    training["save_steps"] = json!(1);
    training["metric_for_best_model"] = json!("accuracy");
    training["early_stopping_patience"] = json!(3);
    finish(&job, "whole");
    let report = json(&outputs(&job, "whole").join("report.json"));
    let (steps, best) = (report["steps"].as_u64().unwrap(), report["best_step"].as_u64().unwrap());
    assert!(steps < 80 && best < steps, "it did not stop early: {report}");
    interrupt_everywhere(&job, steps, &[KILLED]);
}

#[test]
fn when_checkpoints_are_taken_does_not_change_the_bits() {
    let mut job = job(json!("auto"));
    finish(&job, "whole");
    assert!(
        std::fs::read_dir(checkpoints(&job, "whole"))
            .unwrap()
            .all(|entry| entry.unwrap().path().is_file()),
        "a training of seconds is not saved"
    );
    for (name, every) in [("each", json!({"steps": 1})), ("timed", json!({"seconds": 1}))] {
        job.description["training"]["checkpoint_every"] = every;
        finish(&job, name);
        assert_same(&job, "whole", name);
    }
}

#[test]
fn a_checkpoint_that_was_torn_while_it_was_written_is_not_used() {
    let job = job(json!({"steps": 2}));
    finish(&job, "whole");
    let torn = run(&job, "torn", &[("TRAINYARD_CRASH_AT", "torn-at-step-6")]);
    assert_eq!(torn.code, None, "{}", torn.log);
    assert!(
        checkpoints(&job, "torn")
            .join("checkpoint-00000006.partial/model.safetensors")
            .exists()
    );
    let ended = finish(&job, "torn");
    assert!(ended.log.contains("resumed at step 4"), "{}", ended.log);
    assert_same(&job, "whole", "torn");
}

#[test]
fn a_damaged_checkpoint_is_written_anew_when_its_step_comes_again() {
    let job = job(json!({"steps": 2}));
    finish(&job, "whole");
    run(&job, "damaged", &[("TRAINYARD_CRASH_AT", "killed-at-step-5")]);
    let file = checkpoints(&job, "damaged").join("checkpoint-00000004/moments.safetensors");
    let good = sha256(&file);
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    // The marker of the first death lies there; the second comes by another hand.
    std::fs::remove_file(checkpoints(&job, "damaged").join("crashed")).unwrap();
    let again = run(&job, "damaged", &[("TRAINYARD_CRASH_AT", "killed-at-step-5")]);
    assert!(
        again.log.contains("is not used") && again.log.contains("resumed at step 2"),
        "{}",
        again.log
    );
    assert_eq!(sha256(&file), good);
    let ended = finish(&job, "damaged");
    assert!(ended.log.contains("resumed at step 4"), "{}", ended.log);
    assert_same(&job, "whole", "damaged");
}

#[test]
fn the_newest_two_are_kept_besides_those_of_the_strategy() {
    let mut job = job(json!({"steps": 1}));
    let kept = |job: &Job, name: &str| {
        let entries = std::fs::read_dir(checkpoints(job, name)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter_map(|name| name.strip_prefix("checkpoint-0000000").map(String::from))
            .collect();
        names.sort();
        names.join(" ")
    };
    finish(&job, "newest");
    assert_eq!(kept(&job, "newest"), "7 8");
    job.description["training"]["save_strategy"] = json!("epoch");
    finish(&job, "both");
    assert_eq!(kept(&job, "both"), "4 7 8");
}

#[test]
fn of_bf16_the_instructions_that_multiply_are_compared_too() {
    let mut job = job(json!({"steps": 2}));
    job.description["precision"] = json!("bf16");
    let most = |isa| ("ONEDNN_MAX_CPU_ISA", isa);
    run(
        &job,
        "parts",
        &[most("avx2"), ("TRAINYARD_CRASH_AT", "stopped-at-step-2")],
    );
    let ended = run(&job, "parts", &[most("sse41")]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(
        ended.log.contains("not bit-exact") && ended.log.contains("<=AVX2") && ended.log.contains("<=SSE41"),
        "{}",
        ended.log
    );
}

/// Changes a checkpoint so that its digests still fit.
fn doctor(folder: &Path, change: impl FnOnce(&Path)) {
    change(folder);
    let mut digests = json(&folder.join("digests.json"));
    for (file, digest) in digests.as_object_mut().unwrap() {
        *digest = json!(sha256(&folder.join(file)));
    }
    std::fs::write(folder.join("digests.json"), digests.to_string()).unwrap();
}

fn set_step(folder: &Path, step: u64) {
    let file = folder.join("state.json");
    let mut state = json(&file);
    state["state"]["step"] = json!(step);
    std::fs::write(file, state.to_string()).unwrap();
}

/// The values of a safetensors file become zeros.
fn forget_values(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].fill(0);
    std::fs::write(file, bytes).unwrap();
}

/// What is done to the folder of a checkpoint.
type Change = fn(&Path);

/// Without these the tests above would prove nothing: what they compare must be able to differ.
#[test]
fn a_resume_that_forgets_something_gives_other_bits() {
    let mut job = job(json!({"steps": 3}));
    // The last weights, not the best: those may be of a step before the interruption.
    job.description["training"]["load_best_model_at_end"] = json!(false);
    finish(&job, "whole");
    let controls: [(&str, bool, Change); 4] = [
        ("nothing", true, |_| {}),
        ("moments-dropped", false, |folder| {
            forget_values(&folder.join("moments.safetensors"))
        }),
        ("cursor-dropped", false, |folder| set_step(folder, 0)),
        ("seed-reused", false, |folder| set_step(folder, 4)),
    ];
    for (name, same, change) in controls {
        let stopped = run(&job, name, &[("TRAINYARD_CRASH_AT", "stopped-at-step-5")]);
        assert_eq!(stopped.code, Some(75), "{}", stopped.log);
        doctor(&checkpoints(&job, name).join("checkpoint-00000005"), change);
        let ended = finish(&job, name);
        assert!(ended.log.contains("resumed at step"), "{name}: {}", ended.log);
        assert_eq!(model(&job, name) == model(&job, "whole"), same, "{name}");
    }
}

#[test]
fn the_thread_count_of_the_first_part_is_that_of_all() {
    let job = job(json!("auto"));
    let one = ("OMP_NUM_THREADS", "1");
    assert_eq!(run(&job, "whole", &[one]).code, Some(0));
    run(&job, "parts", &[one, ("TRAINYARD_CRASH_AT", "stopped-at-step-3")]);
    let ended = run(&job, "parts", &[("OMP_NUM_THREADS", "2")]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("not bit-exact"), "{}", ended.log);
    assert_same(&job, "whole", "parts");
}

#[test]
fn a_machine_that_cannot_match_goes_on_and_says_so_in_log_and_report() {
    let job = job(json!("auto"));
    let (first, other) = (("ATEN_CPU_CAPABILITY", "avx2"), ("ATEN_CPU_CAPABILITY", "default"));
    run(&job, "parts", &[first, ("TRAINYARD_CRASH_AT", "stopped-at-step-2")]);
    std::fs::remove_file(checkpoints(&job, "parts").join("crashed")).unwrap();
    let second = run(&job, "parts", &[other, ("TRAINYARD_CRASH_AT", "stopped-at-step-5")]);
    assert!(
        second.log.contains("not bit-exact") && second.log.contains("AVX2"),
        "{}",
        second.log
    );
    // The third part matches the second; that the first one did not is not forgotten.
    let third = run(&job, "parts", &[other]);
    assert_eq!(third.code, Some(0), "{}", third.log);
    assert!(!third.log.contains("not bit-exact"), "{}", third.log);
    let report = json(&outputs(&job, "parts").join("report.json"));
    assert_eq!(report["environment"]["cpu_capability"], "DEFAULT");
    let unmatched = report["unmatched_environments"].as_array().unwrap();
    assert_eq!(unmatched.len(), 1, "{report}");
    assert_eq!(unmatched[0]["cpu_capability"], "AVX2");
}
