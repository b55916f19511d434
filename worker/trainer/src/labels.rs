//! Which labels a classifier has: those of its checkpoint, or those of the data.

use crate::encoder::{Classifier, Config};
use crate::failure::{Failure, Result};

/// Labels in the order of their ids, and where the layer over them comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Names.
    pub names: Vec<String>,
    /// Their layer.
    pub classifier: Classifier,
}

impl Labels {
    /// The labels of a model that is used as it came. `data` are those of the validation
    /// data `file`, if there is any.
    ///
    /// # Errors
    ///
    /// A user's failure where the repository `name` has no classifier, or `data` has labels that the model lacks.
    pub fn of_checkpoint(
        config: &Config,
        name: &str,
        has_classifier: bool,
        file: &str,
        data: &[String],
    ) -> Result<Self> {
        if !has_classifier {
            return Err(Failure::user(format!(
                "{name} has no classifier of its own; it must be trained before it can predict (TRAIN=true)"
            )));
        }
        let names = config
            .labels()?
            .unwrap_or_else(|| vec!["LABEL_0".into(), "LABEL_1".into()]);
        let unknown = missing(data, &names);
        if !unknown.is_empty() {
            return Err(Failure::user(format!(
                "{file} has labels that {name} does not know: {} (it knows: {})",
                unknown.join(", "),
                names.join(", ")
            )));
        }
        Ok(Self {
            names,
            classifier: Classifier::FromCheckpoint,
        })
    }

    /// The labels of a model that is trained on `data`: the checkpoint's own where they cover the data's, else new ones.
    ///
    /// # Errors
    ///
    /// A user's failure where the data has fewer than two labels.
    pub fn of_training(config: &Config, has_classifier: bool, data: Vec<String>) -> Result<Self> {
        if data.len() < 2 {
            return Err(Failure::user(format!(
                "the training data has {} label ({}), a classifier needs at least two",
                data.len(),
                data.join(", ")
            )));
        }
        let own = if has_classifier { config.labels()? } else { None };
        Ok(match own {
            Some(names) if missing(&data, &names).is_empty() => Self {
                names,
                classifier: Classifier::FromCheckpoint,
            },
            _ => Self {
                names: data,
                classifier: Classifier::New,
            },
        })
    }

    /// The id of a label that is known to be there.
    ///
    /// # Errors
    ///
    /// A user's failure that names it where it is not.
    pub fn id(&self, label: &str) -> Result<i64> {
        let found = self.names.iter().position(|name| name == label);
        found
            .map(|id| id as i64)
            .ok_or_else(|| Failure::user(format!("label `{label}` is not known to the model")))
    }
}

/// The labels of two data sets together, each without repetitions and ordered as they are.
#[must_use]
pub fn union(first: Vec<String>, second: &[String]) -> Vec<String> {
    let mut all = first;
    let more = missing(second, &all);
    if !more.is_empty() {
        all.extend(more);
        all.sort();
        if all.iter().all(|label| label.parse::<i64>().is_ok()) {
            all.sort_by_key(|label| label.parse::<i64>().unwrap_or_default());
        }
    }
    all
}

fn missing(wanted: &[String], known: &[String]) -> Vec<String> {
    wanted.iter().filter(|label| !known.contains(label)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_validation_data_are_added_in_order() {
        let texts = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(union(texts(&["b", "d"]), &texts(&["a", "d"])), ["a", "b", "d"]);
        assert_eq!(union(texts(&["2", "10"]), &texts(&["3"])), ["2", "3", "10"]);
    }
}
