//! The model card: what consumers read first, and where a version came from.

use super::error::PublicationError;
use super::manifest::indented;
use super::target::VERSION;
use super::template::{mark, template};
use crate::job::{Job, JobId, Pipeline};
use crate::ledger::DecidedFile;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use trainer_protocol::{Checkpoint, Environment, Precision, Report};

/// Version of the card's fields beyond those that the component has always written.
const SCHEMA: u32 = 1;
/// Files below it are the training data of a version.
const TRAINING_DATA: &str = "data/train/";

/// What a worker knows about a result beyond its job.
#[derive(Debug, Clone, PartialEq)]
pub struct CardFacts {
    /// The tag of the image that the worker runs, beside the one that was asked for.
    pub build_tag: String,
    /// The worker's own version.
    pub worker_version: String,
    /// By pipeline of the job, what its trainer reported.
    pub pipelines: BTreeMap<String, PipelineFacts>,
}

/// One pipeline's result.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineFacts {
    /// The trainer's report; where nothing was evaluated its scores are empty.
    pub report: Report,
}

#[derive(Serialize)]
struct Card<'a> {
    model_type: &'a str,
    model_artifact_attribute_path: &'static str,
    model_test_files: TestFiles,
    github_action_context: &'a BTreeMap<String, String>,
    model_params: BTreeMap<String, Value>,
    model_inputs: Inputs,
    local_output_dir: &'a str,
    logging_level: &'a str,
    schema: u32,
    version: &'a str,
    job: &'a JobId,
    project: &'a str,
    pipelines: BTreeMap<&'a str, Source<'a>>,
    image_tags: Tags<'a>,
    environments: BTreeMap<&'a str, &'a Environment>,
    builds: Builds<'a>,
    training_data: Vec<String>,
    manifest_sha256: &'a str,
}

#[derive(Serialize)]
struct TestFiles {
    inputs: &'static str,
    inference_params: &'static str,
    predictions: &'static str,
}

#[derive(Serialize)]
struct Inputs {
    sample_documents: serde_json::Value,
}

#[derive(Serialize)]
struct Tags<'a> {
    asked_for: &'a str,
    worker: &'a str,
}

#[derive(Serialize)]
struct Builds<'a> {
    dispatcher: &'a str,
    worker: &'a str,
}

/// Where one model of the version came from, and how good it is.
#[derive(Serialize)]
struct Source<'a> {
    task: &'a str,
    model_reference: &'a str,
    revision: &'a str,
    commit: &'a str,
    artifact_attribute_path: String,
    seed: u64,
    precision: Precision,
    data_sha256: BTreeMap<&'static str, &'a str>,
    scores: BTreeMap<&'a str, f64>,
    train_rows: u64,
    validation_rows: u64,
    steps: u64,
    best_step: Option<u64>,
    /// Whether interruptions left no trace in the bits.
    bit_exact: Option<bool>,
    checkpoint: Option<&'a Checkpoint>,
}

impl CardFacts {
    /// The card as JSON with an indent of 4, `{version}` standing where the version's name belongs.
    pub(super) fn template(
        &self,
        id: &JobId,
        job: &Job,
        files: &[DecidedFile],
        manifest_sha256: &str,
    ) -> Result<Vec<u8>, PublicationError> {
        // The mark must not occur in anything that a person wrote, which a first rendering shows.
        let mark = mark(&self.render(id, job, files, manifest_sha256, "")?);
        let json = self.render(id, job, files, manifest_sha256, &mark)?;
        Ok(template(&json, &mark).into_bytes())
    }

    fn render(
        &self,
        id: &JobId,
        job: &Job,
        files: &[DecidedFile],
        manifest_sha256: &str,
        version: &str,
    ) -> Result<String, PublicationError> {
        let content = &job.content;
        let card = Card {
            model_type: &content.target.model_type,
            model_artifact_attribute_path: "model/model_artifacts",
            model_test_files: TestFiles {
                inputs: "model/test_files/inputs",
                inference_params: "model/test_files/inference_params",
                predictions: "model/test_files/predictions",
            },
            github_action_context: &job.lineage.github_action_context,
            model_params: model_params(job),
            model_inputs: Inputs {
                sample_documents: content.inputs(),
            },
            local_output_dir: &content.local_output_dir,
            logging_level: &content.logging_level,
            schema: SCHEMA,
            version,
            job: id,
            project: &content.project,
            pipelines: content
                .pipelines
                .iter()
                .map(|(name, it)| (name.as_str(), self.source(name, it)))
                .collect(),
            image_tags: Tags {
                asked_for: &content.tag,
                worker: &self.build_tag,
            },
            environments: self
                .pipelines
                .iter()
                .map(|(name, it)| (name.as_str(), &it.report.environment))
                .collect(),
            builds: Builds {
                dispatcher: &job.lineage.dispatcher,
                worker: &self.worker_version,
            },
            training_data: files
                .iter()
                .filter(|file| file.path.starts_with(TRAINING_DATA))
                .map(|file| file.path.replace(VERSION, version))
                .collect(),
            manifest_sha256,
        };
        let bytes = indented(&card, "the model card")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn source<'a>(&'a self, name: &str, pipeline: &'a Pipeline) -> Source<'a> {
        let report = self.pipelines.get(name).map(|facts| &facts.report);
        let training = pipeline
            .training
            .as_ref()
            .map(|training| ("train", training.data.sha256.as_str()));
        let validation = pipeline
            .validation_data
            .as_ref()
            .map(|data| ("validation", data.sha256.as_str()));
        let folder = match pipeline.artifact_folder.as_str() {
            "" => "model/model_artifacts".to_owned(),
            folder => format!("model/model_artifacts/{folder}"),
        };
        Source {
            task: &pipeline.task_name,
            model_reference: &pipeline.model.repository,
            revision: &pipeline.model.revision,
            commit: &pipeline.model.commit,
            artifact_attribute_path: folder,
            seed: pipeline.seed,
            precision: pipeline.precision,
            data_sha256: training.into_iter().chain(validation).collect(),
            scores: report
                .iter()
                .flat_map(|it| &it.scores)
                .map(|(score, value)| (score.as_str(), *value))
                .collect(),
            train_rows: report.map_or(0, |it| it.train_rows),
            validation_rows: report.map_or(0, |it| it.validation_rows),
            steps: report.map_or(0, |it| it.steps),
            best_step: report.and_then(|it| it.best_step),
            bit_exact: report.map(|it| it.unmatched_environments.is_empty()),
            checkpoint: report.map(|it| &it.checkpoint),
        }
    }
}

/// The project's settings under the component's lower-case names. Task and model are those of the first pipeline.
fn model_params(job: &Job) -> BTreeMap<String, Value> {
    let settings = &job.content.model_params;
    let mut params: BTreeMap<String, Value> = settings
        .iter()
        .map(|(variable, value)| (variable.to_lowercase(), value.clone()))
        .collect();
    if let Some(first) = job.content.pipelines.values().next() {
        params.insert("huggingface_pipeline_task".into(), first.task_name.clone().into());
        params.insert(
            "huggingface_model_reference".into(),
            first.model.repository.clone().into(),
        );
    }
    params
}
