//! What CI does with a commit: its tag, and the projects that changed.

use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A repository with the scripts and three projects, of which two are for CI: they have a prod.env.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a folder"));
        for script in ["lib.sh", "repository-state.sh"] {
            repository.write(
                &format!("scripts/{script}"),
                &std::fs::read_to_string(Path::new(ROOT).join("scripts").join(script)).expect("a script"),
            );
        }
        for file in [
            "config/keywords/prod.env",
            "config/ner/prod.env",
            "config/draft/dev.env",
            "worker/src/main.rs",
        ] {
            repository.write(file, "");
        }
        repository.git(&["init", "-q"]);
        repository.commit();
        repository
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "commit.gpgsign=false",
        ]);
        let done = command
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("git");
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "-q", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The projects that the script names, after a commit with another text in these files.
    fn changed(&self, files: &[&str]) -> String {
        let base = self.git(&["rev-parse", "HEAD"]);
        for file in files {
            self.write(file, &format!("after {base}"));
        }
        self.commit();
        self.since(&base)
    }

    fn since(&self, base: &str) -> String {
        let mut command = Command::new("bash");
        command
            .args(["scripts/repository-state.sh", base])
            .current_dir(self.0.path());
        let done = command.env_remove("GITHUB_OUTPUT").output().expect("bash");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let mut lines = text.lines();
        let tag = lines.next().and_then(|line| line.strip_prefix("tag=")).expect("a tag");
        assert!(
            self.git(&["rev-parse", "HEAD"]).starts_with(tag) && tag.len() == 12,
            "{tag}"
        );
        let projects = lines.next().and_then(|line| line.strip_prefix("projects="));
        projects.expect("projects").to_owned()
    }
}

#[test]
fn only_what_changed_is_trained() {
    let all = r#"["keywords","ner"]"#;
    let repository = Repository::new();
    assert_eq!(repository.changed(&["config/ner/prod.env"]), r#"["ner"]"#);
    assert_eq!(
        repository.changed(&["config/ner/data/train.jsonl", "docs/cli.md"]),
        r#"["ner"]"#
    );
    assert_eq!(
        repository.changed(&["config/ner/prod.env", "config/keywords/dev.env"]),
        all
    );
    assert_eq!(
        repository.changed(&["README.md", "tests/tests/x.rs", "docs/a b.md"]),
        "[]"
    );
    assert_eq!(repository.changed(&["worker/src/main.rs"]), all);
    assert_eq!(repository.changed(&["config/fleet.env"]), all);
    assert_eq!(repository.changed(&["Cargo.lock", "config/ner/prod.env"]), all);
}

#[test]
fn a_branch_without_a_commit_before_trains_all() {
    let repository = Repository::new();
    for base in ["0000000000000000000000000000000000000000", "", "no-such"] {
        assert_eq!(repository.since(base), r#"["keywords","ner"]"#, "{base:?}");
    }
}
