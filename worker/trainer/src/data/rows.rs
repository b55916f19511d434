//! Turns records into the rows of a task, and refuses what does not fit.

use super::record::{Record, Value};
use super::{DataError, Dataset, Place};
use trainer_protocol::{DataColumns, Task};

/// The rows read so far.
pub(super) struct Rows<'a> {
    file: &'a str,
    columns: &'a DataColumns,
    dataset: Dataset,
}

impl<'a> Rows<'a> {
    /// None yet. `file` is the name for messages.
    pub(super) fn new(file: &'a str, task: Task, columns: &'a DataColumns) -> Self {
        let dataset = match task {
            Task::TextClassification => Dataset::Texts {
                texts: Vec::new(),
                labels: Vec::new(),
            },
            Task::TokenClassification => Dataset::Sentences {
                tokens: Vec::new(),
                tags: Vec::new(),
            },
            Task::FeatureExtraction => Dataset::Documents {
                texts: Vec::new(),
                keyphrases: Vec::new(),
            },
        };
        Self { file, columns, dataset }
    }

    /// Names of the columns that the task reads.
    pub(super) fn columns(&self) -> [&'a str; 2] {
        let columns = self.columns;
        match self.dataset {
            Dataset::Texts { .. } => [&columns.text, &columns.label],
            Dataset::Sentences { .. } => [&columns.tokens, &columns.tags],
            Dataset::Documents { .. } => [&columns.text, &columns.keyphrases],
        }
    }

    /// Whether `column` holds a list in this task.
    pub(super) fn is_list(&self, column: &str) -> bool {
        match self.dataset {
            Dataset::Texts { .. } => false,
            Dataset::Sentences { .. } => true,
            Dataset::Documents { .. } => column == self.columns.keyphrases,
        }
    }

    /// Adds the row at `place`.
    pub(super) fn push(&mut self, place: Place, record: &mut dyn Record) -> Result<(), DataError> {
        let [first, second] = self.columns();
        let checker = Checker { file: self.file, place };
        let (one, other) = (record.take(first), record.take(second));
        match &mut self.dataset {
            Dataset::Texts { texts, labels } => {
                let text = checker.text(first, one)?;
                labels.push(checker.label(second, other)?);
                texts.push(text);
            }
            Dataset::Sentences { tokens, tags } => {
                let words = checker.list(first, one, false)?;
                let marks = checker.list(second, other, true)?;
                if words.len() != marks.len() {
                    let problem = format!("{} tags for {} tokens", marks.len(), words.len());
                    return Err(checker.bad(Some(second), problem));
                }
                if words.is_empty() {
                    return Err(checker.bad(Some(first), "expected at least one token".into()));
                }
                tokens.push(words);
                tags.push(marks);
            }
            Dataset::Documents { texts, keyphrases } => {
                let text = checker.text(first, one)?;
                keyphrases.push(checker.list(second, other, false)?);
                texts.push(text);
            }
        }
        Ok(())
    }

    /// All rows, at least one.
    pub(super) fn finish(self) -> Result<Dataset, DataError> {
        if self.dataset.is_empty() {
            return Err(DataError::Empty {
                file: self.file.to_owned(),
            });
        }
        Ok(self.dataset)
    }

    /// An error at `place`.
    pub(super) fn bad(&self, place: Place, field: Option<&str>, problem: String) -> DataError {
        Checker { file: self.file, place }.bad(field, problem)
    }

    /// An error of the whole file.
    pub(super) fn unusable(&self, problem: String) -> DataError {
        DataError::Unusable {
            file: self.file.to_owned(),
            problem,
        }
    }

    /// The system could not read on.
    pub(super) fn failed(&self, source: std::io::Error) -> DataError {
        DataError::Read {
            file: self.file.to_owned(),
            source,
        }
    }
}

/// Checks the values of one row.
struct Checker<'a> {
    file: &'a str,
    place: Place,
}

impl Checker<'_> {
    fn text(&self, field: &str, value: Value) -> Result<String, DataError> {
        match value {
            Value::Text(text) => self.not_blank(field, text),
            other => Err(self.unexpected(field, &other, "a string")),
        }
    }

    fn label(&self, field: &str, value: Value) -> Result<String, DataError> {
        match value {
            Value::Text(text) => self.not_blank(field, text),
            Value::Integer(digits) => Ok(digits),
            other => Err(self.unexpected(field, &other, "a string or an integer")),
        }
    }

    fn list(&self, field: &str, value: Value, integers: bool) -> Result<Vec<String>, DataError> {
        let items = match value {
            Value::List(items) => items,
            other => return Err(self.unexpected(field, &other, "a list of strings")),
        };
        let check = |(index, item)| match item {
            Value::Text(text) if !text.trim().is_empty() => Ok(text),
            Value::Text(_) => Err(self.bad(Some(field), format!("item {} is blank", index + 1))),
            Value::Integer(digits) if integers => Ok(digits),
            other => {
                let problem = format!("item {} is {}, expected a string", index + 1, other.kind());
                Err(self.bad(Some(field), problem))
            }
        };
        items.into_iter().enumerate().map(check).collect()
    }

    fn not_blank(&self, field: &str, text: String) -> Result<String, DataError> {
        if text.trim().is_empty() {
            return Err(self.bad(Some(field), "it is blank".into()));
        }
        Ok(text)
    }

    fn unexpected(&self, field: &str, found: &Value, expected: &str) -> DataError {
        let problem = match found {
            Value::Missing => format!("it is missing, expected {expected}"),
            other => format!("found {}, expected {expected}", other.kind()),
        };
        self.bad(Some(field), problem)
    }

    fn bad(&self, field: Option<&str>, problem: String) -> DataError {
        DataError::Bad {
            file: self.file.to_owned(),
            place: self.place,
            field: field.map(ToOwned::to_owned),
            problem,
        }
    }
}
