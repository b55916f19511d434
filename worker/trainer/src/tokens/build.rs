//! A tokenizer from the files of its vocabulary, as `transformers` makes it where there is no `tokenizer.json`.

use super::class::{Around, CLASSES, Class, Form, VOCABULARIES};
use super::settings::{ROLES, Settings};
use super::{byte_level_bpe, unigram, word_piece};
use crate::failure::{Failure, Result};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use tokenizers::Tokenizer as Inner;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

/// What goes wrong inside a file, in words that the file's name is put before.
pub(super) type Explained<T> = std::result::Result<T, String>;

/// What the forms differ in; the JSON is that of `tokenizer.json`.
pub(super) struct Parts {
    pub(super) model: ModelWrapper,
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Value,
    pub(super) decoder: Value,
    /// Tokens that the files themselves set apart.
    pub(super) added: Vec<AddedToken>,
}

/// A part of a tokenizer from its description.
pub(super) fn part<T: DeserializeOwned>(description: Value) -> Explained<T> {
    // By way of text: some parts borrow from it.
    serde_json::from_str(&description.to_string()).map_err(|e| e.to_string())
}

/// Builds the tokenizer of the class that `settings` name. `rows` is how many tokens the model has embeddings for.
pub(super) fn build(folder: &Path, settings: &Settings, rows: usize) -> Result<Inner> {
    let class = class_with_files(folder, settings)?;
    let parts = match class.form {
        Form::WordPiece => word_piece::read(folder, settings),
        Form::ByteLevelBpe => byte_level_bpe::read(folder, settings),
        Form::Unigram(layout) => unigram::read(folder, settings, class, layout),
    }?;
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::user(format!("{}/{}: {error}", settings.name, class.files().join(" and ")))
    };
    let mut inner = Inner::new(parts.model);
    inner.with_normalizer(parts.normalizer).map_err(|e| wrong(&e))?;
    inner.with_pre_tokenizer(Some(
        part::<PreTokenizerWrapper>(parts.pre_tokenizer).map_err(|e| wrong(&e))?,
    ));
    inner.with_decoder(Some(part::<DecoderWrapper>(parts.decoder).map_err(|e| wrong(&e))?));
    add_tokens(&mut inner, settings, parts.added, rows).map_err(|e| wrong(&e))?;
    for (id, token) in &settings.added {
        let found = inner.token_to_id(&token.content);
        if found != Some(*id) {
            let found = found.map_or("none".to_owned(), |id| id.to_string());
            return Err(wrong(&format!(
                "added token `{}` should have the id {id}, but gets {found}",
                token.content
            )));
        }
    }
    let around = around(&inner, settings, class).map_err(|e| wrong(&e))?;
    inner.with_post_processor(Some(part::<PostProcessorWrapper>(around).map_err(|e| wrong(&e))?));
    Ok(inner)
}

fn class_with_files(folder: &Path, settings: &Settings) -> Result<&'static Class> {
    let there: Vec<&str> = VOCABULARIES
        .iter()
        .copied()
        .filter(|file| folder.join(file).exists())
        .collect();
    let found = match there.as_slice() {
        [] => "no other file of a tokenizer".to_owned(),
        files => files.join(", "),
    };
    let name = &settings.name;
    let Some(class) = settings.class else {
        let known: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
        return Err(Failure::user(format!(
            "{name} has no tokenizer.json, and the tokenizer of `{}` cannot be built from its files ({found}): add \
             tokenizer.json, or name one of these as tokenizer_class in tokenizer_config.json: {}",
            settings.said,
            known.join(", ")
        )));
    };
    if class.files().iter().all(|file| there.contains(file)) {
        return Ok(class);
    }
    Err(Failure::user(format!(
        "{name} has neither tokenizer.json nor {}, which {} reads; it has {found}: add one of them, or name the class \
         that reads what is there as tokenizer_class in tokenizer_config.json",
        class.files().join(" and "),
        class.name
    )))
}

/// Makes every token that the repository sets apart known to `inner`. A special token that has no id yet gets the next
/// one, but only where the model has a row for it.
pub(super) fn add_tokens(inner: &mut Inner, settings: &Settings, own: Vec<AddedToken>, rows: usize) -> Explained<()> {
    let known = inner.get_added_tokens_decoder();
    let mut tokens: Vec<AddedToken> = settings.added.values().cloned().collect();
    let special = ROLES.iter().filter_map(|role| settings.special.get(role));
    for token in special.chain(&settings.extra).chain(&own) {
        let mut others = known.values().chain(&tokens);
        if !others.any(|other| other.content == token.content) {
            tokens.push(token.clone());
        }
    }
    for token in tokens {
        let listed = settings.added.values().any(|added| *added == token);
        let room = inner.get_vocab_size(true) < rows;
        if listed || room || inner.token_to_id(&token.content).is_some() {
            inner.add_tokens([token]).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// The description of what puts special tokens around a text.
fn around(inner: &Inner, settings: &Settings, class: &Class) -> Explained<Value> {
    let token = |role: &str| {
        let text = settings.token(role).unwrap_or_default();
        let id = inner
            .token_to_id(text)
            .ok_or_else(|| format!("{role} `{text}` is not in it"))?;
        Ok::<_, String>((text, id))
    };
    let (cls, sep) = (token("cls_token")?, token("sep_token")?);
    if class.around == Around::Roberta {
        // MPNet's class has no settings for these two.
        let byte_level = class.form == Form::ByteLevelBpe;
        return Ok(json!({
            "type": "RobertaProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1],
            "trim_offsets": !byte_level || settings.flag("trim_offsets", true),
            "add_prefix_space": byte_level && settings.flag("add_prefix_space", false),
        }));
    }
    let second = u32::from(class.around == Around::Bert);
    let special = |(text, _): (&str, u32), kind: u32| json!({"SpecialToken": {"id": text, "type_id": kind}});
    let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    let mut pair = vec![special(cls, 0), text("A", 0), special(sep, 0)];
    let single = pair.clone();
    pair.extend((class.around == Around::Fairseq).then(|| special(sep, 0)));
    pair.extend([text("B", second), special(sep, second)]);
    let tokens = [cls, sep].map(|(text, id)| (text.to_owned(), json!({"id": text, "ids": [id], "tokens": [text]})));
    Ok(json!({
        "type": "TemplateProcessing", "single": single, "pair": pair,
        "special_tokens": tokens.into_iter().collect::<serde_json::Map<_, _>>(),
    }))
}
