//! Busy pods ask not to be scaled in.

use crate::{PATIENCE, signal, state};
use shared::ledger::Status;
use std::time::{Duration, Instant};
use tests::kubernetes::{Kubernetes, Patch, TOKEN};
use tests::sandbox::{Sandbox, collect};

fn machine(cluster: &Kubernetes) -> Sandbox {
    let mut machine = crate::sandbox();
    machine.variables.extend(cluster.variables());
    machine.variables.push(("POD_NAME".into(), "worker-cpu-7d4f".into()));
    machine
}

/// Deletion cost, and whether Karpenter is to stay away.
fn asked(patch: &Patch) -> (String, bool) {
    let annotations = &patch.body["metadata"]["annotations"];
    let cost = annotations["controller.kubernetes.io/pod-deletion-cost"]
        .as_str()
        .expect("a text");
    let stay = &annotations["karpenter.sh/do-not-disrupt"];
    assert!(stay.is_null() || stay == "true", "{annotations}");
    (cost.to_owned(), !stay.is_null())
}

#[test]
fn a_pod_is_dear_while_it_has_a_job_and_cheap_otherwise() {
    let cluster = Kubernetes::start(true);
    let machine = machine(&cluster);
    let job = machine.publish("sentiment");
    let worker = machine.command("worker", &["run"]).spawn().expect("a worker");
    let deadline = Instant::now() + PATIENCE;
    let dear = || cluster.patches().iter().map(asked).collect::<Vec<_>>();
    // It may have been idle for a moment before the job came.
    while !dear().ends_with(&[("1000".to_owned(), true), ("0".to_owned(), false)]) {
        assert!(Instant::now() < deadline, "{:?}", dear());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    signal(&worker, "TERM");
    let ended = collect(worker, PATIENCE);
    assert_eq!(ended.code(), 0, "{}", ended.output());
    assert_eq!(state(&machine, &job).status, Status::Registered);
    assert!(
        cluster
            .patches()
            .iter()
            .all(|patch| patch.pod == "trains/worker-cpu-7d4f")
    );
    assert!(!ended.output().contains(TOKEN), "the token is in the log");
}

#[test]
fn a_pod_that_may_not_annotate_itself_works_and_says_so_once() {
    let cluster = Kubernetes::start(false);
    let machine = machine(&cluster);
    let job = machine.publish("sentiment");
    let drained = machine.run("worker", &["run", "--drain"]);
    assert_eq!(drained.code(), 0, "{}", drained.output());
    assert_eq!(state(&machine, &job).status, Status::Registered);
    let said = drained.output();
    assert_eq!(said.matches("not protected from scale-in").count(), 1, "{said}");
    assert!(said.contains("worker-rbac.yaml") && !said.contains(TOKEN), "{said}");
}
