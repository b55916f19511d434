//! Text to token ids, as the repository's tokenizer files say.
//!
//! `tokenizer.json` comes first, as in `transformers`. Without it the tokenizer is built from the files of its
//! vocabulary; which ones, and by which rules, say `tokenizer_class` in tokenizer_config.json or config.json, else
//! config.json's `model_type`.

mod build;
mod byte_level_bpe;
mod charsmap;
mod class;
mod files;
mod sentence_piece;
mod settings;
mod tokenizer_json;
mod unigram;
mod word_piece;

use crate::encoder::Config;
use crate::failure::{Failure, Result};
use settings::Settings;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
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
    settings: Settings,
    /// Differs from the repository's tokenizer.json, or there is none.
    rewritten: bool,
    unknown: Option<u32>,
    limit: usize,
    /// Tokens that the model has embeddings for.
    rows: usize,
}

impl Tokenizer {
    /// From `tokenizer.json`, else from the files of its vocabulary; rows are cut to what the model takes.
    ///
    /// # Errors
    ///
    /// A user's failure where files are missing or cannot be read; `name` is what messages call the folder.
    pub fn open(folder: &Path, name: &str, config: &Config) -> Result<Self> {
        refusing_panics(name, || Self::read(folder, name, config))
    }

    fn read(folder: &Path, name: &str, config: &Config) -> Result<Self> {
        let settings = Settings::read(folder, name, config)?;
        let rows = config.size("vocab_size")?.unsigned_abs() as usize;
        let (inner, rewritten) = if folder.join("tokenizer.json").exists() {
            tokenizer_json::read(folder, &settings, rows)?
        } else {
            (build::build(folder, &settings, rows)?, true)
        };
        let limit = settings.limit().unwrap_or(usize::MAX);
        let limit = limit.min(config.max_positions()?);
        let unknown = settings.token("unk_token").and_then(|token| inner.token_to_id(token));
        let tokenizer = Self {
            inner,
            settings,
            rewritten,
            unknown,
            limit,
            rows,
        };
        tokenizer.cut_to(limit)
    }

    /// Puts a space before the first word of a text, where this is a tokenizer of byte-level BPE: the words of a sentence
    /// that comes in words have one each, and a model that learns from such sentences should meet it in texts too.
    /// (`run_ner.py` of `transformers` opens such tokenizers with `add_prefix_space=True` for the same reason.)
    pub fn space_first_words(&mut self) {
        self.rewritten |= tokenizer_json::set_prefix_space(&mut self.inner, true);
    }

    /// Reads texts in lower case, as sentence-transformers does where its settings say so.
    ///
    /// # Errors
    ///
    /// Where an added token cannot be normalised.
    pub fn lower_case(&mut self) -> Result<()> {
        let mut steps = vec![NormalizerWrapper::Lowercase(Lowercase)];
        steps.extend(self.inner.get_normalizer().cloned());
        let changed = self.inner.with_normalizer(Some(Sequence::new(steps)));
        changed.map_err(|e| Failure::from_text(&e.to_string()))?;
        Ok(())
    }

    /// Does the first word of a text get a space? `None` where the tokenizer is not one of byte-level BPE.
    fn prefix_space(&self) -> Option<bool> {
        match self.inner.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::ByteLevel(byte_level)) => Some(byte_level.add_prefix_space),
            _ => None,
        }
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
        let apart = self.prefix_space() == Some(false);
        let word = |word: &String| {
            let spaced = apart && !word.is_empty() && !word.starts_with(char::is_whitespace);
            Cow::Owned(if spaced { format!(" {word}") } else { word.clone() })
        };
        let words = |words: &Vec<String>| words.iter().map(word).collect::<Vec<Cow<'_, str>>>();
        let inputs = sentences.iter().map(|sentence| InputSequence::from(words(sentence)));
        Ok(self.encode(inputs.collect())?.iter().map(row).collect())
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
        let piece = |(place, id): (usize, &u32)| {
            let (start, end) = offsets[place];
            let word = match self.inner.id_to_token(*id) {
                Some(token) if Some(*id) != self.unknown => token,
                _ => text.chars().skip(start).take(end - start).collect(),
            };
            let special = encoding.get_special_tokens_mask()[place] == 1;
            Piece {
                word,
                start,
                end,
                special,
            }
        };
        ids.iter().enumerate().map(piece).collect()
    }

    fn encode(&self, inputs: Vec<InputSequence<'_>>) -> Result<Vec<Encoding>> {
        let inputs: Vec<EncodeInput<'_>> = inputs.into_iter().map(EncodeInput::Single).collect();
        let name = &self.settings.name;
        let encoded = refusing_panics(name, || {
            let encoded = self.inner.encode_batch_char_offsets(inputs, true);
            encoded.map_err(|e| Failure::user(format!("{name}: failed to tokenize: {e}")))
        })?;
        let ids = encoded.iter().flat_map(Encoding::get_ids);
        match ids.copied().find(|id| *id as usize >= self.rows) {
            None => Ok(encoded),
            Some(id) => {
                let token = self.inner.id_to_token(id).unwrap_or_default();
                let message =
                    format!("{name}: the tokenizer gives `{token}` the id {id}, but vocab_size in config.json");
                Err(Failure::user(format!("{message} is {}", self.rows)))
            }
        }
    }
}

/// The `tokenizers` crate panics at some broken files where it should refuse them.
fn refusing_panics<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or_default();
        Err(Failure::user(format!("{name}: its tokenizer is broken: {text}")))
    })
}

fn row(encoding: &Encoding) -> Row {
    Row {
        ids: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().to_vec(),
        words: encoding.get_word_ids().to_vec(),
    }
}
