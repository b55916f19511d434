//! `dispatcher models [MODEL]`: registered versions, read as their consumers read them: by the model card alone.

use crate::failure::Failure;
use crate::out;
use crate::site::Site;
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use shared::exit::ExitCode;
use shared::publication::CARD;
use shared::store::{Key, Store};
use std::collections::BTreeMap;

/// Show registered versions as their consumers read them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only versions of this model (SEN-TRAINED) or project (sentiment).
    #[arg(value_name = "MODEL")]
    pub model: Option<String>,
}

/// A visible version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ModelView {
    /// `SEN-TRAINED-3`.
    pub version: String,
    /// `onclusive`.
    pub workspace: String,
    /// Its project in the registry.
    pub project: String,
    /// `SEN-TRAINED`.
    pub model: String,
    /// The tag that was asked for.
    pub tag: String,
    /// The job that made it.
    pub job: String,
    /// Its models: source and scores.
    pub pipelines: BTreeMap<String, PipelineView>,
    /// Folder or `s3://…`.
    #[serde(rename = "where")]
    pub location: String,
}

/// What a card tells of one model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct PipelineView {
    /// As the project wrote it.
    #[serde(default)]
    pub task: String,
    /// The pretrained model.
    #[serde(default)]
    pub model_reference: String,
    /// Its commit.
    #[serde(default)]
    pub commit: String,
    /// How good it is.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
}

/// What is read of a card; cards of other writers have less.
#[derive(Debug, Default, Deserialize)]
struct Card {
    #[serde(default)]
    job: String,
    #[serde(default)]
    image_tags: Tags,
    #[serde(default)]
    pipelines: BTreeMap<String, PipelineView>,
}

#[derive(Debug, Default, Deserialize)]
struct Tags {
    #[serde(default)]
    asked_for: String,
}

/// Prints every version that has a card, in order of model and number.
///
/// # Errors
/// Exit 64 for a model that has no version.
pub(crate) async fn execute(site: &Site, args: Args) -> Result<ExitCode, Failure> {
    let yard = site.connect().await?;
    let all = versions(yard.ledger.store().as_ref(), &yard.fleet.registry_root).await?;
    let wanted = |view: &&ModelView| {
        args.model
            .as_ref()
            .is_none_or(|name| view.model == *name || view.project == *name)
    };
    let views: Vec<ModelView> = all.iter().filter(wanted).cloned().collect();
    if let (true, Some(name)) = (views.is_empty(), &args.model) {
        let mut known: Vec<&str> = all.iter().map(|view| view.model.as_str()).collect();
        known.dedup();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        return Err(Failure::usage(anyhow!(
            "failed to find the model {name:?}; registered are: {known}"
        )));
    }
    out::models(site.format, &views)?;
    Ok(ExitCode::Ok)
}

/// `<root>/<workspace>/<project>/<MODEL>/<MODEL-n>`, in order of folders and numbers.
async fn versions(store: &dyn Store, root: &str) -> Result<Vec<ModelView>, Failure> {
    let mut views = Vec::new();
    for workspace in folders(store, &Key::new(root).map_err(Failure::usage)?).await? {
        for project in folders(store, &workspace).await? {
            for model in folders(store, &project).await? {
                let mut numbered = folders(store, &model).await?;
                numbered.retain(|version| number(model.name(), version.name()).is_some());
                numbered.sort_by_key(|version| number(model.name(), version.name()));
                for version in numbered {
                    views.extend(read([&workspace, &project, &model], &version, store).await?);
                }
            }
        }
    }
    Ok(views)
}

async fn folders(store: &dyn Store, below: &Key) -> Result<Vec<Key>, Failure> {
    let names = store.list_names(below).await?;
    Ok(names.iter().filter_map(|name| below.join(name).ok()).collect())
}

/// A version, if it has a card: without one it is not there for anybody.
async fn read(place: [&Key; 3], version: &Key, store: &dyn Store) -> Result<Option<ModelView>, Failure> {
    let Some(card) = store.get(&version.join(CARD).map_err(Failure::usage)?).await? else {
        return Ok(None);
    };
    let card: Card = serde_json::from_slice(&card.bytes).unwrap_or_else(|error| {
        tracing::warn!(%version, %error, "the model card cannot be read");
        Card::default()
    });
    let [workspace, project, model] = place.map(|key| key.name().to_owned());
    Ok(Some(ModelView {
        version: version.name().to_owned(),
        workspace,
        project,
        model,
        tag: card.image_tags.asked_for,
        job: card.job,
        pipelines: card.pipelines,
        location: store.location(version),
    }))
}

fn number(model: &str, version: &str) -> Option<u64> {
    version.strip_prefix(model)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use shared::store::memory::MemoryStore;

    async fn put(store: &MemoryStore, key: &str, text: &str) {
        let key = Key::new(key).unwrap();
        store.put_new(&key, Bytes::from(text.to_owned())).await.unwrap();
    }

    #[tokio::test]
    async fn only_versions_with_a_card_are_shown_and_in_order_of_their_numbers() {
        let store = MemoryStore::new();
        let card = r#"{"job": "j", "image_tags": {"asked_for": "t1"}, "unknown": 1,
            "pipelines": {"main": {"task": "ner", "scores": {"f1": 0.5}}}}"#;
        for number in [10, 2] {
            put(
                &store,
                &format!("root/onclusive/ner/NER-TRAINED/NER-TRAINED-{number}/model/model_card"),
                card,
            )
            .await;
        }
        put(
            &store,
            "root/onclusive/ner/NER-TRAINED/NER-TRAINED-3/model/manifest",
            "{}",
        )
        .await;
        put(&store, "root/onclusive/ner/NER-TRAINED/other/model/model_card", card).await;
        put(&store, "root/onclusive/iptc/IP/IP-1/model/model_card", "no JSON").await;
        let views = versions(&store, "root").await.unwrap();
        let names: Vec<&str> = views.iter().map(|view| view.version.as_str()).collect();
        assert_eq!(names, ["IP-1", "NER-TRAINED-2", "NER-TRAINED-10"]);
        assert_eq!(views[1].tag, "t1");
        assert_eq!(views[1].pipelines["main"].scores["f1"], 0.5);
        assert_eq!(
            (views[1].project.as_str(), views[1].workspace.as_str()),
            ("ner", "onclusive")
        );
    }

    #[test]
    fn only_the_models_own_names_are_versions() {
        assert_eq!(number("SEN-TRAINED", "SEN-TRAINED-12"), Some(12));
        assert_eq!(number("SEN-TRAINED", "SEN-TRAINED"), None);
        assert_eq!(number("SEN-TRAINED", "OTHER-1"), None);
    }
}
