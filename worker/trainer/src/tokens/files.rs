//! The tokenizer's files in an exported folder.
//!
//! `tokenizer.json` is always written: ours where the repository had none or where its settings change it, else as it
//! came. `tokenizer_config.json` then names `PreTrainedTokenizerFast`, which every release of `transformers` from 4 on
//! reads tokenizer.json with as it is: so consumers get the ids that the model was trained with, whatever their release
//! makes of the original class, and without SentencePiece. The vocabulary's other files are carried over for consumers
//! that ask for the class by its name.

use super::Tokenizer;
use super::class::{Class, VOCABULARIES};
use super::settings::ROLES;
use crate::encoder::Config;
use crate::export::{carry, json_file};
use crate::failure::{Failure, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Carried over as they came, besides the vocabulary's files.
const CARRIED: [&str; 2] = ["special_tokens_map.json", "added_tokens.json"];

impl Tokenizer {
    /// Writes the tokenizer of the repository in `from` to `folder`. The same tokenizer gives the same bytes.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written.
    pub fn export(&self, config: &Config, from: &Path, folder: &Path) -> Result<()> {
        for file in VOCABULARIES.iter().copied().chain(CARRIED) {
            carry(from, folder, file)?;
        }
        if self.rewritten {
            let path = folder.join("tokenizer.json");
            let text = self.description().map_err(|e| Failure::from_text(&e.to_string()))?;
            std::fs::write(&path, text).map_err(|e| Failure::file("write", &path, e))?;
        } else {
            carry(from, folder, "tokenizer.json")?;
        }
        json_file(&folder.join("tokenizer_config.json"), &self.config(config))
    }

    /// tokenizer.json, which neither cuts nor pads: consumers say how.
    fn description(&self) -> tokenizers::Result<String> {
        let mut inner = self.inner.clone();
        inner.with_truncation(None)?;
        Ok(inner.to_string(true)? + "\n")
    }

    /// tokenizer_config.json: as it came, but for what is said above and for what the repository left open.
    fn config(&self, config: &Config) -> Map<String, Value> {
        let mut fields = self.settings.fields.clone();
        // It is in tokenizer.json; code of the repository's own (auto_map) is not run.
        for key in ["added_tokens_decoder", "auto_map", "max_len", "backend"] {
            fields.remove(key);
        }
        fields.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        fields.insert("model_max_length".into(), json!(self.limit));
        if let Some(prefix) = self.prefix_space() {
            fields.insert("add_prefix_space".into(), json!(prefix));
        }
        for role in ROLES {
            let known = |text: &&str| self.inner.token_to_id(text).is_some();
            match self.settings.token(role).filter(known) {
                Some(text) => fields.insert((*role).into(), json!(text)),
                None => fields.remove(*role),
            };
        }
        let class = self.settings.class;
        let class = class.or_else(|| Class::of_model(config.family().model_type));
        // A class has this of its own, and the general one says something else in each release.
        let names = match class {
            Some(class) if class.types => json!(["input_ids", "token_type_ids", "attention_mask"]),
            _ => json!(["input_ids", "attention_mask"]),
        };
        fields.entry("model_input_names").or_insert(names);
        fields
    }
}
