//! The recommended policies allow what the code calls, and nothing else.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Operations of the S3 client, and the actions that IAM asks for them.
const OPERATIONS: [(&str, &[&str]); 13] = [
    ("get_object", &["s3:GetObject"]),
    ("head_object", &["s3:GetObject"]),
    ("put_object", &["s3:PutObject"]),
    ("delete_object", &["s3:DeleteObject"]),
    ("copy_object", &["s3:GetObject", "s3:PutObject"]),
    ("list_objects_v2", &["s3:ListBucket"]),
    ("create_multipart_upload", &["s3:PutObject"]),
    ("upload_part", &["s3:PutObject"]),
    ("upload_part_copy", &["s3:GetObject", "s3:PutObject"]),
    ("complete_multipart_upload", &["s3:PutObject"]),
    ("abort_multipart_upload", &["s3:AbortMultipartUpload"]),
    ("list_multipart_uploads", &["s3:ListBucketMultipartUploads"]),
    ("get_bucket_versioning", &["s3:GetBucketVersioning"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Action → resources of a role, for the actions of one service.
fn policy(role: &str, service: &str) -> BTreeMap<String, BTreeSet<String>> {
    let path = root().join(format!("deploy/iam/{role}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let policy: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().expect("a list");
        list.iter().map(|it| it.as_str().expect("text").to_owned()).collect()
    };
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in policy["Statement"].as_array().expect("a list") {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            assert!(!action.contains('*'), "{role}: {action}");
            if action.starts_with(service) {
                allowed.entry(action).or_default().extend(texts(&statement["Resource"]));
            }
        }
    }
    allowed
}

/// The operations that the store's source calls on its clients.
fn called() -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("shared/src/store/s3")).expect("a folder") {
        let source = std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
        let source: String = source.split_whitespace().collect();
        for client in [".repeating.", ".once.", "client."] {
            for (at, _) in source.match_indices(client) {
                let name: String = source[at + client.len()..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                called.insert(name);
            }
        }
    }
    called
}

#[test]
fn together_the_policies_allow_what_the_store_calls_and_nothing_more() {
    let known: BTreeSet<String> = OPERATIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        called(),
        known,
        "an operation is new or gone: say here what it needs, and look at deploy/iam"
    );
    let needed: BTreeSet<String> = OPERATIONS
        .iter()
        .flat_map(|(_, actions)| *actions)
        .map(|it| (*it).to_owned())
        .collect();
    let allowed: BTreeSet<String> = ["dispatcher", "worker", "reader"]
        .iter()
        .flat_map(|role| policy(role, "s3:").into_keys())
        .collect();
    assert_eq!(allowed, needed);
}

#[test]
fn readers_read() {
    let actions: Vec<String> = policy("reader", "s3:").into_keys().collect();
    assert_eq!(actions, ["s3:GetObject", "s3:ListBucket"]);
}

#[test]
fn nobody_deletes_a_version_or_its_number_and_dispatchers_write_none() {
    for role in ["dispatcher", "worker"] {
        let policy = policy(role, "s3:");
        for resource in &policy["s3:DeleteObject"] {
            assert!(
                resource.contains("/trainyard/") && !resource.contains("/versions/"),
                "{role}: {resource}"
            );
        }
    }
    let writes = &policy("dispatcher", "s3:")["s3:PutObject"];
    assert!(
        writes
            .iter()
            .all(|it| it.contains("/trainyard/") && !it.contains("/versions/")),
        "{writes:?}"
    );
    let writes = &policy("worker", "s3:")["s3:PutObject"];
    for place in [
        "/trainyard/jobs/*",
        "/trainyard/versions/*",
        "/trainyard/workers/*",
        "/neptune-ai-model-registry/*",
    ] {
        assert!(writes.iter().any(|it| it.ends_with(place)), "{place}: {writes:?}");
    }
}
