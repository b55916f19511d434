//! The story of one job: open the model, read data, train, evaluate, predict, export, report.

use crate::arguments::Arguments;
use crate::arithmetic::Arithmetic;
use crate::available_memory;
use crate::checkpoint::Checkpoints;
use crate::data::{self, Dataset};
use crate::encoder::{Classifier, HeadKind, Pooling};
use crate::environment::{age_ms, environment, peak_resident_bytes};
use crate::evaluate::{Validation, evaluate};
use crate::events::Events;
use crate::export;
use crate::failure::{Failure, Result};
use crate::fine_tune::{Plan, fine_tune, metric};
use crate::inference::Predictor;
use crate::interruption::Interruption;
use crate::labels::{Labels, union};
use crate::memory_need::Need;
use crate::model::{Model, Repository};
use crate::native;
use crate::profile;
use crate::request;
use crate::scores;
use crate::sentence_config;
use crate::state::{self, Evaluation, State};
use crate::task::embedding::Embedder;
use crate::task::{keywords, text_classification, token_classification};
use crate::tokens::Tokenizer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use trainer_protocol::{DataSource, Event, OUTPUT_FILES, Precision, Report, Task, TrainerJob, Training};

/// What every part of the story needs.
struct Run<'a> {
    arguments: &'a Arguments,
    job: TrainerJob,
    repository: Repository,
    events: &'a mut Events,
    interruption: &'a Interruption,
}

/// What a part leaves for the report.
#[derive(Default)]
struct Outcome {
    evaluation: Option<Evaluation>,
    labels: Vec<String>,
    train_rows: u64,
    validation_rows: u64,
    state: Option<State>,
    predictions: Value,
}

/// Does the job of `arguments`.
///
/// # Errors
///
/// [`Failure`]; `--outputs` is complete only where there is none.
pub fn run(arguments: &Arguments, events: &mut Events, interruption: &Interruption) -> Result<()> {
    native::allocator::use_blocks();
    let job = request::read(&arguments.job)?;
    let precision = match (&job.training, job.precision) {
        // The keywords of KeyBERT to the last one, unless somebody asks for the fast ones.
        (None, Precision::Auto) => Precision::Fp32,
        (_, asked) => asked,
    };
    let arithmetic = Arithmetic::resolve(job.device, precision)?;
    for folder in [&arguments.outputs, &arguments.checkpoints] {
        std::fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, e))?;
    }
    let mut repository = Repository::open(arguments.inputs.join(&job.model), &job.model)?;
    repository.arithmetic = arithmetic;
    events.say(&Event::Ready {
        startup_ms: age_ms().unwrap_or_default(),
        resident_bytes: peak_resident_bytes(),
    });
    let mut run = Run {
        arguments,
        job,
        repository,
        events,
        interruption,
    };
    let (model, outcome) = match run.job.task {
        Task::FeatureExtraction => run.embed()?,
        _ => run.classify()?,
    };
    run.write(&model, outcome)
}

