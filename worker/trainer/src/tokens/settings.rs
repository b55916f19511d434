//! What a repository says about its tokenizer beside the vocabulary: `tokenizer_config.json`, and what older releases of
//! `transformers` wrote apart from it: `special_tokens_map.json` and `added_tokens.json`.
//!
//! The old form names special tokens as texts or as objects, and lists added tokens with their ids in
//! `added_tokens.json`; the new form (2023 on) has `added_tokens_decoder` instead, and then `transformers` does not look
//! into the other two files, nor do we.

use super::class::Class;
use crate::encoder::Config;
use crate::failure::{Failure, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::AddedToken;

/// Roles of special tokens, in the order in which `transformers` adds those that a vocabulary does not have.
pub(super) const ROLES: &[&str] = &[
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// Names of classes that stand for "as tokenizer.json says".
const GENERIC: &[&str] = &["PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"];

/// The settings.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `tokenizer_config.json` as it came; empty where it is absent.
    pub(super) fields: Map<String, Value>,
    /// What messages call the repository.
    pub(super) name: String,
    /// The class that is named, or that goes with the model; `None` for one that is not known.
    pub(super) class: Option<&'static Class>,
    /// The class or model type that the repository names.
    pub(super) said: String,
    /// Added tokens with their ids.
    pub(super) added: BTreeMap<u32, AddedToken>,
    /// Special tokens by their role.
    pub(super) special: BTreeMap<&'static str, AddedToken>,
    /// Special tokens without a role.
    pub(super) extra: Vec<AddedToken>,
}

impl Settings {
    /// Reads what is there of the three files in `folder`.
    ///
    /// Where `tokenizer.json` is there and no class but a generic one is named, no class has a say.
    pub(super) fn read(folder: &Path, name: &str, config: &Config) -> Result<Self> {
        let fields = object(folder, name, "tokenizer_config.json")?.unwrap_or_default();
        let named = fields
            .get("tokenizer_class")
            .or_else(|| config.fields().get("tokenizer_class"));
        let named = named.and_then(Value::as_str);
        let model_type = config.fields().get("model_type").and_then(Value::as_str);
        let of_model = model_type.and_then(Class::of_model);
        let class = match named {
            None => of_model,
            Some(class) if GENERIC.contains(&class) => of_model.filter(|_| !folder.join("tokenizer.json").exists()),
            Some(class) => Class::named(class),
        };
        let mut settings = Self {
            name: name.to_owned(),
            class,
            said: named.or(model_type).unwrap_or_default().to_owned(),
            added: BTreeMap::new(),
            special: BTreeMap::new(),
            extra: Vec::new(),
            fields,
        };
        settings.read_tokens(folder)?;
        Ok(settings)
    }

    /// A switch, `default` where it is absent or null.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.fields.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    /// The text of the special token with this role.
    pub(super) fn token(&self, role: &str) -> Option<&str> {
        self.special.get(role).map(|token| token.content.as_str())
    }

    /// Tokens of a row at most; `None` where nothing is said, or 1e30, which says the same.
    pub(super) fn limit(&self) -> Option<usize> {
        let said = self
            .fields
            .get("model_max_length")
            .or_else(|| self.fields.get("max_len"));
        let said = said.and_then(Value::as_f64).filter(|limit| *limit >= 1.0);
        said.map(|limit| limit as usize)
    }

    fn read_tokens(&mut self, folder: &Path) -> Result<()> {
        let mut named = self.fields.clone();
        let decoder = named.remove("added_tokens_decoder");
        if let Some(decoder) = &decoder {
            let file = format!("{}/tokenizer_config.json: added_tokens_decoder", self.name);
            let wrong = || Failure::user(format!("{file} must be an object of ids and tokens"));
            for (id, token) in decoder.as_object().ok_or_else(wrong)? {
                let id = id.parse().map_err(|_| wrong())?;
                self.added.insert(id, self.parse(token, "added_tokens_decoder")?);
            }
        } else {
            named.extend(object(folder, &self.name, "special_tokens_map.json")?.unwrap_or_default());
        }
        for role in ROLES {
            self.read_role(role, named.get(*role))?;
        }
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            let tokens: Vec<&Value> = match named.get(key) {
                Some(Value::Array(tokens)) => tokens.iter().collect(),
                Some(Value::Object(tokens)) => tokens.values().collect(),
                _ => continue,
            };
            for token in tokens {
                let token = self.parse(token, key)?;
                self.extra.push(token.special(true));
            }
        }
        match decoder {
            Some(_) => Ok(()),
            None => self.read_added(folder),
        }
    }

    fn read_role(&mut self, role: &'static str, said: Option<&Value>) -> Result<()> {
        let default = self.class.and_then(|class| {
            let mut tokens = class.tokens.iter();
            tokens.find(|(known, _)| *known == role).map(|(_, token)| *token)
        });
        let takes_space = role == "mask_token" && self.class.is_some_and(|class| class.mask_takes_space);
        let token = match (said, default) {
            (None | Some(Value::Null), None) => return Ok(()),
            (None | Some(Value::Null), Some(default)) => AddedToken::from(default, true).lstrip(takes_space),
            (Some(Value::String(text)), _) => AddedToken::from(text, true).lstrip(takes_space),
            (Some(token), _) => self.parse(token, role)?.special(true),
        };
        // The flags that a token has in the list of added tokens count more than those beside its role.
        let listed = self.added.values().find(|added| added.content == token.content);
        let token = listed.cloned().unwrap_or(token);
        self.special.insert(role, token);
        Ok(())
    }

    /// `added_tokens.json`: tokens and their ids.
    fn read_added(&mut self, folder: &Path) -> Result<()> {
        for (text, id) in object(folder, &self.name, "added_tokens.json")?.unwrap_or_default() {
            let wrong = || {
                let message = format!(
                    "{}/added_tokens.json: the id of `{text}` must be a whole number",
                    self.name
                );
                Failure::user(message)
            };
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong)?;
            let mut known = self.special.values().chain(&self.extra);
            let special = known.any(|token| token.content == text);
            let token = AddedToken::from(text, special);
            // The class's own rule about its mask holds here too.
            let mask = self
                .special
                .get("mask_token")
                .filter(|mask| mask.content == token.content);
            let token = token.lstrip(mask.is_some_and(|mask| mask.lstrip));
            self.added.insert(id, token);
        }
        Ok(())
    }

    /// A token is a text or an object with its text and switches.
    fn parse(&self, token: &Value, key: &str) -> Result<AddedToken> {
        if let Some(text) = token.as_str() {
            return Ok(AddedToken::from(text, true));
        }
        let Some(text) = token.get("content").and_then(Value::as_str) else {
            let found: String = token.to_string().chars().take(80).collect();
            let message = format!(
                "{}: {key} of the tokenizer must be a text or an object with content",
                self.name
            );
            return Err(Failure::user(format!("{message}, found {found}")));
        };
        let flag = |key: &str, default: bool| token.get(key).and_then(Value::as_bool).unwrap_or(default);
        let special = flag("special", key != "added_tokens_decoder");
        Ok(AddedToken::from(text, special)
            .single_word(flag("single_word", false))
            .lstrip(flag("lstrip", false))
            .rstrip(flag("rstrip", false))
            .normalized(flag("normalized", !special)))
    }
}

/// The JSON object in a file; `None` where the file is absent.
pub(super) fn object(folder: &Path, name: &str, file: &str) -> Result<Option<Map<String, Value>>> {
    let wrong = |error: &dyn std::fmt::Display| Failure::user(format!("{name}/{file}: {error}"));
    match std::fs::read(folder.join(file)) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| wrong(&e)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&error)),
    }
}
