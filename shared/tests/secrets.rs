//! A marked secret is fed into everything that takes settings, and looked for in everything that comes out.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use shared::job::{Accelerator, Lineage};
use shared::project::{Facts, Request, Resolved, load};
use shared::settings::{Fleet, Variables, parse_dotenv};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

const MARK: &str = "S3CR3T-marked";

/// Variables that hold one.
const SECRETS: [&str; 7] = [
    "NEPTUNE_API_TOKEN",
    "ONCLUSIVEML_NEPTUNE_API_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "TRAINYARD_QUEUE_URL",
];

fn marked(name: &str) -> String {
    if name == "TRAINYARD_QUEUE_URL" {
        format!("amqps://user:{MARK}@broker/vhost?x={MARK}")
    } else {
        format!("{MARK} {name}")
    }
}

fn environment() -> BTreeMap<String, String> {
    SECRETS.iter().map(|name| ((*name).to_owned(), marked(name))).collect()
}

fn clean(text: &str) {
    assert!(!text.contains(MARK), "a secret was shown: {text}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn fleet_settings_show_no_secret() {
    let fleet = Fleet::from_env(&environment()).unwrap();
    clean(&format!("{fleet:?} {fleet:#?} {} {}", fleet.queue_url, fleet.store_url));
    assert!(fleet.queue_url.expose().contains(MARK) && fleet.hf_token.unwrap().expose().contains(MARK));
}

#[test]
fn projects_jobs_and_their_logs_show_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("sentiment")).unwrap();
    let secrets: String = SECRETS
        .iter()
        .map(|name| format!("{name}='{}'\n", marked(name)))
        .collect();
    std::fs::write(folder.path().join("sentiment/dev.env"), format!("SEED=1\n{secrets}")).unwrap();
    let request = Request {
        config: folder.path().to_owned(),
        project: "sentiment".into(),
        env_file: None,
        set: vec![("HF_TOKEN".into(), marked("HF_TOKEN"))],
        environment: environment(),
    };
    let project = load(&request).unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(
        subscriber,
        || tracing::info!(?project, fleet = ?project.fleet, "loaded"),
    );
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("loaded"));
    clean(&logged);
    clean(&format!("{project:#?} {:?}", project.notices));

    let commits = project
        .models()
        .into_iter()
        .map(|m| (m.clone(), "a".repeat(40)))
        .collect();
    let facts = Facts {
        tag: "t".into(),
        accelerator: Accelerator::Cpu,
        sample: false,
        register: true,
        exact_worker: false,
        nonce: None,
        lineage: Lineage::from_env(&environment(), "0.1.0", ""),
    };
    let job = project
        .into_job(
            &Resolved {
                commits,
                data: BTreeMap::new(),
            },
            facts,
        )
        .unwrap();
    clean(&format!(
        "{job:?} {}",
        String::from_utf8(job.to_vec().unwrap()).unwrap()
    ));
}

#[test]
fn errors_show_no_secret() {
    for name in SECRETS {
        // Of the wrong shape, at a place where nobody knows it, in a line that cannot be read.
        let mut variables = Variables::new();
        variables.add(name, &marked(name), shared::settings::Origin::Environment);
        let error = variables.number::<u32>(name, &(1..=2)).unwrap_err();
        clean(&format!("{error} {error:?} {variables:?}"));
        let error = variables
            .refuse_unknown(&std::collections::BTreeSet::new(), "nobody")
            .unwrap_err();
        clean(&format!("{error} {error:?}"));
        for line in [
            format!("{name} {}", marked(name)),
            format!("{name}=\"{}", marked(name)),
            format!("{name}='x' {}", marked(name)),
        ] {
            let error = parse_dotenv(&line, Path::new("x.env"), &BTreeMap::new()).unwrap_err();
            clean(&format!("{error} {error:?}"));
        }
    }
    let wrong = BTreeMap::from([("TRAINYARD_QUEUE_URL".to_owned(), format!("redis://:{MARK}@host"))]);
    let error = Fleet::from_env(&wrong).unwrap_err();
    clean(&format!("{error} {error:?}"));
    for name in ["TRAINYARD_STORE_URL", "TRAINYARD_REGISTRY_URL", "HF_ENDPOINT"] {
        let wrong = BTreeMap::from([(name.to_owned(), format!("ftp://u:{MARK}@host"))]);
        let error = Fleet::from_env(&wrong).unwrap_err();
        clean(&format!("{error} {error:?}"));
    }
}
