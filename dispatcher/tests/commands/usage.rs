//! Bad usage and bad settings: exit 64, before any connection, naming what is wrong and where.

use crate::machine::Machine;

const PUBLISH: [&str; 5] = ["publish", "--project", "sentiment", "--tag", "t1"];

/// Nothing was opened: neither store nor queue exist.
fn untouched(machine: &Machine) {
    assert!(!machine.path().join("store").exists() && !machine.path().join("queue.db").exists());
}

#[test]
fn a_wrong_type_names_variable_file_and_line() {
    let machine = Machine::new();
    machine.write_project("sentiment", &[("EPOCHS", "many")]);
    let done = machine.run(&PUBLISH);
    assert_eq!(done.code, 64, "{done:?}");
    for word in ["error: ", "EPOCHS", "config/sentiment/dev.env, line 9", "many"] {
        assert!(done.stderr.contains(word), "{word}: {}", done.stderr);
    }
    assert_eq!(done.stdout, "");
    untouched(&machine);
}

#[test]
fn an_unknown_variable_is_refused_wherever_it_stands() {
    let machine = Machine::new();
    let mut arguments = PUBLISH.to_vec();
    arguments.extend(["--set", "EPOCHES=3"]);
    let done = machine.run(&arguments);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(
        done.stderr.contains("EPOCHES") && done.stderr.contains("did you mean EPOCHS?"),
        "{}",
        done.stderr
    );
    untouched(&machine);
}

#[test]
fn an_unknown_project_names_those_that_exist() {
    let machine = Machine::new();
    let done = machine.run(&["publish", "--project", "sentimnet", "--tag", "t1"]);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(
        done.stderr.contains("sentimnet") && done.stderr.contains("config holds sentiment"),
        "{}",
        done.stderr
    );
    untouched(&machine);
}

#[test]
fn a_bad_tag_is_found_before_any_connection() {
    let machine = Machine::new();
    let done = machine.run(&["publish", "--project", "sentiment", "--tag", "with blank"]);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.stderr.contains("tag"), "{}", done.stderr);
    untouched(&machine);
}

#[test]
fn a_dry_run_checks_and_touches_nothing() {
    let machine = Machine::new();
    let mut arguments = PUBLISH.to_vec();
    arguments.push("--dry-run");
    let done = machine.run(&arguments);
    assert_eq!(
        (done.code, done.last_line().as_str()),
        (0, "the settings are valid: sentiment"),
        "{done:?}"
    );
    untouched(&machine);
}

#[test]
fn fleet_settings_are_checked_before_any_connection() {
    let machine = Machine::new();
    for (name, value) in [("TRAINYARD_LEASE", "soon"), ("TRAINYARD_QUEUE_URL", "carrier-pigeon:")] {
        let done = Machine::done(machine.command(&["status"]).env(name, value).output().unwrap());
        assert_eq!(done.code, 64, "{done:?}");
        assert!(done.stderr.contains(name), "{}", done.stderr);
    }
    untouched(&machine);
}

#[test]
fn a_matrix_with_a_mistake_publishes_nothing() {
    let machine = Machine::new();
    let file = machine.path().join("matrix.yaml");
    std::fs::write(&file, "- project: sentiment\n- project: missing\n").unwrap();
    let done = machine.run(&["publish", "--matrix", "matrix.yaml", "--tag", "t1"]);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.stderr.contains("missing"), "{}", done.stderr);
    std::fs::write(&file, "- project: sentiment\n").unwrap();
    let done = machine.run(&["publish", "--matrix", "matrix.yaml"]);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.stderr.contains("[0].tag"), "{}", done.stderr);
    untouched(&machine);
}

#[test]
fn wrong_options_exit_64_and_help_exits_0() {
    let machine = Machine::new();
    for wrong in [&["publish"][..], &["wait"], &["nonsense"], &["status", "xyz"], &[]] {
        let done = machine.run(wrong);
        assert_eq!(done.code, 64, "{wrong:?}: {done:?}");
        assert_eq!(done.stdout, "", "{wrong:?}");
    }
    for right in [&["--help"][..], &["publish", "--help"], &["--version"]] {
        let done = machine.run(right);
        assert_eq!(done.code, 0, "{right:?}: {done:?}");
        assert!(
            done.stdout.contains("dispatcher") && done.stderr.is_empty(),
            "{right:?}"
        );
    }
}

#[test]
fn a_secret_is_never_shown() {
    let machine = Machine::new();
    let marked = "hf_marked0secret0value";
    machine.write_project("sentiment", &[("NEPTUNE_API_TOKEN", marked), ("EPOCHS", "x")]);
    let done = Machine::done(
        machine
            .command(&PUBLISH)
            .env("HF_TOKEN", marked)
            .env("RUST_LOG", "trace")
            .output()
            .unwrap(),
    );
    assert_eq!(done.code, 64, "{done:?}");
    assert!(
        !done.stderr.contains(marked) && !done.stdout.contains(marked),
        "{done:?}"
    );
}
