//! The steps of `_train.yaml` on a real broker: each way in which a job can end has its exit code, its annotation, its
//! summary.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::Command;
use tests::fleet::{ENDLESS, Ground, Pair, QUICK, Site, in_lanes, until};
use tests::sandbox::binary;
use tests::workflow::{Ran, Workflow};

const BROKER: &str = env!("CARGO_BIN_EXE_broker");

/// Dies as a trainer does whose data is at fault.
const WRONG_DATA: &str = r#"
printf '%s\n' '{"event":"failed","cause":"user","message":"train.jsonl: line 3 has no label\n::error title=planted::by a text of the data"}'
exit 65
"#;
/// Dies each time of what is nobody's fault.
const BROKEN: &str = "echo 'no space left on device' >&2; exit 1";

/// One run of the workflow.
struct Run<'a> {
    site: &'a Site<'a>,
    workflow: Workflow,
    timeout: &'a str,
}

impl<'a> Run<'a> {
    fn new(site: &'a Site<'a>, timeout: &'a str) -> Self {
        let checkout = site.folder.join("checkout");
        if !checkout.exists() {
            let config = site.ground.machine().project("sentiment");
            std::fs::create_dir_all(checkout.join("config")).expect("a checkout");
            symlink(&config, checkout.join("config/sentiment")).expect("the project");
            let _ = std::fs::copy(config.join("dev.env"), config.join("prod.env")).expect("prod.env");
            std::fs::create_dir(checkout.join("bin")).expect("a folder of binaries");
            symlink(binary("dispatcher"), checkout.join("bin/dispatcher")).expect("the dispatcher");
        }
        Self {
            site,
            workflow: Workflow::read("_train.yaml"),
            timeout,
        }
    }

