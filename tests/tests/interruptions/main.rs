//! Workers that the machine or the platform takes away, through the real binaries.

mod kubernetes;
mod notices;
mod random_kills;

use shared::ledger::{Ledger, State};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tests::sandbox::Sandbox;

/// Nothing but an interruption saves such a training, and nothing else ends it early.
const UNSAVED: [(&str, &str); 2] = [("SAVE_STRATEGY", "no"), ("EARLY_STOPPING_PATIENCE", "none")];

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One thread a trainer: those of so small a model only wait for each other.
fn sandbox() -> Sandbox {
    let mut machine = Sandbox::new();
    machine.variables.push(("OMP_NUM_THREADS".into(), "1".into()));
    machine
}

/// The state of a job, read where the machine's settings say.
fn state(machine: &Sandbox, job: &str) -> State {
    let url = machine.store_url();
    let id = job.parse().expect("a job id");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async {
            let store = shared::store::connect(&url, &machine.aws()).await;
            let ledger = Ledger::new(store.expect("a store"));
            ledger.read(&id).await.expect("a state").state
        })
}

/// Waits until the job's state is such.
fn until(machine: &Sandbox, job: &str, what: &str, such: impl Fn(&State) -> bool) -> State {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = state(machine, job);
        if such(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "never {what}: {state:#?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Whatever a trainer says last: where epochs are short, that is an evaluation most of the time.
fn is_training(state: &State) -> bool {
    state.progress.is_some()
}

/// `TERM` or `KILL`, to a child of this test.
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(sent.expect("kill(1)").success());
}

/// The SHA-256 of the weights that a registered job decided on.
fn weights(state: &State) -> String {
    let decision = state.decision.as_ref().expect("a decision");
    let weights = decision
        .files
        .iter()
        .find(|file| file.path.ends_with("model.safetensors"));
    weights.expect("weights").sha256.clone()
}
