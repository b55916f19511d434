//! The real binaries on a bucket.

use serde_json::Value;
use shared::store::{Key, Store};
use std::sync::Arc;
use tests::aws::{AwsServer, SECRET_KEY};
use tests::sandbox::{Sandbox, finish};

struct Machine {
    sandbox: Sandbox,
    store: Arc<dyn Store>,
}

async fn machine() -> Machine {
    let server = AwsServer::get();
    let url = format!("s3://{}/team", server.bucket().await);
    let mut sandbox = Sandbox::new();
    sandbox.variables.push(("TRAINYARD_STORE_URL".into(), url.clone()));
    sandbox.variables.extend(server.variables());
    let store = shared::store::connect(&url, &server.access()).await.expect("a store");
    Machine { sandbox, store }
}

impl Machine {
    async fn text(&self, key: &str) -> String {
        let object = self.store.get(&Key::new(key).expect("a key")).await.expect("reads");
        let object = object.unwrap_or_else(|| panic!("no {key}"));
        String::from_utf8(object.bytes.to_vec()).expect("text")
    }

    async fn keys(&self, below: &str) -> Vec<String> {
        let listed = self.store.list(&Key::new(below).expect("a key")).await.expect("lists");
        listed.into_iter().map(|entry| entry.key.to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_job_becomes_one_whole_version_though_its_workers_died() {
    let machine = machine().await;
    let job = machine.sandbox.publish("sentiment");
    for point in [
        "after-claim",
        "in-staging",
        "after-decision",
        "between-copies",
        "before-card",
        "before-ack",
    ] {
        // One that drains may finish a stalled job without its message, and then has none to acknowledge.
        let died = machine.sandbox.run_to_crash("worker", &["run", "--once"], point);
        assert!(died.was_killed(), "{point}: {}", died.output());
        assert!(!died.output().contains(SECRET_KEY));
    }
    let next = finish(machine.sandbox.command("worker", &["run", "--drain"]));
    assert_eq!(next.code(), 0, "{}", next.output());
    let status = machine.sandbox.status(&job);
    assert_eq!(status["status"], "registered", "{status:#}");
    assert!(!machine.sandbox.store().exists(), "something went into a folder");

    let cards: Vec<String> = machine.keys("neptune-ai-model-registry").await;
    let cards: Vec<&String> = cards.iter().filter(|key| key.ends_with("/model/model_card")).collect();
    let [card] = cards.as_slice() else { panic!("{cards:?}") };
    let version = card.strip_suffix("/model/model_card").expect("a card");
    let card: Value = serde_json::from_str(&machine.text(card).await).expect("JSON");
    assert_eq!(card["job"], job.as_str());
    let manifest: Value =
        serde_json::from_str(&machine.text(&format!("{version}/model/manifest")).await).expect("JSON");
    let files = manifest["files"].as_array().expect("a list");
    assert!(files.len() > 5, "{manifest:#}");
    let name = version.rsplit('/').next().expect("a name");
    for file in files {
        let path = file["path"].as_str().expect("a path").replace("{version}", name);
        let key = Key::new(format!("{version}/{path}")).expect("a key");
        let found = machine.store.sha256(&key).await.expect("reads");
        assert_eq!(found.as_deref(), file["sha256"].as_str(), "{key}");
    }
    assert_eq!(machine.keys(&format!("trainyard/jobs/{job}/staged")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_doctor_looks_at_a_bucket_and_leaves_nothing_in_it() {
    let mut machine = machine().await;
    machine.sandbox.variables.push(("RUST_LOG".into(), "trace".into()));
    let looked = machine.sandbox.run("dispatcher", &["doctor", "--output", "json"]);
    assert!(!looked.output().contains(SECRET_KEY), "{}", looked.output());
    let looked: Value = serde_json::from_str(&looked.stdout).expect("JSON");
    let checks = looked["checks"].as_array().expect("a list");
    for (what, verdict, says) in [
        ("store", "ok", "keeps conditional writes"),
        ("bucket clock", "ok", "from this machine's"),
        // moto answers with a document of another name.
        ("bucket versioning", "warning", "does not say"),
        ("bucket uploads", "ok", "0 under way"),
        ("bucket parts", "ok", "overwrites nothing"),
        ("bucket copies", "ok", "by uploads of parts"),
    ] {
        let check = checks.iter().find(|check| check["what"] == what).expect(what);
        assert_eq!(check["verdict"], verdict, "{check}");
        assert!(
            check["found"].as_str().is_some_and(|found| found.contains(says)),
            "{check}"
        );
    }
    assert_eq!(machine.keys("trainyard").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bucket_that_is_not_there_ends_a_command_with_69() {
    let mut machine = machine().await;
    machine
        .sandbox
        .variables
        .push(("TRAINYARD_STORE_URL".into(), "s3://nobody-made-this".into()));
    let done = machine.sandbox.run("dispatcher", &["status"]);
    assert_eq!(done.code(), 69, "{}", done.output());
    assert!(done.stderr.contains("no bucket nobody-made-this"), "{}", done.stderr);
}

/// The standard chain of AWS: no keys in our settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_come_from_a_profile_or_for_a_web_identity_too() {
    let mut machine = machine().await;
    let endpoint = AwsServer::get().endpoint().to_owned();
    let place = machine.sandbox.path().to_owned();
    let file = |name: &str, content: String| {
        std::fs::write(place.join(name), content).expect("a file");
        place.join(name).display().to_string()
    };
    let section = format!("aws_access_key_id = AKIAPROFILE\naws_secret_access_key = {SECRET_KEY}\n");
    let credentials = file("aws-credentials", format!("[yard]\n{section}"));
    let config = file("aws-config", "[profile yard]\nregion = eu-west-1\n".into());
    let token = file("token", "header.claims.signature".into());
    let url = machine
        .sandbox
        .variables
        .iter()
        .find(|(name, _)| name == "TRAINYARD_STORE_URL")
        .cloned();
    let common = [
        url.expect("set"),
        ("AWS_ENDPOINT_URL".into(), endpoint),
        ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
    ];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    machine.sandbox.variables = common.to_vec();
    let nobody = machine.sandbox.run("dispatcher", &["status"]);
    assert_eq!(nobody.code(), 69, "{}", nobody.output());
    assert!(nobody.stderr.contains("AWS_PROFILE"), "{}", nobody.stderr);
    for variables in [
        vec![
            pair("AWS_PROFILE", "yard"),
            pair("AWS_SHARED_CREDENTIALS_FILE", &credentials),
            pair("AWS_CONFIG_FILE", &config),
        ],
        vec![
            pair("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/yard"),
            pair("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
            pair("AWS_REGION", "us-east-1"),
        ],
    ] {
        machine.sandbox.variables = [common.to_vec(), variables.clone()].concat();
        let done = machine.sandbox.run("dispatcher", &["status"]);
        assert_eq!(done.code(), 0, "{variables:?}: {}", done.output());
    }
}
