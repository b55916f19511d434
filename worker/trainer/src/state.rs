//! How far a training is: everything that a checkpoint needs besides tensors.

use crate::failure::{Failure, Result};
use crate::scores::Scores;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trainer_protocol::{Environment, LabelScores};

/// How far a training is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Optimizer steps done.
    pub step: u64,
    /// The latest evaluation.
    pub last: Option<Evaluation>,
    /// The best evaluation.
    pub best: Option<Evaluation>,
    /// Evaluations since the best one.
    pub without_improvement: u32,
    /// Training ended before its last step.
    pub stopped_early: bool,
    /// Loss curve so far.
    pub curve: Vec<Point>,
    /// Losses since the last point of the curve.
    pub pending: Vec<f64>,
    /// What earlier parts ran on, where this or a later one could not match it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<Environment>,
}

/// Scores at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimizer steps done.
    pub step: u64,
    /// Name -> value.
    pub scores: BTreeMap<String, f64>,
    /// Label -> its scores.
    pub per_label: BTreeMap<String, LabelScores>,
}

/// A line of the loss curve: a logged step, or an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Optimizer steps done.
    pub step: u64,
    /// Passes over the data done.
    pub epoch: f64,
    /// Mean training loss since the last logged step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<f64>,
    /// Rate of the step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub learning_rate: Option<f64>,
    /// Norm of all gradients before clipping.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gradient_norm: Option<f64>,
    /// Scores on the validation data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scores: Option<BTreeMap<String, f64>>,
}

impl State {
    /// Has this very step been evaluated?
    #[must_use]
    pub fn is_evaluated(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.step == self.step)
    }

    /// Takes up the scores of the current step; is it the best so far? `metric` decides (`loss` is better when smaller,
    /// everything else when larger; an equal score is no improvement), and `patience` evaluations without one end the
    /// training (`transformers.EarlyStoppingCallback`).
    ///
    /// # Errors
    ///
    /// A user's failure where there is no score of the name `metric`.
    pub fn evaluated(&mut self, scores: Scores, epoch: f64, metric: &str, patience: Option<u32>) -> Result<bool> {
        let evaluation = Evaluation {
            step: self.step,
            scores: scores.scores,
            per_label: scores.per_label,
        };
        let known = || evaluation.scores.keys().cloned().collect::<Vec<_>>().join(", ");
        let value = |e: &Evaluation| {
            let value = e.scores.get(metric).copied();
            value.ok_or_else(|| unknown_metric(metric, &known()))
        };
        let new = value(&evaluation)?;
        let better = match &self.best {
            Some(best) if metric == "loss" => new < value(best)?,
            Some(best) => new > value(best)?,
            None => true,
        };
        self.curve.push(Point {
            step: self.step,
            epoch,
            loss: None,
            learning_rate: None,
            gradient_norm: None,
            scores: Some(evaluation.scores.clone()),
        });
        self.without_improvement = if better { 0 } else { self.without_improvement + 1 };
        self.stopped_early = patience.is_some_and(|patience| self.without_improvement >= patience);
        self.last = Some(evaluation.clone());
        if better {
            self.best = Some(evaluation);
        }
        Ok(better)
    }
}

/// `metric_for_best_model` names no score.
pub(crate) fn unknown_metric(metric: &str, known: &str) -> Failure {
    Failure::user(format!(
        "training.metric_for_best_model `{metric}` is not known (known: {known})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(state: &mut State, metric: &str, value: f64, patience: Option<u32>) -> bool {
        state.step += 1;
        let scores = Scores {
            scores: BTreeMap::from([(metric.to_owned(), value)]),
            per_label: BTreeMap::new(),
        };
        state.evaluated(scores, 1.0, metric, patience).unwrap()
    }

    #[test]
    fn an_equal_score_is_no_improvement_and_patience_ends_the_training() {
        let mut state = State::default();
        assert!(scored(&mut state, "f1", 0.5, Some(2)));
        assert!(!scored(&mut state, "f1", 0.5, Some(2)));
        assert!(!state.stopped_early);
        assert!(scored(&mut state, "f1", 0.6, Some(2)));
        assert!(!scored(&mut state, "f1", 0.1, Some(2)));
        assert!(!scored(&mut state, "f1", 0.6, Some(2)));
        assert!(state.stopped_early);
        assert_eq!(state.best.unwrap().step, 3);
    }

    #[test]
    fn a_smaller_loss_is_better() {
        let mut state = State::default();
        assert!(scored(&mut state, "loss", 0.5, None));
        assert!(scored(&mut state, "loss", 0.4, None));
        assert!(!scored(&mut state, "loss", 0.45, None));
        assert!(!state.stopped_early);
    }

    #[test]
    fn a_metric_that_does_not_exist_is_named() {
        let message = State::default()
            .evaluated(Scores::default(), 0.0, "f2", None)
            .unwrap_err()
            .to_string();
        assert!(message.contains("`f2`"), "{message}");
    }
}
