//! Reads a project: its dotenv file, the process environment, `--set`.

use super::variables::{ALIASES, TASKS, effective, is_without_effect};
use super::{Project, defaults, pipelines, target};
use crate::gate;
use crate::job::{limits, names};
use crate::settings::{Origin, SettingsError, Variables, store_url};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use trainer_protocol::Task;

/// Which project, and everything that says what its settings are.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder `config`.
    pub config: PathBuf,
    /// A folder below it.
    pub project: String,
    /// `--env-file`; `dev.env` in the project's folder if absent.
    pub env_file: Option<PathBuf>,
    /// `--set NAME=VALUE`, in order; the later of two counts.
    pub set: Vec<(String, String)>,
    /// The process environment, of which only the variables that the task or the fleet knows are looked at.
    pub environment: BTreeMap<String, String>,
}

/// Resolves and checks a project's settings. Opens no connection.
///
/// # Errors
/// [`SettingsError`] names the variable, where it was written (file and line) and what is expected.
pub fn load(request: &Request) -> Result<Project, SettingsError> {
    let folder = request.config.join(&request.project);
    if !names::project(&request.project) || !folder.is_dir() {
        return Err(no_project(request));
    }
    let env_file = request.env_file.clone().unwrap_or_else(|| folder.join("dev.env"));
    let mut variables = Variables::new();
    for (name, value) in request.set.iter().rev() {
        variables.add(name, value, Origin::Argument);
    }
    let mut from_file = Variables::new();
    from_file.add_file(&env_file, &request.environment)?;

    let (task_name, task) = task(request, &variables, &from_file)?;
    let known = effective(task);
    variables.add_environment(&request.environment, |name| known.contains(name));
    variables.add_all(&from_file);
    let idle = variables.split_off(|name| is_without_effect(name) && !known.contains(name));
    variables.refuse_unknown(&known, &format!("a project of the task {task_name}"))?;
    for (alias, name) in ALIASES {
        variables.rename(alias, name);
    }
    defaults::add(&mut variables, &request.project);
    let fleet = variables.split_off(|name| crate::settings::FLEET_VARIABLES.contains(&name));
    let store = store_url::choose(&fleet)?;
    let target = target::read(&variables, &request.project, &store)?;
    let pipelines = pipelines::read(&variables, (&task_name, task), &folder)?;
    let gate = gate(&variables, pipelines.iter().map(|(name, p)| (name.as_str(), p.task)))?;
    let mut notices: Vec<String> = idle
        .iter()
        .map(|(name, v)| format!("{name} from {} has no effect here", v.origin))
        .collect();
    notices.extend(pipelines.values().any(|p| p.sample_documents.is_empty()).then(|| {
        "SAMPLE_DOCUMENTS is empty: a version without sample predictions cannot be checked by its consumers".to_owned()
    }));
    Ok(Project {
        name: request.project.clone(),
        env_file,
        target,
        gate,
        time_limit: time_limit(&variables)?,
        local_output_dir: line(&variables, "LOCAL_OUTPUT_DIR", "./model_artifacts")?,
        logging_level: line(&variables, "LOGGING_LEVEL", "INFO")?,
        model_params: super::model_params::of(&variables, &pipelines),
        pipelines,
        fleet,
        notices,
    })
}

fn no_project(request: &Request) -> SettingsError {
    let entries = std::fs::read_dir(&request.config).into_iter().flatten().flatten();
    let folders = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    let known: BTreeSet<String> = folders.collect();
    let list = known.into_iter().collect::<Vec<_>>().join(", ");
    let config = request.config.display();
    let reason = if list.is_empty() {
        format!("{config} holds no project")
    } else {
        format!("{config} holds {list}")
    };
    SettingsError::NoProject {
        project: request.project.chars().take(64).collect(),
        reason,
    }
}

/// The task decides which variables of the process environment count, so it is read before them.
fn task(request: &Request, set: &Variables, file: &Variables) -> Result<(String, Task), SettingsError> {
    const NAME: &str = "HUGGINGFACE_PIPELINE_TASK";
    let mut variables = set.clone();
    variables.add_environment(&request.environment, |name| name == NAME);
    variables.add_all(file);
    if variables.get(NAME).is_none() {
        defaults::add(&mut variables, &request.project);
    }
    let task = variables.word(NAME, &TASKS.map(|(name, task)| (name, (name, task))))?;
    let expected = || TASKS.map(|(name, _)| name).join(", ");
    task.map(|(name, task)| (name.to_owned(), task))
        .ok_or_else(|| SettingsError::Missing {
            variable: NAME.to_owned(),
            reason: format!(
                "it is neither set nor in the project's dotenv file; expected one of {}",
                expected()
            ),
        })
}

fn gate<'a>(
    variables: &Variables,
    pipelines: impl Iterator<Item = (&'a str, Task)> + Clone,
) -> Result<Vec<String>, SettingsError> {
    let names = gate::names_of(pipelines);
    let conditions = variables.read("GATE", |text| {
        gate::parse(text).map_err(|e| format!("a gate like macro_recall>=0.60: {e}"))
    })?;
    let conditions = conditions.unwrap_or_default();
    if conditions.len() > limits::CONDITIONS {
        return Err(variables.invalid("GATE", format!("it has more than {} conditions", limits::CONDITIONS)));
    }
    if let Some(unknown) = conditions.iter().find(|condition| !names.contains(&condition.score)) {
        let reason = format!(
            "the project has no score {:?}; it has {}",
            unknown.score,
            names.join(", ")
        );
        return Err(variables.invalid("GATE", reason));
    }
    Ok(conditions.iter().map(ToString::to_string).collect())
}

/// `none`, or whole seconds with a unit.
fn time_limit(variables: &Variables) -> Result<Option<Duration>, SettingsError> {
    let limit = variables.read("TIME_LIMIT", |text| {
        if text == "none" {
            return Ok(None);
        }
        humantime::parse_duration(text)
            .ok()
            .filter(|limit| limit.subsec_nanos() == 0 && limits::TIME_LIMIT.contains(&limit.as_secs()))
            .map(Some)
            .ok_or_else(|| "none, or whole seconds up to a year with their unit, for example 6h or 90min".to_owned())
    })?;
    Ok(limit.flatten())
}

fn line(variables: &Variables, name: &str, default: &str) -> Result<String, SettingsError> {
    let text = variables.read(name, |text| {
        let fits = text.chars().count() <= 32.max(default.len() * 8) && !names::has_control(text);
        fits.then(|| text.to_owned()).ok_or_else(|| "one short line".to_owned())
    })?;
    Ok(text.unwrap_or_else(|| default.to_owned()))
}