impl Run<'_> {
    /// Text and token classification.
    fn classify(&mut self) -> Result<(Model, Outcome)> {
        let training = self.job.training.clone();
        if training.is_some() && self.job.task == Task::TokenClassification {
            self.repository.tokenizer.space_first_words();
        }
        let (train, validation) = self.read_data(training.as_ref())?;
        self.interruption.check()?;
        let labels = self.labels(train.as_ref(), validation.as_ref())?;
        let head = self.head(labels.names.len() as i64);
        let seed = training.as_ref().map(|_| self.job.seed);
        let mut model = self.repository.build(head, labels.classifier, seed)?;
        let tokenizer = self.tokenizer()?;
        let mut outcome = Outcome {
            labels: labels.names.clone(),
            train_rows: train.as_ref().map_or(0, |data| data.len() as u64),
            validation_rows: validation.as_ref().map_or(0, |data| data.len() as u64),
            ..Outcome::default()
        };
        let validation = validation
            .map(|gold| validation_of(&tokenizer, gold, &labels))
            .transpose()?;
        if let (Some(training), Some(train)) = (&training, train) {
            if let Some(layers) = training.freeze {
                self.repository.freeze(&mut model, layers)?;
            }
            let plan = self.plan(training, &tokenizer, &train, validation, &labels)?;
            if !model.arithmetic.on_gpu() {
                let need = Need::of(&self.repository.config, &model, training, &plan.train)?;
                need.check(training, available_memory::available())?;
            }
            let state = fine_tune(&mut model, &plan, self.events, self.interruption)?;
            let best = training.load_best_model_at_end.then(|| state.best.clone()).flatten();
            outcome.evaluation = best.or_else(|| state.last.clone());
            outcome.state = Some(state);
            data::write_parquet(&train, &self.arguments.outputs.join(OUTPUT_FILES.training_data))
                .map_err(anyhow::Error::new)?;
        } else if let Some(validation) = &validation {
            outcome.evaluation = Some(self.evaluate(&model, validation, &labels.names)?);
        }
        outcome.predictions = self.predict(&model, &labels.names)?;
        Ok((model, outcome))
    }

    /// Sentence embeddings, and the keywords that they find.
    fn embed(&mut self) -> Result<(Model, Outcome)> {
        let pooling = Pooling::open(&self.repository.folder, &self.repository.name, &self.repository.config)?;
        let model = self
            .repository
            .build(HeadKind::Bare, Classifier::FromCheckpoint, None)?;
        let (_, validation) = self.read_data(None)?;
        sentence_config::apply(&mut self.repository, self.job.max_length.map(|limit| limit as usize))?;
        let embedder = Embedder {
            model: &model,
            tokenizer: &self.repository.tokenizer,
            pooling: &pooling,
            batch_size: self.job.eval_batch_size as usize,
            interruption: self.interruption,
        };
        let options = &self.job.keywords;
        let extract = |documents: &[String]| {
            let mut stopped = None;
            let found = keywords::extract(documents, options, &mut |texts| {
                embedder.embed(texts).map_err(|failure| {
                    let text = failure.to_string();
                    stopped = Some(failure);
                    anyhow::anyhow!(text)
                })
            });
            found.map_err(|error| stopped.unwrap_or(Failure::Internal(error)))
        };
        let mut outcome = Outcome::default();
        let (mut profile, arithmetic) = (self.arguments.profile.as_deref(), &model.arithmetic);
        if let Some(Dataset::Documents { texts, keyphrases }) = validation {
            let found = profile::recorded(profile.take(), texts.len(), arithmetic, || extract(&texts))?;
            let found: Vec<Vec<String>> = found
                .iter()
                .map(|d| d.iter().map(|(word, _)| word.clone()).collect())
                .collect();
            let scores = scores::keyphrases(&keyphrases, &found, options.top_n as usize);
            outcome.validation_rows = texts.len() as u64;
            outcome.evaluation = Some(Evaluation {
                step: 0,
                scores: scores.scores,
                per_label: scores.per_label,
            });
        }
        let samples = &self.job.sample_documents;
        let found = profile::recorded(profile, samples.len(), arithmetic, || extract(samples))?;
        outcome.predictions = json!(found);
        Ok((model, outcome))
    }

    /// Rows to learn from, and rows to be judged by: given, or held out of the former.
    fn read_data(&self, training: Option<&Training>) -> Result<(Option<Dataset>, Option<Dataset>)> {
        let validation = self
            .job
            .validation_data
            .as_ref()
            .map(|source| self.read(source))
            .transpose()?;
        let Some(training) = training else {
            return Ok((None, validation));
        };
        let train = self.read(&training.data)?;
        if validation.is_some() || training.test_size == 0.0 {
            return Ok((Some(train), validation));
        }
        let (train, held_out) =
            data::split(&train, training.test_size, self.job.seed).map_err(|e| Failure::user(chain(&e)))?;
        Ok((Some(train), Some(held_out)))
    }

    fn read(&self, source: &DataSource) -> Result<Dataset> {
        let read = data::read(
            &self.arguments.inputs,
            source,
            self.job.task,
            &self.job.columns,
            self.job.max_rows,
        );
        read.map_err(|e| Failure::user(chain(&e)))
    }

    /// The classification task's head.
    fn head(&self, labels: i64) -> HeadKind {
        match self.job.task {
            Task::TokenClassification => HeadKind::Token { labels },
            _ => HeadKind::Text { labels },
        }
    }

    fn labels(&self, train: Option<&Dataset>, validation: Option<&Dataset>) -> Result<Labels> {
        // How many labels there will be does not matter for the classifier's name.
        let has_classifier = self.repository.has_classifier(self.head(0));
        let config = &self.repository.config;
        let judged = validation.map(Dataset::label_names).unwrap_or_default();
        match train {
            Some(train) => Labels::of_training(config, has_classifier, union(train.label_names(), &judged)),
            None => {
                let file = self.job.validation_data.as_ref().map_or("", |source| &source.name);
                Labels::of_checkpoint(config, &self.repository.name, has_classifier, file, &judged)
            }
        }
    }

    /// The tokenizer for data: cut at `max_length`.
    fn tokenizer(&self) -> Result<Tokenizer> {
        let tokenizer = self.repository.tokenizer.clone();
        self.job
            .max_length
            .map_or(Ok(tokenizer.clone()), |limit| tokenizer.cut_to(limit as usize))
    }

    fn plan<'a>(
        &self,
        training: &'a Training,
        tokenizer: &Tokenizer,
        train: &Dataset,
        validation: Option<Validation>,
        labels: &'a Labels,
    ) -> Result<Plan<'a>> {
        let known = match self.job.task {
            Task::TokenClassification => token_classification::SCORES,
            _ => text_classification::SCORES,
        };
        if validation.is_some() && !known.contains(&metric(training)) {
            return Err(state::unknown_metric(metric(training), &known.join(", ")));
        }
        let job = serde_json::to_vec(&self.job).map_err(anyhow::Error::new)?;
        let digest = hex::encode(Sha256::digest(job));
        let kept = training.save_total_limit as usize;
        Ok(Plan {
            training,
            seed: self.job.seed,
            train: examples(tokenizer, train, labels)?,
            validation,
            names: &labels.names,
            eval_batch_size: self.job.eval_batch_size as usize,
            checkpoints: Checkpoints::new(&self.arguments.checkpoints, digest, self.job.seed, kept),
            profile: self.arguments.profile.clone(),
        })
    }

    fn evaluate(&mut self, model: &Model, validation: &Validation, names: &[String]) -> Result<Evaluation> {
        let size = self.job.eval_batch_size as usize;
        let scores = evaluate(model, validation, names, size, self.events, self.interruption)?;
        self.events.say(&Event::Evaluated {
            step: 0,
            epoch: 0.0,
            scores: scores.scores.clone(),
        });
        Ok(Evaluation {
            step: 0,
            scores: scores.scores,
            per_label: scores.per_label,
        })
    }

    /// Predictions on the sample documents, cut where the pipeline of `transformers` cuts: at what the model takes.
    fn predict(&self, model: &Model, names: &[String]) -> Result<Value> {
        let (repository, documents) = (&self.repository, &self.job.sample_documents);
        let predictor = Predictor {
            model,
            tokenizer: &repository.tokenizer,
            names,
            batch_size: self.job.eval_batch_size as usize,
            interruption: self.interruption,
        };
        match self.job.task {
            Task::TokenClassification => token_classification::predictions(&predictor, documents),
            _ => text_classification::predictions(&predictor, &repository.config, documents),
        }
    }

    /// Everything below `--outputs`.
    fn write(&mut self, model: &Model, outcome: Outcome) -> Result<()> {
        let outputs = &self.arguments.outputs;
        let trained = outcome.state.is_some();
        let folder = outputs.join(OUTPUT_FILES.artifacts);
        let exported = export::model(&self.repository, model, &outcome.labels, trained, &folder)?;
        export::json_file(&outputs.join(OUTPUT_FILES.predictions), &outcome.predictions)?;
        let state = outcome.state.unwrap_or_default();
        if trained {
            export::json_lines(&outputs.join(OUTPUT_FILES.loss_curve), &state.curve)?;
        }
        let best = self
            .job
            .training
            .as_ref()
            .filter(|t| t.load_best_model_at_end)
            .and(state.best.as_ref());
        let best_step = best.map_or(state.step, |best| best.step);
        let (scores, per_label) = outcome
            .evaluation
            .map_or((BTreeMap::new(), BTreeMap::new()), |e| (e.scores, e.per_label));
        let report = Report {
            scores,
            per_label,
            labels: outcome.labels,
            train_rows: outcome.train_rows,
            validation_rows: outcome.validation_rows,
            steps: state.step,
            best_step: trained.then_some(best_step),
            environment: environment(&model.arithmetic),
            unmatched_environments: state.unmatched,
            checkpoint: self.repository.checkpoint(model),
        };
        export::json_file(&outputs.join(OUTPUT_FILES.report), &report)?;
        self.events.say(&Event::Exported {
            files: exported.files,
            bytes: exported.bytes,
        });
        Ok(())
    }
}

fn validation_of(tokenizer: &Tokenizer, gold: Dataset, labels: &Labels) -> Result<Validation> {
    let examples = examples(tokenizer, &gold, labels)?;
    Ok(Validation { gold, examples })
}

fn examples(tokenizer: &Tokenizer, data: &Dataset, labels: &Labels) -> Result<Vec<crate::batches::Example>> {
    match data {
        Dataset::Sentences { tokens, tags } => token_classification::examples(tokenizer, tokens, tags, labels),
        Dataset::Texts { texts, labels: gold } => text_classification::examples(tokenizer, texts, gold, labels),
        Dataset::Documents { .. } => Err(Failure::user("documents with keyphrases cannot train a classifier")),
    }
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
