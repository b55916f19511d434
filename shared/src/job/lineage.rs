//! Where a job came from.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The variables of GitHub Actions that a model card records, as the card names them.
pub const GITHUB_FIELDS: [&str; 15] = [
    "github_repository",
    "github_actor",
    "github_env",
    "github_workflow",
    "github_job",
    "github_ref",
    "github_base_ref",
    "github_head_ref",
    "github_sha",
    "github_event_name",
    "github_run_id",
    "github_run_number",
    "runner_arch",
    "runner_name",
    "runner_os",
];

/// Where a job came from. Recorded in the model card, not hashed: a CI re-run is the same job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// [`GITHUB_FIELDS`] and their values; empty strings outside CI.
    pub github_action_context: BTreeMap<String, String>,
    /// Version of the dispatcher.
    pub dispatcher: String,
    /// RFC 3339, for people.
    pub published_at: String,
}

impl Lineage {
    /// Reads the CI's variables (`GITHUB_REPOSITORY`, …, `RUNNER_OS`) from a process environment. Values are cut at
    /// 1000 characters and freed of control characters, so that no branch name can make a job invalid.
    #[must_use]
    pub fn from_env(environment: &BTreeMap<String, String>, dispatcher: &str, published_at: &str) -> Self {
        let tidy = |text: &str| text.chars().filter(|c| !c.is_control()).take(1000).collect::<String>();
        let value = |field: &str| {
            environment
                .get(&field.to_ascii_uppercase())
                .map(|v| tidy(v))
                .unwrap_or_default()
        };
        Self {
            github_action_context: GITHUB_FIELDS
                .iter()
                .map(|&field| (field.to_owned(), value(field)))
                .collect(),
            dispatcher: dispatcher.to_owned(),
            published_at: published_at.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifteen_fields_are_there_inside_and_outside_ci() {
        let ci = BTreeMap::from([
            ("GITHUB_SHA".to_owned(), "0a1b".to_owned()),
            ("RUNNER_OS".to_owned(), "Linux\n".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ]);
        let lineage = Lineage::from_env(&ci, "0.1.0", "2026-01-01T00:00:00Z");
        assert_eq!(lineage.github_action_context.len(), 15);
        assert_eq!(lineage.github_action_context["github_sha"], "0a1b");
        assert_eq!(lineage.github_action_context["runner_os"], "Linux");
        assert_eq!(lineage.github_action_context["github_actor"], "");
    }
}
