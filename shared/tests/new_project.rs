//! `docs/new-project.md` holds: its folder, copied, is a project, and its tables name every variable.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use shared::job::{Accelerator, Job, Lineage};
use shared::project::{Facts, Request, Resolved, load};
use std::collections::BTreeMap;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/new-project.md");

/// The files that the page shows: the path on a line of its own, then the text between fences.
fn files() -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    for (at, _) in PAGE.match_indices("\n`config/") {
        let (path, rest) = PAGE[at + 2..].split_once('`').unwrap();
        if let Some((_, fenced)) = rest.strip_prefix("\n\n```").and_then(|rest| rest.split_once('\n')) {
            files.push((path, fenced.split_once("```").unwrap().0));
        }
    }
    files
}

#[test]
fn the_documented_folder_is_a_project_whose_job_can_be_published() {
    let root = tempfile::tempdir().unwrap();
    let files = files();
    assert_eq!(
        files.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        ["config/reviews/dev.env", "config/reviews/data/train.jsonl"]
    );
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let request = Request {
        config: root.path().join("config"),
        project: "reviews".into(),
        env_file: None,
        set: vec![],
        environment: BTreeMap::new(),
    };
    let project = load(&request).unwrap();
    assert_eq!(project.notices, Vec::<String>::new());
    assert_eq!(project.target.model, "REVIEWS-TRAINED");
    let resolved = Resolved {
        commits: project
            .models()
            .into_iter()
            .map(|model| (model.clone(), "a".repeat(40)))
            .collect(),
        data: project
            .data_files()
            .into_iter()
            .map(|file| (file.path.clone(), file.digest().unwrap()))
            .collect(),
    };
    let facts = Facts {
        tag: "t1".into(),
        accelerator: Accelerator::Cpu,
        sample: false,
        register: true,
        exact_worker: false,
        nonce: None,
        lineage: Lineage::from_env(&BTreeMap::new(), "0.1.0", ""),
    };
    let job = project.into_job(&resolved, facts).unwrap();
    assert_eq!(Job::from_slice(&job.to_vec().unwrap()).unwrap(), job);
}

#[test]
fn the_page_names_every_variable_of_the_shipped_projects() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    for project in ["keywords", "ner", "sentiment", "iptc"] {
        for env_file in ["dev.env", "prod.env"] {
            let path = config.join(project).join(env_file);
            let text = std::fs::read_to_string(&path).unwrap();
            for assignment in shared::settings::parse_dotenv(&text, &path, &BTreeMap::new()).unwrap() {
                let family = assignment.name.starts_with("ONCLUSIVEML_TRACKING_BACKEND_");
                assert!(
                    family || PAGE.contains(&format!("`{}`", assignment.name)),
                    "{} is not on the page",
                    assignment.name
                );
            }
        }
    }
}
