//! Whether a commit is what a job needs, as far as that can be told without its weights.

use super::error::HubError;
use super::manifest::{HubFile, Manifest};
use super::needs::{Head, Needs, Selection};
use crate::job::HubModel;
use serde_json::{Map, Value};

/// A model that a job can use, and what reading it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Pinned.
    pub model: HubModel,
    /// What a worker fetches, in the order of the paths.
    pub files: Vec<HubFile>,
    /// What stays where it is: weights in other formats, texts, pictures. Empty where only a cache was there to tell.
    pub others: Vec<HubFile>,
}

impl Listing {
    /// Of the files that are fetched.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Of the others.
    #[must_use]
    pub fn bytes_of_others(&self) -> u64 {
        self.others.iter().map(|file| file.size).sum()
    }

    /// The files at the root that hold weights: one, or shards.
    pub fn weights(&self) -> impl Iterator<Item = &HubFile> {
        let holds = |path: &str| !path.contains('/') && (path.ends_with(".safetensors") || path.ends_with(".bin"));
        self.files.iter().filter(move |file| holds(&file.path))
    }
}

/// Puts together what was found of a commit: `config` is the content of its `config.json`, `index` that of the weights'
/// index, if they are in shards.
///
/// # Errors
/// [`HubError::Unusable`], [`HubError::Lacks`].
pub(super) fn listing(
    manifest: &Manifest,
    revision: &str,
    selection: Selection,
    (config, index): (&[u8], Option<&[u8]>),
    needs: Needs,
) -> Result<Listing, HubError> {
    check(config, needs.head).map_err(|reason| HubError::Unusable {
        repository: manifest.repository.clone(),
        commit: manifest.commit.clone(),
        reason,
    })?;
    let shards = index.map(|index| selection.shards(manifest, index)).transpose()?;
    let mut files = selection.files;
    files.extend(shards.into_iter().flatten());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let others = manifest.files.iter().filter(|file| !files.contains(file)).cloned();
    Ok(Listing {
        model: HubModel {
            repository: manifest.repository.clone(),
            revision: revision.to_owned(),
            commit: manifest.commit.clone(),
        },
        others: others.collect(),
        files,
    })
}

/// The reason why a model with this `config.json` cannot be used. Which architectures there are is the trainer's own
/// knowledge.
fn check(config: &[u8], head: Option<Head>) -> Result<(), String> {
    let config: Map<String, Value> =
        serde_json::from_slice(config).map_err(|e| format!("its config.json is no JSON object: {e}"))?;
    if config.get("model_type").and_then(Value::as_str).is_none() {
        return Err("its config.json has no model_type".to_owned());
    }
    head.map_or(Ok(()), |head| check_head(&config, head))
}

/// A config without `architectures` says nothing about its head: the trainer looks at the weights.
fn check_head(config: &Map<String, Value>, head: Head) -> Result<(), String> {
    const HELP: &str = "set TRAIN=true to train a head, or choose another model";
    let classes = config.get("architectures").and_then(Value::as_array);
    if let Some(classes) = classes {
        let names: Vec<&str> = classes.iter().filter_map(Value::as_str).collect();
        if !names.iter().any(|name| name.ends_with(head.class())) {
            let found = if names.is_empty() {
                "nothing".to_owned()
            } else {
                shortened(&names.join(", "))
            };
            let class = head.class();
            return Err(format!(
                "a job that does not train needs a model of a class …{class}, and its config.json names {found}; {HELP}"
            ));
        }
    }
    match config.get("id2label") {
        None => Ok(()),
        Some(labels) if are_labels(labels) => Ok(()),
        Some(other) => Err(format!(
            "id2label of its config.json must give each of the ids 0, 1, 2, … a text, found {}; {HELP}",
            shortened(&other.to_string())
        )),
    }
}

fn are_labels(id2label: &Value) -> bool {
    let Some(labels) = id2label.as_object() else {
        return false;
    };
    let text = |id: usize| labels.get(&id.to_string()).is_some_and(Value::is_string);
    !labels.is_empty() && (0..labels.len()).all(text)
}

fn shortened(text: &str) -> String {
    super::error::shortened(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(config: &str, head: Option<Head>) -> Result<(), String> {
        check(config.as_bytes(), head)
    }

    #[test]
    fn a_config_is_an_object_with_a_model_type() {
        for (config, word) in [
            ("", "no JSON object"),
            ("<html>", "no JSON object"),
            ("[]", "no JSON object"),
            ("{}", "model_type"),
            (r#"{"model_type": 5}"#, "model_type"),
        ] {
            let reason = checked(config, None).expect_err(config);
            assert!(reason.contains(word), "{reason}");
        }
        assert_eq!(checked(r#"{"model_type": "whatever"}"#, None), Ok(()));
    }

    #[test]
    fn a_job_that_does_not_train_needs_the_tasks_head() {
        let of = |classes: &str| format!(r#"{{"model_type": "bert", "architectures": {classes}}}"#);
        let text = of(r#"["BertForSequenceClassification"]"#);
        assert_eq!(checked(&text, Some(Head::Text)), Ok(()));
        assert_eq!(checked(&text, None), Ok(()));
        let reason = checked(&text, Some(Head::Token)).expect_err("another head");
        for word in ["ForTokenClassification", "BertForSequenceClassification", "TRAIN=true"] {
            assert!(reason.contains(word), "{reason}");
        }
        for classes in [r#"["XLMRobertaForMaskedLM"]"#, r#"["BertModel"]"#, "[]", "[5]"] {
            assert!(checked(&of(classes), Some(Head::Text)).is_err(), "{classes}");
        }
        assert_eq!(checked(&of("null"), Some(Head::Text)), Ok(()), "the weights will tell");
    }

    #[test]
    fn labels_are_counted_from_nought() {
        let of = |labels: &str| format!(r#"{{"model_type": "bert", "id2label": {labels}}}"#);
        assert_eq!(checked(&of(r#"{"1": "B-PER", "0": "O"}"#), Some(Head::Token)), Ok(()));
        for labels in [
            "{}",
            "[]",
            "null",
            r#"{"1": "B-PER"}"#,
            r#"{"0": 7}"#,
            r#"{"0": "a", "2": "b"}"#,
        ] {
            let reason = checked(&of(labels), Some(Head::Token)).expect_err(labels);
            assert!(reason.contains("id2label"), "{reason}");
            assert_eq!(checked(&of(labels), None), Ok(()), "of no concern to a job that trains");
        }
    }
}
