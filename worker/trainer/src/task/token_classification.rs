//! One label a word, as `transformers.pipeline("token-classification")` gives it without aggregation.

use crate::batches::{Example, IGNORED};
use crate::failure::Result;
use crate::inference::Predictor;
use crate::labels::Labels;
use crate::memory;
use crate::scores::{self, Scores};
use crate::tokens::{Row, Tokenizer};
use serde_json::{Value, json};
use tch::{Device, Kind};

/// Names of the scores that [`scores()`] and the evaluation give.
pub const SCORES: &[&str] = &["accuracy", "f1", "loss", "precision", "recall"];

/// The tag of a word that belongs to no entity.
const OUTSIDE: &str = "O";

/// Sentences with their tags, tokenized. The first token of a word carries its label, the others do not count.
///
/// # Errors
///
/// A user's failure where a tag is not among `labels`.
pub fn examples(
    tokenizer: &Tokenizer,
    sentences: &[Vec<String>],
    gold: &[Vec<String>],
    labels: &Labels,
) -> Result<Vec<Example>> {
    let rows = tokenizer.sentences(sentences)?;
    let example = |(row, tags): (Row, &Vec<String>)| {
        let mut targets = vec![IGNORED; row.ids.len()];
        for (position, word) in first_tokens(&row) {
            targets[position] = labels.id(&tags[word])?;
        }
        Ok(Example { row, targets })
    };
    rows.into_iter().zip(gold).map(example).collect()
}

/// Position of the first token of each word that has tokens in `row`, and the word.
fn first_tokens(row: &Row) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut last = None;
    row.words.iter().enumerate().filter_map(move |(position, word)| {
        let word = (*word)?;
        (last.replace(word) != Some(word)).then_some((position, word as usize))
    })
}

/// Strict precision, recall and F1 over whole entities. A word that was cut off, or that the tokenizer drops, counts
/// as predicted to be outside: the scores cover every gold entity.
#[must_use]
pub fn scores(names: &[String], gold: &[Vec<String>], examples: &[Example], predicted: &[Vec<i64>]) -> Scores {
    let tags = |((gold, example), predicted): ((&Vec<String>, &Example), &Vec<i64>)| {
        let mut tags = vec![OUTSIDE.to_owned(); gold.len()];
        for (position, word) in first_tokens(&example.row) {
            tags[word].clone_from(&names[predicted[position] as usize]);
        }
        tags
    };
    let predicted: Vec<Vec<String>> = gold.iter().zip(examples).zip(predicted).map(tags).collect();
    scores::entities(gold, &predicted)
}

/// For each document the tokens that are not outside: a list of `{entity, score, index, word, start, end}`.
///
/// # Errors
///
/// Where a document cannot be tokenized.
pub fn predictions(predictor: &Predictor<'_>, documents: &[String]) -> Result<Value> {
    let names = predictor.names;
    let (rows, pieces): (Vec<_>, Vec<_>) = predictor.tokenizer.pieces(documents)?.into_iter().unzip();
    let all = predictor.of_each(rows, |row, logits| {
        let scores = logits.softmax(-1, Kind::Float).to_device(Device::Cpu).contiguous();
        let scores = memory::floats(&scores).chunks(names.len());
        let mut entities = Vec::new();
        // Behind the last piece there is padding.
        for (index, (piece, scores)) in pieces[row].iter().zip(scores).enumerate() {
            let best = (1..scores.len()).fold(0, |best, id| if scores[id] > scores[best] { id } else { best });
            if !piece.special && names[best] != OUTSIDE {
                entities.push(json!({
                    "entity": names[best], "score": f64::from(scores[best]), "index": index,
                    "word": piece.word, "start": piece.start, "end": piece.end,
                }));
            }
        }
        Value::Array(entities)
    })?;
    Ok(Value::Array(all))
}
