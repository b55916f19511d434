//! Trainer processes of every kind of behaviour.

use shared::joblog::JobLog;
use shared::shutdown::Shutdown;
use shared::store::memory::MemoryStore;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trainer_protocol::{Cause, Event};
use worker::interruption::{Grace, Interruption};
use worker::trainer_process::{TrainerEnd, TrainerProcess};

fn process(folder: &Path, script: &str) -> TrainerProcess {
    let file = folder.join("trainer.sh");
    std::fs::write(&file, script).unwrap();
    TrainerProcess {
        program: "/bin/sh".into(),
        leading: vec![file.into()],
        job: folder.join("job.json"),
        inputs: folder.join("inputs"),
        outputs: folder.join("outputs"),
        checkpoints: folder.join("checkpoints"),
        environment: worker::trainer_process::environment(std::env::vars_os(), None),
    }
}

async fn run(script: &str, shutdown: &Shutdown) -> (TrainerEnd, Vec<Event>) {
    run_told(script, shutdown, |_| ()).await
}

/// Runs the script and calls `tell` at each of its events.
async fn run_told(script: &str, shutdown: &Shutdown, tell: impl Fn(&Event)) -> (TrainerEnd, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let job = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let (log, log_task) = JobLog::start(Arc::new(MemoryStore::new()), job, 1);
    let mut events = Vec::new();
    let process = process(folder.path(), script);
    let end = process
        .run(
            &Interruption::of(shutdown, &Grace::new(Duration::from_millis(600))),
            &log,
            |event| {
                tell(&event);
                events.push(event);
            },
        )
        .await
        .unwrap();
    drop(log);
    log_task.close().await;
    (end, events)
}

#[tokio::test]
async fn events_are_read_and_everything_else_is_not() {
    let script = r#"
echo '{"event":"ready","startup_ms":3,"resident_bytes":4}'
echo 'not json'
echo '{"event":"of a later version"}'
head -c 1000000 /dev/zero | tr '\0' x
echo
echo '{"event":"exported","files":1,"bytes":2}'
"#;
    let (end, events) = run(script, &Shutdown::new()).await;
    assert_eq!(end, TrainerEnd::Done);
    let expected = [
        Event::Ready {
            startup_ms: 3,
            resident_bytes: 4,
        },
        Event::Exported { files: 1, bytes: 2 },
    ];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn the_protocols_arguments_are_given() {
    let script = r#"[ "$2 $4 $6" = "--inputs --outputs --checkpoints" ] && [ "${1##*/}" = job.json ] || exit 70"#;
    assert_eq!(run(script, &Shutdown::new()).await.0, TrainerEnd::Done);
}

#[tokio::test]
async fn the_environment_holds_nothing_but_what_it_should() {
    let script = r#"[ -z "$HOME$USER$CARGO_MANIFEST_DIR" ] && [ "$LRU_CACHE_CAPACITY" = 16 ] || exit 70"#;
    assert_eq!(run(script, &Shutdown::new()).await.0, TrainerEnd::Done);
}

#[tokio::test]
async fn a_failure_says_whose_fault_it_is() {
    let script = r#"echo '{"event":"failed","cause":"user","message":"no rows"}'; exit 65"#;
    let expected = TrainerEnd::Failed {
        cause: Cause::User,
        message: "no rows".into(),
    };
    assert_eq!(run(script, &Shutdown::new()).await.0, expected);
}

#[tokio::test]
async fn death_by_a_signal_is_told_with_the_last_words() {
    let (end, _) = run("echo 'the last words' >&2; kill -ABRT $$", &Shutdown::new()).await;
    let TrainerEnd::Died { message, out_of_memory } = end else {
        panic!("{end:?}")
    };
    assert!(
        message.contains("SIGABRT") && message.contains("the last words") && !out_of_memory,
        "{message}"
    );
}

#[tokio::test]
async fn a_trainer_that_does_not_heed_sigterm_is_killed_after_its_grace() {
    let (shutdown, started) = (Shutdown::new(), Instant::now());
    // It is told to stop once it can no longer hear that.
    let script = r#"
trap '' TERM
echo '{"event":"ready","startup_ms":3,"resident_bytes":4}'
while :; do sleep 0.05; done
"#;
    let (end, _) = run_told(script, &shutdown, |_| shutdown.stop()).await;
    assert_eq!(end, TrainerEnd::Killed);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn its_stdin_stays_open_while_the_worker_lives() {
    // `read` returns at once at the end of a file.
    let script = "read -r line & reader=$!; sleep 0.2; kill -0 $reader || exit 70; kill $reader; exit 0";
    let script = format!("exec 3<&0; {}", script.replace("read -r line &", "read -r line <&3 &"));
    assert_eq!(run(&script, &Shutdown::new()).await.0, TrainerEnd::Done);
}

#[tokio::test]
async fn a_dropped_run_kills_the_trainer() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!("echo $$ > {}; while :; do sleep 0.05; done", pid_file.display());
    let process = process(folder.path(), &script);
    let job = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let (log, _task) = JobLog::start(Arc::new(MemoryStore::new()), job, 1);
    let interruption = Interruption::of(&Shutdown::new(), &Grace::new(Duration::from_secs(1)));
    let pid = tokio::select! {
        pid = crate::yard::file(&pid_file) => pid,
        end = process.run(&interruption, &log, |_| {}) => panic!("ended: {end:?}"),
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while Path::new("/proc").join(pid.trim()).join("cwd").read_link().is_ok() {
        assert!(Instant::now() < deadline, "the trainer lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
