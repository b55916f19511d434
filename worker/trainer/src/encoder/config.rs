//! config.json of a Hugging Face repository.

use crate::failure::{Failure, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// Its fields; those that nobody reads are kept for the export.
#[derive(Debug, Clone)]
pub struct Config {
    fields: Map<String, Value>,
    file: String,
}

impl Config {
    /// Reads `config.json` in `folder`; `name` is what messages call the folder.
    ///
    /// # Errors
    ///
    /// A user's failure where the file is absent or not a JSON object.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let file = format!("{name}/config.json");
        let text = std::fs::read(folder.join("config.json")).map_err(|e| Failure::user(format!("{file}: {e}")))?;
        let fields = serde_json::from_slice(&text).map_err(|e| Failure::user(format!("{file}: {e}")))?;
        Ok(Self { fields, file })
    }

    /// What messages call it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Every field as it came.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The architecture.
    ///
    /// # Errors
    ///
    /// Where it is absent.
    pub fn model_type(&self) -> Result<&str> {
        let found = self.fields.get("model_type").and_then(Value::as_str);
        found.ok_or_else(|| Failure::user(format!("{}: model_type is missing", self.file)))
    }

    /// A count or dimension of at least 1.
    pub(crate) fn size(&self, key: &str) -> Result<i64> {
        let found = self.fields.get(key);
        match found.and_then(Value::as_i64) {
            Some(size) if (1..=1 << 24).contains(&size) => Ok(size),
            _ => Err(self.wrong(key, "a whole number of at least 1", found)),
        }
    }

    /// Attention heads, which must divide the hidden size.
    pub(crate) fn heads(&self, key: &str, hidden: i64) -> Result<i64> {
        let heads = self.size(key)?;
        if hidden % heads != 0 {
            return Err(self.wrong(key, &format!("a divisor of {hidden}"), self.fields.get(key)));
        }
        Ok(heads)
    }

    /// A number, `default` where it is absent or null.
    pub(crate) fn number(&self, key: &str, default: f64) -> Result<f64> {
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.wrong(key, "a number", Some(value))),
        }
    }

    /// A text, `default` where it is absent or null.
    pub(crate) fn text(&self, key: &str, default: &str) -> Result<String> {
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(default.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            found => Err(self.wrong(key, "a text", found)),
        }
    }

    /// Id of the padding token; 0 where it is absent, as in both known families.
    #[must_use]
    pub fn pad_token_id(&self) -> i64 {
        self.fields.get("pad_token_id").and_then(Value::as_i64).unwrap_or(0)
    }

    /// Tokens that the model takes at most, special ones included.
    #[must_use]
    pub fn max_positions(&self) -> Option<usize> {
        let found = self.fields.get("max_position_embeddings").and_then(Value::as_u64);
        found.and_then(|count| usize::try_from(count).ok())
    }

    /// Names of the labels in the order of their ids; `None` where config.json has none.
    ///
    /// # Errors
    ///
    /// Where the ids are not 0, 1, 2, ….
    pub fn labels(&self) -> Result<Option<Vec<String>>> {
        let Some(named) = self.fields.get("id2label") else {
            return Ok(None);
        };
        let wrong = || self.wrong("id2label", "the ids 0, 1, 2, … with a text each", Some(named));
        let named = named.as_object().ok_or_else(wrong)?;
        let label = |id: usize| named.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned);
        let labels: Option<Vec<String>> = (0..named.len()).map(label).collect();
        labels.map(Some).ok_or_else(wrong)
    }

    fn wrong(&self, key: &str, wanted: &str, found: Option<&Value>) -> Failure {
        let found = found.map_or_else(|| "nothing".to_owned(), Value::to_string);
        Failure::user(format!("{}: {key} must be {wanted}, found {found}", self.file))
    }
}
