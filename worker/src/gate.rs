//! `GATE`: conditions on scores that a model must meet before it is registered.

use std::collections::BTreeMap;
use std::fmt;

/// A condition such as `macro_recall>=0.60`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    score: String,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// In the order in which they are looked for: the longer sign first.
const SIGNS: [(&str, Comparison); 4] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

/// Text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the gate {0:?}: expected <score>>=<number>, for example macro_recall>=0.60")]
pub struct InvalidCondition(String);

impl std::str::FromStr for Condition {
    type Err = InvalidCondition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidCondition(text.chars().take(80).collect());
        let (sign, comparison) = SIGNS.into_iter().find(|(sign, _)| text.contains(sign)).ok_or_else(invalid)?;
        let (score, bound) = text.split_once(sign).ok_or_else(invalid)?;
        let bound: f64 = bound.trim().parse().map_err(|_| invalid())?;
        let score = score.trim();
        if score.is_empty() || !bound.is_finite() {
            return Err(invalid());
        }
        Ok(Self {
            score: score.to_owned(),
            comparison,
            bound,
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{}{}{}", self.score, sign.map_or("", |(sign, _)| sign), self.bound)
    }
}

impl Condition {
    fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::AtLeast => value >= self.bound,
            Comparison::Above => value > self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Below => value < self.bound,
        }
    }
}

/// Checks every condition; `Err` is a report for people that names each one that does not hold with the score's value
/// (a score that was not measured does not hold, and neither does NaN).
///
/// # Errors
/// The report.
pub fn check(gate: &[Condition], scores: &BTreeMap<String, f64>) -> Result<(), String> {
    let missed: Vec<String> = gate
        .iter()
        .filter_map(|condition| match scores.get(&condition.score) {
            Some(value) if condition.holds(*value) => None,
            Some(value) => Some(format!("{condition} is not met: {} = {value:.4}", condition.score)),
            None => Some(format!("{condition} is not met: {} was not measured", condition.score)),
        })
        .collect();
    if missed.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = scores.iter().map(|(name, value)| format!("{name}={value:.4}")).collect();
    let measured = if all.is_empty() { "none".to_owned() } else { all.join(" ") };
    Err(format!("the quality gate is not met: {}; scores: {measured}", missed.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::{Condition, check};
    use std::collections::BTreeMap;

    fn gate(text: &str) -> Vec<Condition> {
        text.split(',').map(|condition| condition.parse().unwrap()).collect()
    }

    fn scores() -> BTreeMap<String, f64> {
        BTreeMap::from([("macro_recall".into(), 0.6), ("loss".into(), 0.9)])
    }

    #[test]
    fn bounds_are_inclusive_where_the_sign_says_so() {
        assert_eq!(check(&gate("macro_recall>=0.60,loss<1"), &scores()), Ok(()));
        assert!(check(&gate("macro_recall>0.60"), &scores()).is_err());
        assert!(check(&gate("loss <= 0.9"), &scores()).is_ok());
    }

    #[test]
    fn report_names_condition_value_and_all_scores() {
        let report = check(&gate("macro_recall>=0.75"), &scores()).unwrap_err();
        for part in ["macro_recall>=0.75", "macro_recall = 0.6000", "loss=0.9000"] {
            assert!(report.contains(part), "{report}");
        }
    }

    #[test]
    fn unmeasured_score_and_nan_do_not_pass() {
        assert!(check(&gate("f1>=0.1"), &scores()).unwrap_err().contains("not measured"));
        let scores = BTreeMap::from([("f1".to_owned(), f64::NAN)]);
        assert!(check(&gate("f1>=0"), &scores).is_err() && check(&gate("f1<=1"), &scores).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "f1", ">=0.5", "f1>=", "f1>=x", "f1>=inf", "f1=0.5"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
