//! Retrieve: models and data files become local inputs, and each pipeline a trainer's job.

use super::Work;
use crate::disk_space;
use crate::failure;
use crate::models::ModelFolder;
use crate::outcome::{Ending, Failure};
use shared::job::{Accelerator, Content, Data, Pipeline, TrainingSettings};
use shared::ledger::FailureCause;
use shared::store::Key;
use std::path::{Path, PathBuf};
use trainer_protocol::{DataSource, Device, SCHEMA, TrainerJob, Training};

/// Rows of each data set that `--sample` trains and evaluates on.
const SAMPLE_ROWS: u64 = 64;

/// One pipeline, ready to be trained.
#[derive(Debug)]
pub struct Prepared {
    /// Its name within the job.
    pub name: String,
    /// What the trainer is asked.
    pub job: TrainerJob,
    /// Kept until the job ends: protects the model's files from eviction.
    pub model: ModelFolder,
}

/// Fetches everything that the job's pipelines need.
///
/// # Errors
/// [`Ending::Interrupted`], or the failure of hub, store or disk.
pub async fn run(work: &Work<'_>) -> Result<Vec<Prepared>, Ending> {
    let inputs = work.folder.inputs();
    make_folder(&inputs.join("data"))?;
    let mut prepared = Vec::new();
    for (number, (name, pipeline)) in work.job.content.pipelines.iter().enumerate() {
        let fetched = tokio::select! {
            fetched = fetch(work, &inputs, number, pipeline) => fetched?,
            () = work.interruption.soft().cancelled() => return Err(Ending::Interrupted),
        };
        let (model, model_path) = fetched;
        prepared.push(Prepared {
            name: name.clone(),
            job: trainer_job(name, pipeline, model_path, &work.job.content),
            model,
        });
    }
    check_disk(work, &prepared)?;
    Ok(prepared)
}

/// The model's folder and its path relative to the inputs.
async fn fetch(
    work: &Work<'_>,
    inputs: &Path,
    number: usize,
    pipeline: &Pipeline,
) -> Result<(ModelFolder, String), Ending> {
    for data in data_of(pipeline) {
        fetch_data(work, inputs, data).await?;
    }
    let hub_model = &pipeline.model;
    work.log
        .line(&format!("retrieving {} at {}", hub_model.repository, hub_model.commit));
    let model = work
        .context
        .models
        .fetch(hub_model, pipeline.task)
        .await
        .map_err(Failure::from)?;
    work.context.metrics.hub_bytes.inc_by(model.downloaded);
    // Messages of the trainer name the model by this path.
    let path = match number {
        0 => format!("models/{}", hub_model.repository),
        _ => format!("models/{}@{number}", hub_model.repository),
    };
    link(&model.path, &inputs.join(&path))?;
    Ok((model, path))
}

fn data_of(pipeline: &Pipeline) -> impl Iterator<Item = &Data> {
    pipeline
        .training
        .iter()
        .map(|training| &training.data)
        .chain(&pipeline.validation_data)
}

/// Pipelines may share a file.
async fn fetch_data(work: &Work<'_>, inputs: &Path, data: &Data) -> Result<(), Ending> {
    let file = inputs.join(path_of(data));
    if file.exists() {
        return Ok(());
    }
    disk_space::check(inputs, data.size).map_err(|error| Failure::new(FailureCause::Capacity, error.to_string()))?;
    let key = Key::new(format!("trainyard/data/{}", data.sha256))
        .map_err(|error| Failure::new(FailureCause::User, error.to_string()))?;
    work.context
        .ledger
        .store()
        .get_file(&key, &file, &data.sha256)
        .await
        .map_err(Failure::from)?;
    work.context
        .metrics
        .store_bytes
        .with_label_values(&["from"])
        .inc_by(data.size);
    Ok(())
}

/// Every model is local now, so what training will write can be told.
fn check_disk(work: &Work<'_>, prepared: &[Prepared]) -> Result<(), Failure> {
    let needed = prepared.iter().map(|it| {
        let pipeline = work.job.content.pipelines.get(&it.name);
        let data = pipeline.map_or(0, |pipeline| data_of(pipeline).map(|data| data.size).sum());
        disk_space::estimate(disk_space::size(&it.model.path), data, it.job.training.as_ref())
    });
    disk_space::check(work.folder.path(), needed.sum())
        .map_err(|error| Failure::new(FailureCause::Capacity, error.to_string()))
}

fn path_of(data: &Data) -> String {
    format!("data/{}", data.sha256)
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| failure::file("the working folder", &error))
}

fn link(model: &Path, at: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| failure::file("the model's folder", &error);
    let model: PathBuf = model.canonicalize().map_err(failed)?;
    if let Some(folder) = at.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::os::unix::fs::symlink(model, at).map_err(failed)
}

/// The part of a job's pipeline that is the trainer's business.
fn trainer_job(name: &str, pipeline: &Pipeline, model: String, content: &Content) -> TrainerJob {
    TrainerJob {
        schema: SCHEMA,
        pipeline: name.to_owned(),
        task: pipeline.task,
        model,
        seed: pipeline.seed,
        precision: pipeline.precision,
        device: match content.accelerator {
            Accelerator::Gpu => Device::Cuda,
            Accelerator::Cpu | Accelerator::Inf1 => Device::Cpu,
        },
        max_rows: content.sample.then_some(SAMPLE_ROWS),
        training: pipeline.training.as_ref().map(training),
        validation_data: pipeline.validation_data.as_ref().map(source),
        columns: pipeline.columns.clone(),
        max_length: pipeline.max_length,
        eval_batch_size: pipeline.eval_batch_size,
        keywords: pipeline.keywords.clone(),
        sample_documents: pipeline.sample_documents.clone(),
    }
}

fn training(settings: &TrainingSettings) -> Training {
    Training {
        data: source(&settings.data),
        epochs: settings.epochs,
        train_batch_size: settings.train_batch_size,
        gradient_accumulation_steps: settings.gradient_accumulation_steps,
        learning_rate: settings.learning_rate,
        warmup_steps: settings.warmup_steps,
        weight_decay: settings.weight_decay,
        max_grad_norm: settings.max_grad_norm,
        test_size: settings.test_size,
        evaluation_strategy: settings.evaluation_strategy,
        save_strategy: settings.save_strategy,
        save_steps: settings.save_steps,
        save_total_limit: settings.save_total_limit,
        load_best_model_at_end: settings.load_best_model_at_end,
        metric_for_best_model: settings.metric_for_best_model.clone(),
        early_stopping_patience: settings.early_stopping_patience,
        checkpoint_every: settings.checkpoint_every,
        freeze: settings.freeze,
        gradient_checkpointing: settings.gradient_checkpointing,
    }
}

fn source(data: &Data) -> DataSource {
    DataSource {
        path: path_of(data),
        format: data.format,
        name: data.name.clone(),
    }
}
