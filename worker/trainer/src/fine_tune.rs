//! Fine-tuning: the loop.

use crate::batches::{self, Example};
use crate::cadence::Cadence;
use crate::checkpoint::{Checkpoints, Cursor, Kept};
use crate::crash;
use crate::dropout::Dropout;
use crate::evaluate::{Validation, cross_entropy, evaluate};
use crate::events::{Done, Events};
use crate::failure::{Failure, Result};
use crate::interruption::Interruption;
use crate::model::Model;
use crate::optimizer::{self, AdamW};
use crate::profile::{Part, Profile};
use crate::readings::{Reading, Readings, Taken};
use crate::recompute::Tape;
use crate::schedule::Schedule;
use crate::state::{Point, State};
use std::path::PathBuf;
use std::time::Instant;
use tch::{Kind, Reduction, Tensor};
use trainer_protocol::{Event, Strategy, Training};

/// Everything that a training needs besides the model.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The settings.
    pub training: &'a Training,
    /// Where random numbers come from.
    pub seed: u64,
    /// Rows to learn from.
    pub train: Vec<Example>,
    /// Rows to be judged by.
    pub validation: Option<Validation>,
    /// Names of the labels in the order of their ids.
    pub names: &'a [String],
    /// Rows a batch in evaluation.
    pub eval_batch_size: usize,
    /// Where the training is saved.
    pub checkpoints: Checkpoints,
    /// Where the profile of some steps goes, if one is wanted.
    pub profile: Option<PathBuf>,
}

/// Trains `model`; it ends with the weights that shall be exported.
///
/// Each turn of the loop begins where a checkpoint can be taken, so that a training that goes on after one does what it
/// would have done without: every random number, the order of rows and the rate are functions of the step.
///
/// # Errors
///
/// A user's failure with the step where the loss is not a number; [`Failure::Interrupted`], saved, where told to stop.
pub fn fine_tune(
    model: &mut Model,
    plan: &Plan<'_>,
    events: &mut Events,
    interruption: &Interruption,
) -> Result<State> {
    let (training, total) = (plan.training, plan.total_steps());
    let schedule = Schedule {
        peak: training.learning_rate,
        warmup: u64::from(training.warmup_steps),
        total,
    };
    let mut optimizer = AdamW::new(model.trained(), training.weight_decay);
    let mut state = plan.checkpoints.resume(model, &mut optimizer)?.unwrap_or_default();
    let mut epoch = Epoch::default();
    let (mut readings, device) = (Readings::new(), model.arithmetic.device);
    let mut cadence = Cadence::new(training.checkpoint_every);
    let mut profile = plan.profile.as_deref().map(|folder| Profile::new(folder, state.step));
    events.start_loop();
    loop {
        if let Some(profile) = &mut profile {
            profile.at(state.step, total, &model.arithmetic)?;
        }
        if plan.evaluation_is_due(state.step) && !state.is_evaluated() {
            plan.evaluate(model, &optimizer, &mut state, events, interruption)?;
        }
        if state.step == total || state.stopped_early {
            break;
        }
        let rate = schedule.rate(state.step);
        let batches = epoch.batches_of(state.step, plan);
        let (loss, gradients, (rows, tokens)) = forward_backward(model, plan, batches, state.step)?;
        let norm = {
            let _part = Part::new(c"optimizer");
            optimizer.clipped_step(model.trained_mut(), &gradients, training.max_grad_norm, rate)?
        };
        state.step += 1;
        readings.push(Taken {
            step: state.step,
            loss,
            norm,
            rate,
            rows,
            tokens,
        });
        crash::after_step(state.step, total, plan.checkpoints.folder());
        let kept = plan.kept(state.step);
        let saving = kept == Kept::ByStrategy || cadence.is_due(state.step) || interruption.came();
        if saving || plan.evaluation_is_due(state.step) || state.step == total || readings.is_due(device) {
            for reading in readings.read()? {
                plan.log(&mut state, &reading, events);
            }
        }
        if saving {
            let started = Instant::now();
            plan.save(model, &optimizer, &state, kept, events)?;
            cadence.saved(started);
            interruption.check()?;
        }
    }
    if let (true, Some(best)) = (training.load_best_model_at_end, &state.best) {
        plan.checkpoints.load_best(model, best.step)?;
    }
    Ok(state)
}

/// Rows and tokens of a step.
type Work = (u64, u64);

/// Mean loss over `batches`, a scalar; its gradients, and what was worked through.
fn forward_backward(
    model: &Model,
    plan: &Plan<'_>,
    batches: &[Vec<usize>],
    step: u64,
) -> Result<(Tensor, Vec<Tensor>, Work)> {
    let mut sum = Tensor::zeros([], (Kind::Double, model.arithmetic.device));
    let (mut total, mut work) = (Vec::new(), (0, 0));
    for (part, rows) in batches.iter().enumerate() {
        let measured = Part::new(c"batch");
        let batch = model.training_batch(&rows.iter().map(|row| &plan.train[*row]).collect::<Vec<_>>());
        drop(measured);
        let mut dropout = Dropout::of_step(plan.seed, step, part as u64);
        if model.arithmetic.on_gpu() {
            dropout.seed_gpu();
        }
        let measured = Part::new(c"forward");
        let mut tape = Tape::new(plan.training.gradient_checkpointing);
        let logits = model.logits(&batch, &mut dropout, &mut tape);
        let loss = cross_entropy(&logits, &batch.targets, Reduction::Mean) / batches.len() as f64;
        sum += loss.detach();
        drop(measured);
        let measured = Part::new(c"backward");
        let gradients = optimizer::gradients(&loss, tape, model.trained())?;
        if part == 0 {
            total = gradients;
        } else {
            optimizer::accumulate(&mut total, &gradients);
        }
        drop(measured);
        work = (work.0 + batch.rows, work.1 + batch.tokens);
    }
    Ok((sum, total, work))
}

