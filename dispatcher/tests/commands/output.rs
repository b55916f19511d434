//! What the reading commands print.

use crate::machine::Machine;
use shared::ledger::{Event, Progress, Status};
use shared::store::Key;
use std::sync::Arc;

#[tokio::test]
async fn status_shows_the_documented_fields() {
    let machine = Machine::new();
    let id = machine.publish();
    machine.bring(&id, Status::Running, None).await;
    let progress = Progress {
        pipeline: "main".into(),
        phase: "train".into(),
        step: 3,
        of: 9,
        loss: Some(0.5),
        samples_per_second: None,
    };
    machine
        .happen(&id, &[Event::Stage("train".into()), Event::Progress(progress)])
        .await;
    let status = machine.status(&id);
    let mut fields: Vec<&String> = status.as_object().unwrap().keys().collect();
    fields.sort();
    let documented = [
        "attempt",
        "cause",
        "id",
        "progress",
        "project",
        "scores",
        "stage",
        "status",
        "tag",
        "token",
        "version",
        "waiting_for",
        "worker",
    ];
    assert_eq!(fields, documented);
    assert_eq!(
        (&status["stage"], &status["worker"], &status["token"]),
        (&"train".into(), &"w1".into(), &1.into())
    );
    assert_eq!(
        status["progress"],
        serde_json::json!({"pipeline": "main", "phase": "train", "step": 3, "of": 9, "loss": 0.5})
    );
    let all = machine.run(&["status", "--output", "json"]).json();
    assert_eq!(all[0]["id"], id);
    let text = machine.run(&["status"]).stdout;
    assert!(
        text.contains(&id) && text.contains("running") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[tokio::test]
async fn logs_are_printed_to_their_end() {
    let machine = Machine::new();
    let id = machine.publish();
    machine.bring(&id, Status::Completed, None).await;
    let store = Arc::clone(machine.ledger().await.store());
    for (number, text) in [(1, "one\ntwo\n"), (2, "three\n")] {
        let key = Key::new(format!("trainyard/jobs/{id}/logs/1/{number:08}")).unwrap();
        store.put_new(&key, text.into()).await.unwrap();
    }
    let done = machine.run(&["logs", &id, "--follow"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "one\ntwo\nthree\n"), "{done:?}");
}

#[tokio::test]
async fn models_shows_visible_versions_only() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["models"]).last_line(), "no registered versions");
    let store = Arc::clone(machine.ledger().await.store());
    let folder = "neptune-ai-model-registry/onclusive/sentiment/SEN-TRAINED";
    let card =
        r#"{"job": "j", "image_tags": {"asked_for": "t1"}, "pipelines": {"main": {"scores": {"accuracy": 0.75}}}}"#;
    for (key, text) in [
        ("SEN-TRAINED-1/model/model_card", card),
        ("SEN-TRAINED-2/model/manifest", "{}"),
    ] {
        store
            .put_new(&Key::new(format!("{folder}/{key}")).unwrap(), text.into())
            .await
            .unwrap();
    }
    let list = machine.run(&["models", "SEN-TRAINED", "--output", "json"]).json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&list[0]["version"], &list[0]["tag"]),
        (&"SEN-TRAINED-1".into(), &"t1".into())
    );
    assert_eq!(list[0]["pipelines"]["main"]["scores"]["accuracy"], 0.75);
    assert!(
        list[0]["where"].as_str().unwrap_or_default().ends_with("SEN-TRAINED-1"),
        "{list}"
    );
    let done = machine.run(&["models", "NER-TRAINED"]);
    assert_eq!(done.code, 64, "{done:?}");
    assert!(done.stderr.contains("SEN-TRAINED"), "{}", done.stderr);
}

#[test]
fn the_doctor_names_what_fails_and_what_it_does_not_look_at() {
    let machine = Machine::new();
    let report = machine.run(&["doctor", "--output", "json"]).json();
    let verdict = |what: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["what"] == what)
            .unwrap_or_else(|| panic!("{report}"))["verdict"]
            .clone()
    };
    for what in ["projects", "store", "queue", "work folder"] {
        assert_eq!(verdict(what), "ok", "{what}: {report}");
    }
    assert_eq!(verdict("hub"), "warning", "away, but the cache is warm: {report}");
    assert!(!report["not_checked"].as_array().unwrap().is_empty());
    std::fs::remove_dir_all(machine.path().join("hub")).unwrap();
    let done = machine.run(&["doctor"]);
    assert_eq!(done.code, 69, "{done:?}");
    assert!(
        done.stdout.contains("HF_ENDPOINT") && done.stdout.contains("not checked: "),
        "{}",
        done.stdout
    );
}

/// An image of the dispatcher has nothing else: of a fleet that is no fault, of one machine it is.
#[test]
fn the_doctor_misses_no_worker_beside_a_dispatcher_of_a_fleet() {
    let machine = Machine::new();
    let alone = machine.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    let program = alone.join("dispatcher");
    std::fs::copy(env!("CARGO_BIN_EXE_dispatcher"), &program).unwrap();
    for (queue, expected) in [("amqp://127.0.0.1:1", "warning"), ("embedded:queue.db", "failed")] {
        let usual = machine.command(&["doctor", "--output", "json"]);
        let mut command = std::process::Command::new(&program);
        command.args(usual.get_args()).env_clear();
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(&alone).env("TRAINYARD_QUEUE_URL", queue);
        let report = Machine::done(command.output().unwrap()).json();
        for name in ["worker", "trainer"] {
            let checks = report["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["what"] == name).unwrap();
            assert_eq!(check["verdict"], expected, "{queue}: {check}");
        }
    }
}
