//! What a job must be, whoever wrote it.

mod check;
mod floats;
mod pipeline;

use super::{Content, GITHUB_FIELDS, Job, JobError, SCHEMA, Target, limits, names};
use crate::gate::{self, Condition};
use check::{Checked, invalid, require, shown, text, within};
use floats::exact_floats;
use pipeline::pipeline;
use std::collections::BTreeSet;

impl Job {
    /// Holds a job against every rule: names that stay in their folders, numbers in their ranges, counts and lengths.
    /// Whatever passes is safe to act upon.
    ///
    /// # Errors
    /// [`JobError::Newer`] or [`JobError::Invalid`], which names the first field that breaks a rule.
    pub fn validate(&self) -> Checked {
        if self.schema > SCHEMA {
            return Err(JobError::Newer {
                found: self.schema.into(),
                known: SCHEMA,
            });
        }
        require(self.schema > 0, "schema", "is older than any that was ever written")?;
        if let Some((schema, field)) = self.content.newest_field() {
            require(self.schema >= schema, field, &format!("is a field of schema {schema}"))?;
        }
        content(&self.content)?;
        let floats = serde_json::to_value(&self.content).map_err(|e| JobError::Malformed(e.to_string()))?;
        exact_floats(&floats, "content")?;
        for (name, value) in &self.lineage.github_action_context {
            let field = format!("lineage.github_action_context.{}", shown(name));
            require(
                GITHUB_FIELDS.contains(&name.as_str()),
                &field,
                "is none of the fifteen that a card records",
            )?;
            text(value, 1000, &field)?;
        }
        text(&self.lineage.dispatcher, 64, "lineage.dispatcher")?;
        text(&self.lineage.published_at, 64, "lineage.published_at")
    }
}

fn content(content: &Content) -> Checked {
    require(
        names::project(&content.project),
        "content.project",
        "is no name of a project's folder",
    )?;
    require(names::tag(&content.tag), "content.tag", "is no image tag")?;
    target(&content.target)?;
    let count = content.pipelines.len();
    require(
        (1..=limits::PIPELINES).contains(&count),
        "content.pipelines",
        "has none or too many",
    )?;
    let mut folders = BTreeSet::new();
    for (name, item) in &content.pipelines {
        let path = format!("content.pipelines.{}", shown(name));
        require(names::pipeline(name), &path, "is no name of a pipeline")?;
        pipeline(item, &path)?;
        let folder = format!("{path}.artifact_folder");
        require(
            count == 1 || !item.artifact_folder.is_empty(),
            &folder,
            "is empty although there are several pipelines",
        )?;
        require(
            folders.insert(&item.artifact_folder),
            &folder,
            "is another pipeline's, too",
        )?;
    }
    if let Some(nonce) = &content.nonce {
        require(!nonce.is_empty(), "content.nonce", "is empty")?;
        text(nonce, 128, "content.nonce")?;
    }
    conditions(content)?;
    if let Some(seconds) = content.time_limit_s {
        within(seconds, &limits::TIME_LIMIT, "content.time_limit_s")?;
    }
    text(&content.local_output_dir, 255, "content.local_output_dir")?;
    text(&content.logging_level, 32, "content.logging_level")?;
    require(
        content.model_params.len() <= 100,
        "content.model_params",
        "has more than 100 entries",
    )?;
    for name in content.model_params.keys() {
        let field = format!("content.model_params.{}", shown(name));
        require(names::score(name), &field, "is no lower-case name of a variable")?;
    }
    Ok(())
}

fn target(target: &Target) -> Checked {
    let environments = ["dev", "stage", "prod"];
    require(
        environments.contains(&target.environment.as_str()),
        "content.target.environment",
        "is none of dev, stage, prod",
    )?;
    require(
        names::root(&target.root),
        "content.target.root",
        "is no folder for registered versions",
    )?;
    require(
        names::folder(&target.workspace),
        "content.target.workspace",
        "is no name of a workspace",
    )?;
    require(
        names::folder(&target.project),
        "content.target.project",
        "is no name of a project",
    )?;
    require(names::model(&target.model), "content.target.model", "is no model id")?;
    let kinds = ["base", "trained", "compiled"];
    require(
        kinds.contains(&target.model_type.as_str()),
        "content.target.model_type",
        "is none of base, trained, compiled",
    )
}

fn conditions(content: &Content) -> Checked {
    require(
        content.gate.len() <= limits::CONDITIONS,
        "content.gate",
        "has too many conditions",
    )?;
    for (index, text) in content.gate.iter().enumerate() {
        let field = format!("content.gate.{index}");
        let condition: Condition = text
            .parse()
            .map_err(|e: gate::InvalidCondition| invalid(&field, &e.to_string()))?;
        let known = content.score_names().contains(&condition.score);
        require(known, &field, "is about a score that the job's tasks do not have")?;
    }
    Ok(())
}

impl Content {
    /// The names under which this job's scores are known: those of its task, with several pipelines each as
    /// `<pipeline>.<score>`.
    #[must_use]
    pub fn score_names(&self) -> Vec<String> {
        gate::names_of(
            self.pipelines
                .iter()
                .map(|(name, pipeline)| (name.as_str(), pipeline.task)),
        )
    }
}
