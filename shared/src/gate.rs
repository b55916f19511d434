//! The quality gate: conditions on scores, without which nothing is registered.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use trainer_protocol::Task;

/// One condition on one score, for example `macro_recall>=0.6`. Its text form is read back by [`FromStr`].
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Name of the score ([`score_names`]); `<pipeline>.<score>` in a job with several pipelines.
    pub score: String,
    /// How the score is held against the threshold.
    pub comparison: Comparison,
    /// Finite.
    pub threshold: f64,
}

/// How a score is held against a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
}

/// Text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no condition like macro_recall>=0.60: {reason}")]
pub struct InvalidCondition {
    text: String,
    reason: &'static str,
}

/// Longer operators first: `>` is the beginning of `>=`.
const OPERATORS: [(&str, Comparison); 4] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

impl Condition {
    /// Whether the score meets the condition; `None` where there is no such score or it is not a number.
    #[must_use]
    pub fn holds(&self, scores: &BTreeMap<String, f64>) -> Option<bool> {
        let score = *scores.get(&self.score).filter(|score| !score.is_nan())?;
        Some(match self.comparison {
            Comparison::AtLeast => score >= self.threshold,
            Comparison::Above => score > self.threshold,
            Comparison::AtMost => score <= self.threshold,
            Comparison::Below => score < self.threshold,
        })
    }
}

/// Reads `GATE`: conditions separated by `,`, `;`, `and` or `&&`, all of which must hold.
///
/// # Errors
/// [`InvalidCondition`] quotes the part that is none.
pub fn parse(text: &str) -> Result<Vec<Condition>, InvalidCondition> {
    let unified = text.replace("&&", ",").replace(';', ",");
    let words: Vec<&str> = unified
        .split_whitespace()
        .map(|w| if w.eq_ignore_ascii_case("and") { "," } else { w })
        .collect();
    words
        .concat()
        .split(',')
        .filter(|part| !part.is_empty())
        .map(str::parse)
        .collect()
}

/// The conditions of a job that its scores do not meet, with the scores they failed on; all must hold.
///
/// # Errors
/// [`InvalidCondition`] for text that [`parse`] would not have made.
pub fn unmet(
    gate: &[String],
    scores: &BTreeMap<String, f64>,
) -> Result<Vec<(Condition, Option<f64>)>, InvalidCondition> {
    let conditions: Vec<Condition> = gate.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let failed = conditions
        .into_iter()
        .filter(|condition| condition.holds(scores) != Some(true));
    Ok(failed
        .map(|condition| {
            let score = scores.get(&condition.score).copied();
            (condition, score)
        })
        .collect())
}

/// The scores that evaluating a task gives, in the order in which they are shown.
#[must_use]
pub fn score_names(task: Task) -> &'static [&'static str] {
    match task {
        Task::TextClassification => &[
            "accuracy",
            "macro_precision",
            "macro_recall",
            "macro_f1",
            "weighted_precision",
            "weighted_recall",
            "weighted_f1",
            "loss",
        ],
        Task::TokenClassification => &["precision", "recall", "f1", "accuracy", "loss"],
        Task::FeatureExtraction => &["precision_at_k", "recall_at_k", "f1_at_k"],
    }
}

/// The scores of a job by the tasks of its pipelines: plain names, with several pipelines `<pipeline>.<score>`.
#[must_use]
pub fn names_of<'a>(pipelines: impl Iterator<Item = (&'a str, Task)> + Clone) -> Vec<String> {
    let several = pipelines.clone().nth(1).is_some();
    let named = |pipeline: &str, score: &str| {
        if several {
            format!("{pipeline}.{score}")
        } else {
            score.to_owned()
        }
    };
    pipelines
        .flat_map(|(name, task)| score_names(task).iter().map(move |score| named(name, score)))
        .collect()
}

impl FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = |reason| InvalidCondition {
            text: text.chars().take(80).collect(),
            reason,
        };
        let found = OPERATORS
            .iter()
            .find_map(|(sign, comparison)| text.split_once(sign).map(|parts| (parts, *comparison)));
        let ((score, threshold), comparison) = found.ok_or_else(|| fault("it has none of >= > <= <"))?;
        let score = score.trim();
        let named = !score.is_empty() && score.len() <= 100;
        if !named
            || !score
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
        {
            return Err(fault("the part before the sign is no name of a score"));
        }
        let threshold = threshold.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        let threshold = threshold.ok_or_else(|| fault("the part behind the sign is no number"))?;
        Ok(Self {
            score: score.to_owned(),
            comparison,
            threshold,
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::AtLeast => ">=",
            Comparison::Above => ">",
            Comparison::AtMost => "<=",
            Comparison::Below => "<",
        };
        write!(f, "{}{sign}{}", self.score, self.threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn conditions_are_separated_by_comma_semicolon_and_or_ampersands() {
        for text in [
            "accuracy>=0.5,loss<2",
            "accuracy >= 0.50; loss < 2.0",
            "accuracy>=.5 and loss<2",
            "accuracy>=0.5 && loss<2,",
        ] {
            let gate: Vec<String> = parse(text).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(gate, ["accuracy>=0.5", "loss<2"], "{text}");
        }
    }

    #[test]
    fn text_that_is_no_condition_is_quoted() {
        for text in [
            "accuracy",
            "accuracy=0.5",
            ">=0.5",
            "accuracy>=high",
            "accuracy>=NaN",
            "accuracy>=inf",
            "Ac cu>0.1e999",
        ] {
            assert!(
                parse(text).unwrap_err().to_string().contains("is no condition"),
                "{text}"
            );
        }
        assert!(parse("accuracy>=").is_err());
    }

    #[test]
    fn a_missing_or_undefined_score_does_not_meet_the_gate() {
        let gate = ["f1>=0.5".to_owned(), "loss<1".to_owned()];
        assert_eq!(unmet(&gate, &scores(&[("f1", 0.5), ("loss", 0.2)])).unwrap(), []);
        let failed = unmet(&gate, &scores(&[("f1", f64::NAN)])).unwrap();
        assert_eq!(failed.len(), 2);
        assert_eq!(failed[1].1, None);
    }

    #[test]
    fn thresholds_are_included_or_not_as_the_sign_says() {
        let at = scores(&[("f1", 0.5)]);
        let holds = |text: &str| text.parse::<Condition>().unwrap().holds(&at);
        assert_eq!((holds("f1>=0.5"), holds("f1>0.5")), (Some(true), Some(false)));
        assert_eq!((holds("f1<=0.5"), holds("f1<0.5")), (Some(true), Some(false)));
    }
}
