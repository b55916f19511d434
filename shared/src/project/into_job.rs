//! Settings, commits and digests become a job.

use super::{DataDigest, DataFile, ModelReference, PipelineSettings, Project};
use crate::job::{Accelerator, Content, Data, HubModel, Job, Lineage, Pipeline, TrainingSettings};
use crate::settings::SettingsError;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the settings refer to, looked up when the job is published.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Commit of every model of [`Project::models`].
    pub commits: BTreeMap<ModelReference, String>,
    /// Digest of every file of [`Project::data_files`], by its path.
    pub data: BTreeMap<PathBuf, DataDigest>,
}

/// What the publisher asked for besides the settings.
#[derive(Debug, Clone)]
pub struct Facts {
    /// `--tag`.
    pub tag: String,
    /// `--accelerator` or the runner's.
    pub accelerator: Accelerator,
    /// `--sample`.
    pub sample: bool,
    /// Not `--no-register`.
    pub register: bool,
    /// `--exact-worker`.
    pub exact_worker: bool,
    /// `--force`.
    pub nonce: Option<String>,
    /// Where the request came from.
    pub lineage: Lineage,
}

impl Project {
    /// The job, validated. Equal settings, commits, digests and facts (but for the lineage) give equal ids.
    ///
    /// # Errors
    /// [`SettingsError::Missing`] if `resolved` lacks a model or file, [`SettingsError::Job`] if the whole breaks a
    /// rule of jobs, for example a tag with a blank.
    pub fn into_job(self, resolved: &Resolved, facts: Facts) -> Result<Job, SettingsError> {
        let pipelines = self
            .pipelines
            .into_iter()
            .map(|(name, settings)| Ok((name, pipeline(settings, resolved)?)));
        let content = Content {
            project: self.name,
            tag: facts.tag,
            accelerator: facts.accelerator,
            target: self.target,
            pipelines: pipelines.collect::<Result<_, SettingsError>>()?,
            sample: facts.sample,
            register: facts.register,
            exact_worker: facts.exact_worker,
            nonce: facts.nonce,
            gate: self.gate,
            time_limit_s: self.time_limit.map(|limit| limit.as_secs()),
            local_output_dir: self.local_output_dir,
            logging_level: self.logging_level,
            model_params: self.model_params,
        };
        let job = Job {
            schema: content.schema(),
            content,
            lineage: facts.lineage,
        };
        job.validate()?;
        Ok(job)
    }
}

fn pipeline(settings: PipelineSettings, resolved: &Resolved) -> Result<Pipeline, SettingsError> {
    let reference = settings.model;
    let commit = resolved
        .commits
        .get(&reference)
        .cloned()
        .ok_or_else(|| SettingsError::Missing {
            variable: reference.repository.clone(),
            reason: format!("the commit of its revision {} was not looked up", reference.revision),
        })?;
    let training = settings.training.map(|plan| {
        Ok::<_, SettingsError>(TrainingSettings {
            data: data(&plan.data, resolved)?,
            epochs: plan.epochs,
            train_batch_size: plan.train_batch_size,
            gradient_accumulation_steps: plan.gradient_accumulation_steps,
            learning_rate: plan.learning_rate,
            warmup_steps: plan.warmup_steps,
            weight_decay: plan.weight_decay,
            max_grad_norm: plan.max_grad_norm,
            test_size: plan.test_size,
            evaluation_strategy: plan.evaluation_strategy,
            save_strategy: plan.save_strategy,
            save_steps: plan.save_steps,
            save_total_limit: plan.save_total_limit,
            load_best_model_at_end: plan.load_best_model_at_end,
            metric_for_best_model: plan.metric_for_best_model,
            early_stopping_patience: plan.early_stopping_patience,
            checkpoint_every: plan.checkpoint_every,
            freeze: plan.freeze,
            gradient_checkpointing: plan.gradient_checkpointing,
        })
    });
    Ok(Pipeline {
        task: settings.task,
        task_name: settings.task_name,
        model: HubModel {
            repository: reference.repository,
            revision: reference.revision,
            commit,
        },
        artifact_folder: settings.artifact_folder,
        training: training.transpose()?,
        validation_data: settings
            .validation_data
            .as_ref()
            .map(|file| data(file, resolved))
            .transpose()?,
        columns: settings.columns,
        max_length: settings.max_length,
        eval_batch_size: settings.eval_batch_size,
        seed: settings.seed,
        precision: settings.precision,
        keywords: settings.keywords,
        sample_documents: settings.sample_documents,
    })
}

fn data(file: &DataFile, resolved: &Resolved) -> Result<Data, SettingsError> {
    let digest = resolved.data.get(&file.path).ok_or_else(|| SettingsError::Missing {
        variable: file.name.clone(),
        reason: "the digest of the data file was not taken".to_owned(),
    })?;
    Ok(Data {
        name: file.name.clone(),
        sha256: digest.sha256.clone(),
        size: digest.size,
        format: file.format,
    })
}
