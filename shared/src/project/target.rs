//! Where a project's versions are registered, and that it is no other project's place.

use super::defaults;
use crate::job::{Target, names};
use crate::settings::store_url::StoreChoice;
use crate::settings::{SettingsError, Variables};

/// `PROJECT`, `MODEL` and `MODEL_TYPE`, held against the name of the project's folder.
pub(super) fn read(variables: &Variables, folder: &str, store: &StoreChoice) -> Result<Target, SettingsError> {
    let missing = |variable: &str, expected: String| SettingsError::Missing {
        variable: variable.to_owned(),
        reason: format!("it is neither set nor in the project's dotenv file; expected {expected}"),
    };
    let parts = variables.read("PROJECT", |text| {
        let parts = text
            .split_once('/')
            .filter(|(workspace, name)| names::folder(workspace) && names::folder(name));
        let owned = parts.map(|(workspace, name)| (workspace.to_owned(), name.to_owned()));
        owned.ok_or_else(|| format!("a workspace and a project, for example onclusive/{folder}"))
    })?;
    let (workspace, project) = parts.ok_or_else(|| missing("PROJECT", format!("for example onclusive/{folder}")))?;
    let topic = belongs(&project, folder).ok_or_else(|| {
        let reason = format!("{workspace}/{project} does not belong to the project {folder}; expected {workspace}/{folder} or {workspace}/{folder}-<8 digits>");
        variables.invalid("PROJECT", reason)
    })?;
    let model = variables.read("MODEL", |text| {
        names::model(text)
            .then(|| text.to_owned())
            .ok_or_else(|| "a model id, for example SEN-TRAINED".to_owned())
    })?;
    let model = model.ok_or_else(|| missing("MODEL", "a model id, for example SEN-TRAINED".to_owned()))?;
    fits(variables, &model, folder, topic)?;
    let kinds = ["base", "trained", "compiled"].map(|word| (word, word));
    let model_type = variables.word("MODEL_TYPE", &kinds)?.unwrap_or("trained").to_owned();
    Ok(Target {
        environment: store.environment.clone(),
        root: store.root.clone(),
        workspace,
        project,
        model,
        model_type,
    })
}

/// The topic (8 digits, empty for none) if the registry's project belongs to the folder.
fn belongs<'a>(project: &'a str, folder: &str) -> Option<&'a str> {
    let rest = project.strip_prefix(folder)?;
    let digits = |text: &str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
    if rest.is_empty() {
        Some("")
    } else {
        rest.strip_prefix('-').filter(|topic| digits(topic))
    }
}

/// A model is its own project's: no other one's of the component, and of the topic that the project is about.
fn fits(variables: &Variables, model: &str, folder: &str, topic: &str) -> Result<(), SettingsError> {
    if let Some(owner) = defaults::owner_of(model).filter(|owner| *owner != folder) {
        return Err(variables.contradiction(
            "MODEL",
            "PROJECT",
            format!("{model} is the model of the project {owner}"),
        ));
    }
    if topic.is_empty() || model == format!("IP{topic}-TRAINED") || (folder != "iptc" && model.contains(topic)) {
        return Ok(());
    }
    Err(variables.contradiction(
        "MODEL",
        "PROJECT",
        format!("{model:?} is not the model of the topic {topic}; expected IP{topic}-TRAINED"),
    ))
}