    /// A step, in the checkout, with the runner's environment.
    fn step(&self, step: &str, job: &str) -> Ran {
        let site = self.site;
        let checkout = site.folder.join("checkout");
        let mut command = Command::new("bash");
        let path = format!(
            "{}:{}",
            checkout.join("bin").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        command
            .args(["--noprofile", "--norc"])
            .current_dir(&checkout)
            .env_clear();
        command.envs(
            site.command("dispatcher", &[])
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.env("PATH", path);
        command.stdin(std::process::Stdio::null());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let values = BTreeMap::from([
            ("inputs.project", "sentiment".to_owned()),
            ("inputs.tag", "t1".to_owned()),
            ("inputs.environment", "stage".to_owned()),
            ("inputs.timeout", self.timeout.to_owned()),
            (
                "inputs.self-hosted-runner-type || inputs.runner-kind",
                "c6i.2xlarge".to_owned(),
            ),
            (
                "secrets.TRAINYARD_QUEUE_URL || vars.TRAINYARD_QUEUE_URL",
                site.variable("TRAINYARD_QUEUE_URL"),
            ),
            ("vars.TRAINYARD_STORE_URL", site.variable("TRAINYARD_STORE_URL")),
            ("secrets.HF_TOKEN", String::new()),
            ("steps.publish.outputs.job", job.to_owned()),
            ("github.run_id", "4711".to_owned()),
        ]);
        self.workflow.run("train", step, command, &values)
    }

    /// Publishes; the job's id.
    fn publish(&self) -> String {
        let published = self.step("publish", "");
        assert_eq!(published.done.code(), 0, "{}", published.done.output());
        let job = published.outputs["job"].clone();
        assert!(published.done.stdout.lines().any(|line| line == job));
        job
    }
}

/// Publishes and waits on a fleet whose trainers are of this script.
fn train(trainer: &str, changes: &[(&str, &str)], timeout: &str, check: impl AsyncFn(&Run<'_>, String, Ran) + Sync) {
    let ground = Ground::new(BROKER, QUICK);
    ground.machine().write_project("sentiment", changes);
    in_lanes(1, vec![()], async |()| {
        let mut site = Site::new(&ground, Pair::RabbitDirectory).await;
        site.train_by(trainer);
        let worker = site.start("worker", &["run"]);
        let run = Run::new(&site, timeout);
        let job = run.publish();
        let waited = run.step("wait", &job);
        check(&run, job, waited).await;
        drop(worker);
    });
}

/// Kind and title of the only annotation.
fn only(ran: &Ran) -> (String, String, String) {
    let mut annotations = ran.annotations();
    assert_eq!(annotations.len(), 1, "{annotations:?}\n{}", ran.done.output());
    annotations.remove(0)
}

#[test]
fn a_job_that_ends_well_gives_its_version_and_a_second_run_attaches() {
    train(QUICK, &[], "2min", async |run, job, waited| {
        assert_eq!(waited.done.code(), 0, "{}", waited.done.output());
        assert_eq!(waited.annotations(), []);
        assert_eq!(waited.outputs["version"], "SEN-TRAINED-1");
        assert_eq!(waited.outputs["status"], "registered");
        assert!(
            waited.summary.contains("| macro&#95;recall | 0.8000 |"),
            "{}",
            waited.summary
        );
        let again = run.step("publish", "");
        assert_eq!(again.outputs["job"], job, "the same job");
        let again = run.step("wait", &job);
        assert_eq!(
            (again.done.code(), again.outputs["version"].as_str()),
            (0, "SEN-TRAINED-1")
        );
    });
}

#[test]
fn a_job_below_its_gate_says_so() {
    train(
        QUICK,
        &[("GATE", "macro_recall>=0.95")],
        "2min",
        async |run, _, waited| {
            assert_eq!(waited.done.code(), 10, "{}", waited.done.output());
            let (kind, title, text) = only(&waited);
            assert_eq!(
                (kind.as_str(), title.as_str()),
                ("error", "sentiment t1: below the quality gate")
            );
            assert!(text.contains("macro_recall"), "{text}");
            assert!(
                waited.summary.contains("Exit code 10: below the quality gate."),
                "{}",
                waited.summary
            );
            assert_eq!(
                (&*waited.outputs["status"], &*waited.outputs["version"]),
                ("failed", "")
            );
            // The re-run would end the same way, and says so at once.
            let again = run.step("publish", "");
            assert_eq!(again.done.code(), 10, "{}", again.done.output());
            assert_eq!(only(&again).1, "sentiment t1: below the quality gate");
        },
    );
}

#[test]
fn a_job_whose_data_is_wrong_is_the_users() {
    train(WRONG_DATA, &[], "2min", async |_, _, waited| {
        assert_eq!(waited.done.code(), 20, "{}", waited.done.output());
        let (_, title, text) = only(&waited);
        assert_eq!(
            title,
            "sentiment t1: the project's data, model or settings are at fault"
        );
        assert!(text.contains("line 3 has no label"), "{text}");
        assert!(waited.summary.contains("Exit code 20"), "{}", waited.summary);
    });
}

#[test]
fn a_job_that_nobody_can_do_is_infrastructures() {
    train(BROKEN, &[], "2min", async |_, _, waited| {
        assert_eq!(waited.done.code(), 30, "{}", waited.done.output());
        assert_eq!(only(&waited).1, "sentiment t1: infrastructure");
        assert!(waited.summary.contains("Exit code 30"), "{}", waited.summary);
    });
}

#[test]
fn a_job_that_takes_too_long_goes_on_and_can_be_cancelled_with_the_run() {
    train(ENDLESS, &[], "3s", async |run, job, waited| {
        assert_eq!(waited.done.code(), 75, "{}", waited.done.output());
        let (kind, title, _) = only(&waited);
        assert_eq!(
            (kind.as_str(), title.as_str()),
            ("warning", "sentiment t1: still running at the timeout")
        );
        assert!(waited.summary.contains("Exit code 75"), "{}", waited.summary);
        let id = job.parse().expect("an id");
        let pids = run.site.trainers(1).await;
        let cancelled = run.step("Cancel the job with the run", &job);
        assert_eq!(cancelled.done.code(), 0, "{}", cancelled.done.output());
        let state = run.site.state(&id).await.state;
        assert_eq!(state.cause.as_deref(), Some("run 4711 of CI was cancelled"));
        until("the trainer ends", async || {
            tests::fleet::state_of(pids[0]).is_none_or(|it| it == 'Z').then_some(())
        })
        .await;
    });
}

#[test]
fn what_fails_before_there_is_a_job_is_told_too() {
    let ground = Ground::new(BROKER, QUICK);
    ground.machine().write_project("sentiment", &[("EPOCHS", "many")]);
    in_lanes(1, vec![()], async |()| {
        let site = Site::new(&ground, Pair::RabbitDirectory).await;
        let published = Run::new(&site, "1s").step("publish", "");
        assert_eq!(published.done.code(), 64, "{}", published.done.output());
        let (_, title, text) = only(&published);
        assert_eq!(title, "dispatcher: bad usage or settings");
        assert!(text.contains("EPOCHS") && text.contains("prod.env"), "{text}");
    });
}