/// The batches of the epoch that the current step is in.
#[derive(Debug, Default)]
struct Epoch {
    number: Option<u64>,
    batches: Vec<Vec<usize>>,
}

impl Epoch {
    /// The batches that make step number `step` (from 0).
    fn batches_of(&mut self, step: u64, plan: &Plan<'_>) -> &[Vec<usize>] {
        let (number, within) = (step / plan.steps_per_epoch(), step % plan.steps_per_epoch());
        if self.number != Some(number) {
            let lengths: Vec<usize> = plan.train.iter().map(|e| e.row.ids.len()).collect();
            self.batches = batches::shuffled(&lengths, plan.training.train_batch_size as usize, plan.seed, number);
            self.number = Some(number);
        }
        let together = plan.training.gradient_accumulation_steps as usize;
        let first = within as usize * together;
        &self.batches[first..(first + together).min(self.batches.len())]
    }
}

impl Plan<'_> {
    fn steps_per_epoch(&self) -> u64 {
        let batches = self.train.len().div_ceil(self.training.train_batch_size as usize) as u64;
        batches
            .div_ceil(u64::from(self.training.gradient_accumulation_steps))
            .max(1)
    }

    /// Optimizer steps of the whole training.
    #[must_use]
    pub fn total_steps(&self) -> u64 {
        self.steps_per_epoch() * u64::from(self.training.epochs)
    }

    fn epochs_done(&self, step: u64) -> f64 {
        step as f64 / self.steps_per_epoch() as f64
    }

    fn due(&self, strategy: Strategy, step: u64) -> bool {
        match strategy {
            Strategy::No => false,
            Strategy::Epoch => step.is_multiple_of(self.steps_per_epoch()),
            Strategy::Steps => step.is_multiple_of(u64::from(self.training.save_steps.max(1))),
        }
    }

    /// As the strategy says, and at the end in any case.
    fn evaluation_is_due(&self, step: u64) -> bool {
        let due = step == self.total_steps() || self.due(self.training.evaluation_strategy, step);
        self.validation.is_some() && step > 0 && due
    }

    /// How long a checkpoint of this step is kept. The strategy wants one where it says so, and where there is one, at
    /// the end: what follows may be interrupted too.
    fn kept(&self, step: u64) -> Kept {
        let strategy = self.training.save_strategy;
        if self.due(strategy, step) || (strategy != Strategy::No && step == self.total_steps()) {
            Kept::ByStrategy
        } else {
            Kept::WhileNewest
        }
    }

    fn save(&self, model: &Model, optimizer: &AdamW, state: &State, kept: Kept, events: &mut Events) -> Result<()> {
        let cursor = Cursor {
            epoch: state.step / self.steps_per_epoch(),
            step_in_epoch: state.step % self.steps_per_epoch(),
        };
        let folder = self.checkpoints.save(model, optimizer, state, cursor, kept)?;
        events.say(&Event::Checkpoint {
            step: state.step,
            folder,
        });
        Ok(())
    }

    fn evaluate(
        &self,
        model: &Model,
        optimizer: &AdamW,
        state: &mut State,
        events: &mut Events,
        interruption: &Interruption,
    ) -> Result<()> {
        let Some(validation) = &self.validation else {
            return Ok(());
        };
        let scores = evaluate(
            model,
            validation,
            self.names,
            self.eval_batch_size,
            events,
            interruption,
        );
        if matches!(scores, Err(Failure::Interrupted)) {
            self.save(model, optimizer, state, self.kept(state.step), events)?;
        }
        let (scores, epoch) = (scores?, self.epochs_done(state.step));
        events.say(&Event::Evaluated {
            step: state.step,
            epoch,
            scores: scores.scores.clone(),
        });
        let patience = self.training.early_stopping_patience;
        let better = state.evaluated(scores, epoch, metric(self.training), patience)?;
        if better && self.training.load_best_model_at_end {
            self.checkpoints.keep_best(model, state.step)?;
        }
        events.start_loop();
        Ok(())
    }

    /// Says how it goes; the loss curve gets about 200 points a training, at steps that depend on its length alone.
    fn log(&self, state: &mut State, reading: &Reading, events: &mut Events) {
        let total = self.total_steps();
        state.pending.push(reading.loss);
        if reading.step.is_multiple_of((total / 200).max(1)) || reading.step == total {
            let mean = state.pending.iter().sum::<f64>() / state.pending.len() as f64;
            state.pending.clear();
            state.curve.push(Point {
                step: reading.step,
                epoch: self.epochs_done(reading.step),
                loss: Some(mean),
                learning_rate: Some(reading.rate),
                gradient_norm: Some(reading.norm),
                scores: None,
            });
        }
        let done = Done {
            step: reading.step,
            of: total,
            rows: reading.rows,
            tokens: reading.tokens,
            loss: Some(reading.loss),
            rate: Some(reading.rate),
        };
        events.count("train", done);
    }
}

/// `metric_for_best_model`, with or without the `eval_` that `transformers` puts before it.
#[must_use]
pub fn metric(training: &Training) -> &str {
    let name = training.metric_for_best_model.as_str();
    name.strip_prefix("eval_").unwrap_or(name)
}
