//! Rows in memory.

use std::collections::BTreeSet;

/// The rows of one data file, as its task needs them. All vectors of a variant have the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dataset {
    /// Text classification: one label a text.
    Texts {
        /// Never blank.
        texts: Vec<String>,
        /// Never blank; an integer label is its decimal digits.
        labels: Vec<String>,
    },
    /// Token classification: one tag a word. `tokens[i]` and `tags[i]` have the same length, at least 1.
    Sentences {
        /// Words.
        tokens: Vec<Vec<String>>,
        /// Their tags, usually in the BIO scheme.
        tags: Vec<Vec<String>>,
    },
    /// Keywords: the keyphrases that a person gave the text (possibly none).
    Documents {
        /// Never blank.
        texts: Vec<String>,
        /// Gold keyphrases, in the file's order.
        keyphrases: Vec<Vec<String>>,
    },
}

impl Dataset {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Texts { texts, .. } | Self::Documents { texts, .. } => texts.len(),
            Self::Sentences { tokens, .. } => tokens.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The distinct labels (or tags) in the order in which they get their ids: by number where every one is an
    /// integer, else by code point. Empty for [`Dataset::Documents`].
    #[must_use]
    pub fn label_names(&self) -> Vec<String> {
        let distinct: BTreeSet<&String> = (0..self.len()).flat_map(|row| self.labels_of(row)).collect();
        let mut names: Vec<String> = distinct.into_iter().cloned().collect();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if numbers.is_some() {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
        }
        names
    }

    /// The rows at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`Dataset::len`].
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        match self {
            Self::Texts { texts, labels } => Self::Texts {
                texts: pick(texts, indices),
                labels: pick(labels, indices),
            },
            Self::Sentences { tokens, tags } => Self::Sentences {
                tokens: pick(tokens, indices),
                tags: pick(tags, indices),
            },
            Self::Documents { texts, keyphrases } => Self::Documents {
                texts: pick(texts, indices),
                keyphrases: pick(keyphrases, indices),
            },
        }
    }

    /// The labels that occur in one row.
    pub(super) fn labels_of(&self, row: usize) -> &[String] {
        match self {
            Self::Texts { labels, .. } => std::slice::from_ref(&labels[row]),
            Self::Sentences { tags, .. } => &tags[row],
            Self::Documents { .. } => &[],
        }
    }
}

fn pick<T: Clone>(rows: &[T], indices: &[usize]) -> Vec<T> {
    indices.iter().map(|&index| rows[index].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(labels: &[&str]) -> Dataset {
        Dataset::Texts {
            texts: labels.iter().map(|label| format!("text of {label}")).collect(),
            labels: labels.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn integer_labels_are_ordered_by_number() {
        assert_eq!(labelled(&["10", "2", "-1", "2"]).label_names(), ["-1", "2", "10"]);
    }

    #[test]
    fn other_labels_are_ordered_by_code_point() {
        assert_eq!(labelled(&["b", "10", "2", "a"]).label_names(), ["10", "2", "a", "b"]);
    }

    #[test]
    fn selected_rows_keep_text_and_label_together() {
        let chosen = labelled(&["a", "b", "c"]).select(&[2, 0]);
        assert_eq!(chosen, labelled(&["c", "a"]));
    }
}
