//! config.json of a Hugging Face repository.

use super::Family;
use crate::failure::{Failure, Result};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::path::Path;

/// Layers that a model has at most; far above every published one, and far below what would exhaust the memory.
const LAYERS: i64 = 1024;

/// Its fields; those that nobody reads are kept for the export. What it leaves out is what the family's configuration
/// class has by default.
#[derive(Debug, Clone)]
pub struct Config {
    fields: Map<String, Value>,
    defaults: Map<String, Value>,
    family: &'static Family,
    file: String,
}

impl Config {
    /// Reads `config.json` in `folder`; `name` is what messages call the folder.
    ///
    /// # Errors
    ///
    /// A user's failure where the file is absent, not a JSON object, or names no known `model_type`.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        let file = format!("{name}/config.json");
        let text = std::fs::read(folder.join("config.json")).map_err(|e| Failure::user(format!("{file}: {e}")))?;
        let fields: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|e| Failure::user(format!("{file}: {e}")))?;
        let model_type = fields.get("model_type").and_then(Value::as_str);
        let model_type = model_type.ok_or_else(|| Failure::user(format!("{file}: model_type is missing")))?;
        let family = Family::of(model_type, &file)?;
        let defaults = serde_json::from_str(family.defaults).map_err(anyhow::Error::new)?;
        Ok(Self {
            fields,
            defaults,
            family,
            file,
        })
    }

    /// What messages call it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Every field as it came, defaults left out.
    #[must_use]
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// The family that `model_type` names.
    #[must_use]
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// The field that the shared parts call `key`: the file's, else the family's default; `None` where it is null.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        let own = self.own(key);
        let given = |fields: &'_ Map<String, Value>| fields.get(own).is_some_and(|value| !value.is_null());
        let fields = if given(&self.fields) {
            &self.fields
        } else {
            &self.defaults
        };
        fields.get(own).filter(|value| !value.is_null())
    }

    /// A count or dimension of at least 1.
    pub(crate) fn size(&self, key: &str) -> Result<i64> {
        self.whole(key, 1..=1 << 24, "a whole number of at least 1")
    }

    /// As [`Config::size`]; `None` where it is null, 0 or -1, which is how files say that there is no such thing.
    pub(crate) fn optional_size(&self, key: &str) -> Result<Option<i64>> {
        match self.value(key).map(Value::as_i64) {
            None | Some(Some(-1..=0)) => Ok(None),
            _ => self.size(key).map(Some),
        }
    }

    /// Refuses another value than `only`, which is also meant where the file says nothing.
    pub(crate) fn refuse_other(&self, key: &str, only: i64) -> Result<()> {
        match self.value(key).map(Value::as_i64) {
            None => Ok(()),
            Some(Some(value)) if value == only => Ok(()),
            _ => Err(self.wrong(key, &only.to_string())),
        }
    }

    /// How many layers, or groups of layers.
    pub(crate) fn layers(&self, key: &str) -> Result<i64> {
        self.whole(key, 1..=LAYERS, &format!("a whole number from 1 to {LAYERS}"))
    }

    /// Attention heads, which must divide the hidden size.
    pub(crate) fn heads(&self, key: &str, hidden: i64) -> Result<i64> {
        let heads = self.size(key)?;
        if hidden % heads != 0 {
            return Err(self.wrong(key, &format!("a divisor of {hidden}")));
        }
        Ok(heads)
    }

    /// A number.
    pub(crate) fn number(&self, key: &str) -> Result<f64> {
        self.value(key)
            .and_then(Value::as_f64)
            .ok_or_else(|| self.wrong(key, "a number"))
    }

    /// A probability of dropout.
    pub(crate) fn dropout(&self, key: &str) -> Result<f64> {
        let found = self.number(key)?;
        if !(0.0..1.0).contains(&found) {
            return Err(self.wrong(key, "a number from 0 to below 1"));
        }
        Ok(found)
    }

    /// The dropout before a classifier: `key`, or where it is null, that of the hidden states.
    pub(crate) fn classifier_dropout(&self, key: &str) -> Result<f64> {
        let given = self.value(key).is_some();
        self.dropout(if given { key } else { "hidden_dropout_prob" })
    }

    /// True or false.
    pub(crate) fn flag(&self, key: &str) -> Result<bool> {
        let found = self.value(key).and_then(Value::as_bool);
        found.ok_or_else(|| self.wrong(key, "true or false"))
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        let found = self.value(key).and_then(Value::as_str);
        found.ok_or_else(|| self.wrong(key, "a text"))
    }

    /// Refuses what BERT and those like it could be besides: decoders, and the relative positions that `transformers` has
    /// given up.
    pub(crate) fn refuse_variants(&self) -> Result<()> {
        if self.flag("is_decoder")? {
            return Err(self.wrong("is_decoder", "false"));
        }
        match self.value("position_embedding_type").map(Value::as_str) {
            None | Some(Some("absolute")) => Ok(()),
            _ => Err(self.wrong("position_embedding_type", "absolute")),
        }
    }

    /// Id of the padding token.
    ///
    /// # Errors
    ///
    /// Where it is not in the vocabulary.
    pub fn pad_token_id(&self) -> Result<i64> {
        let last = self.size("vocab_size")? - 1;
        self.whole("pad_token_id", 0..=last, &format!("a whole number from 0 to {last}"))
    }

    /// Tokens that the model takes at most, special ones included.
    ///
    /// # Errors
    ///
    /// Where that is not said or leaves none.
    pub fn max_positions(&self) -> Result<usize> {
        let before = self.family.positions.before_first(self)?;
        let count = self.size("max_position_embeddings")? - before;
        usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            let wanted = format!("above {before}, as many as stand before the first token's");
            self.wrong("max_position_embeddings", &wanted)
        })
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
        let wrong = || self.wrong("id2label", "the ids 0, 1, 2, … with a text each");
        let named = named.as_object().ok_or_else(wrong)?;
        let label = |id: usize| named.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned);
        let labels: Option<Vec<String>> = (0..named.len()).map(label).collect();
        labels.map(Some).ok_or_else(wrong)
    }

    /// What the family calls the field that the shared parts call `key`.
    fn own<'a>(&self, key: &'a str) -> &'a str {
        let renamed = self.family.renamed.iter().find(|(shared, _)| *shared == key);
        renamed.map_or(key, |(_, own)| own)
    }

    fn whole(&self, key: &str, range: RangeInclusive<i64>, wanted: &str) -> Result<i64> {
        let found = self.value(key).and_then(Value::as_i64);
        found
            .filter(|value| range.contains(value))
            .ok_or_else(|| self.wrong(key, wanted))
    }

    pub(crate) fn wrong(&self, key: &str, wanted: &str) -> Failure {
        let found = self.value(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
        Failure::user(format!(
            "{}: {} must be {wanted}, found {found}",
            self.file,
            self.own(key)
        ))
    }
}
