//! Text to token ids, as the repository's tokenizer files say.

use crate::encoder::Config;
use crate::failure::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::{EncodeInput, Encoding, InputSequence, TruncationParams};

/// One row as the encoder takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// Token types.
    pub types: Vec<u32>,
    /// For each token the word of the text that it belongs to; `None` for special tokens.
    pub words: Vec<Option<u32>>,
}

/// One token of a text, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The token as the vocabulary writes it; for an unknown one, what stands in the text.
    pub word: String,
    /// First character in the text.
    pub start: usize,
    /// Behind the last one.
    pub end: usize,
    /// `[CLS]` and the like, which are not of the text.
    pub special: bool,
}

/// A tokenizer that cuts rows to a length and never pads.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    unknown: Option<u32>,
    limit: usize,
}

impl Tokenizer {
    /// From `tokenizer.json`, else from `vocab.txt` and `tokenizer_config.json`; rows are cut to what the model takes.
    ///
    /// # Errors
    ///
    /// A user's failure where neither is there or can be read; `name` is what messages call the folder.
    pub fn open(folder: &Path, name: &str, config: &Config) -> Result<Self> {
        let wrong = |file: &str, error: &dyn std::fmt::Display| Failure::user(format!("{name}/{file}: {error}"));
        let settings: Value = match std::fs::read(folder.join("tokenizer_config.json")) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| wrong("tokenizer_config.json", &e))?,
            Err(_) => json!({}),
        };
        let inner = if folder.join("tokenizer.json").exists() {
            tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).map_err(|e| wrong("tokenizer.json", &e))?
        } else if folder.join("vocab.txt").exists() {
            let vocabulary = std::fs::read_to_string(folder.join("vocab.txt")).map_err(|e| wrong("vocab.txt", &e))?;
            let description = word_piece(&vocabulary, &settings).map_err(|e| wrong("vocab.txt", &e))?;
            tokenizers::Tokenizer::from_bytes(description.to_string()).map_err(|e| wrong("vocab.txt", &e))?
        } else {
            return Err(Failure::user(format!(
                "{name} has neither tokenizer.json nor vocab.txt"
            )));
        };
        let said = settings
            .get("model_max_length")
            .or_else(|| settings.get("max_len"))
            .and_then(Value::as_u64);
        let said = said.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let limit = said.min(config.max_positions()?);
        let unknown = settings.get("unk_token").and_then(token_text).unwrap_or("[UNK]");
        let unknown = inner.token_to_id(unknown);
        Self { inner, unknown, limit }.cut_to(limit)
    }

    /// The same, cutting rows to at most `limit` tokens, special ones included, and never above what the model takes.
    ///
    /// # Errors
    ///
    /// A user's failure where `limit` leaves no room for text.
    pub fn cut_to(mut self, limit: usize) -> Result<Self> {
        let limit = limit.min(self.limit);
        self.inner.with_padding(None);
        self.inner
            .with_truncation(None)
            .map_err(|e| Failure::from_text(&e.to_string()))?;
        let special = self.inner.encode("", true).map_or(0, |encoding| encoding.len());
        if limit <= special {
            return Err(Failure::user(format!(
                "max_length {limit} leaves no room for text beside {special} special tokens"
            )));
        }
        let cut = TruncationParams {
            max_length: limit,
            ..TruncationParams::default()
        };
        self.inner
            .with_truncation(Some(cut))
            .map_err(|e| Failure::from_text(&e.to_string()))?;
        self.limit = limit;
        Ok(self)
    }

    /// Tokens of a row at most.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Texts to rows.
    ///
    /// # Errors
    ///
    /// A user's failure where the tokenizer refuses a text.
    pub fn texts(&self, texts: &[String]) -> Result<Vec<Row>> {
        let inputs = texts.iter().map(|text| InputSequence::from(text.as_str())).collect();
        Ok(self.encode(inputs)?.iter().map(row).collect())
    }

    /// Sentences that are cut into words to rows; `Row::words` counts the given words.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::texts`].
    pub fn sentences(&self, sentences: &[Vec<String>]) -> Result<Vec<Row>> {
        let inputs = sentences
            .iter()
            .map(|words| InputSequence::from(words.as_slice()))
            .collect();
        Ok(self.encode(inputs)?.iter().map(row).collect())
    }

    /// As [`Tokenizer::texts`], with the tokens' places in the text.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::texts`].
    pub fn pieces(&self, texts: &[String]) -> Result<Vec<(Row, Vec<Piece>)>> {
        let inputs = texts.iter().map(|text| InputSequence::from(text.as_str())).collect();
        let encodings = self.encode(inputs)?;
        Ok(texts
            .iter()
            .zip(&encodings)
            .map(|(text, e)| (row(e), self.pieces_of(text, e)))
            .collect())
    }

    fn pieces_of(&self, text: &str, encoding: &Encoding) -> Vec<Piece> {
        let (ids, offsets) = (encoding.get_ids(), encoding.get_offsets());
        let piece = |(place, token): (usize, &String)| {
            let (start, end) = offsets[place];
            let word = if Some(ids[place]) == self.unknown {
                text.chars().skip(start).take(end - start).collect()
            } else {
                token.clone()
            };
            let special = encoding.get_special_tokens_mask()[place] == 1;
            Piece {
                word,
                start,
                end,
                special,
            }
        };
        encoding.get_tokens().iter().enumerate().map(piece).collect()
    }

    fn encode(&self, inputs: Vec<InputSequence<'_>>) -> Result<Vec<Encoding>> {
        let inputs: Vec<EncodeInput<'_>> = inputs.into_iter().map(EncodeInput::Single).collect();
        let encoded = self.inner.encode_batch_char_offsets(inputs, true);
        encoded.map_err(|e| Failure::user(format!("failed to tokenize: {e}")))
    }
}

fn row(encoding: &Encoding) -> Row {
    Row {
        ids: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().to_vec(),
        words: encoding.get_word_ids().to_vec(),
    }
}

/// A token in `tokenizer_config.json` is a text or an object with its text.
fn token_text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content").and_then(Value::as_str))
}

/// The `tokenizer.json` of `BertTokenizerFast` for a vocabulary with one token a line.
fn word_piece(vocabulary: &str, settings: &Value) -> std::result::Result<Value, String> {
    let lines = vocabulary.lines().map(|line| line.trim_end_matches('\r'));
    let ids: BTreeMap<&str, usize> = lines.enumerate().map(|(id, token)| (token, id)).collect();
    let special = |key: &str, default: &str| {
        let token = settings.get(key).and_then(token_text).unwrap_or(default).to_owned();
        let id = ids
            .get(token.as_str())
            .copied()
            .ok_or_else(|| format!("{key} `{token}` is not in it"))?;
        Ok::<_, String>((token, id))
    };
    let unknown = special("unk_token", "[UNK]")?;
    let (cls, sep) = (special("cls_token", "[CLS]")?, special("sep_token", "[SEP]")?);
    let others = [special("pad_token", "[PAD]"), special("mask_token", "[MASK]")];
    let all = [&unknown, &cls, &sep].into_iter().chain(others.iter().flatten());
    let added: BTreeMap<usize, &str> = all.map(|(token, id)| (*id, token.as_str())).collect();
    let added: Vec<Value> = added
        .iter()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let flag = |key: &str, default: bool| settings.get(key).and_then(Value::as_bool).unwrap_or(default);
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "lowercase": flag("do_lower_case", true),
            "handle_chinese_chars": flag("tokenize_chinese_chars", true),
            "strip_accents": settings.get("strip_accents").and_then(Value::as_bool),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unknown.0, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": ids,
        },
    }))
}
