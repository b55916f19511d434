//! scikit-learn finds the same candidates, and KeyBERT the same keywords in the same order with the same scores.

mod python;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use trainer::task::keywords::{Candidates, Keyword, extract};
use trainer_protocol::KeywordOptions;

/// A file of the crate's `tests/data`.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Texts that tokenizers tend to disagree on.
fn nasty_texts() -> Vec<String> {
    let file = std::fs::read(data("nasty_texts.json")).expect("the texts can be read");
    serde_json::from_slice(&file).expect("the texts are a JSON list")
}

/// 50 ordinary documents.
fn documents() -> Vec<String> {
    #[derive(Deserialize)]
    struct Line {
        text: String,
    }
    let file = std::fs::read_to_string(data("documents.jsonl")).expect("the documents can be read");
    let parse = |line| {
        serde_json::from_str::<Line>(line)
            .expect("a line is an object with a text")
            .text
    };
    let documents: Vec<String> = file.lines().map(parse).collect();
    assert_eq!(documents.len(), 50);
    documents
}

/// Asks `keywords.py` about `documents`.
fn judge<T: serde::de::DeserializeOwned>(question: &str, documents: &[String]) -> T {
    let folder = tempfile::tempdir().expect("a folder for the documents");
    let file = folder.path().join("documents.json");
    let json = serde_json::to_vec(documents).expect("strings are JSON");
    std::fs::write(&file, json).expect("the documents can be written");
    python::judge("keywords.py", &[question, &file.to_string_lossy()])
}

#[derive(Deserialize)]
struct Case {
    ngram_range: (u32, u32),
    stop_words: Option<String>,
    names: Vec<String>,
    of_documents: Vec<Vec<usize>>,
}

#[test]
fn candidates_equal_those_of_count_vectorizer() {
    let mut texts = nasty_texts();
    texts.extend(documents());
    let cases: Vec<Case> = judge("candidates", &texts);
    assert_eq!(cases.len(), 10);
    for case in cases {
        let options = KeywordOptions {
            keyphrase_ngram_range: case.ngram_range,
            stop_words: case.stop_words,
            ..KeywordOptions::default()
        };
        let ours = Candidates::find(&texts, &options).expect("the options are in range");
        assert_eq!(ours.names(), case.names, "{options:?}");
        assert_eq!(ours.of_documents(), case.of_documents, "{options:?}");
    }
}

#[derive(Deserialize)]
struct Characters {
    /// First, last, whether they are part of words.
    runs: Vec<(u32, u32, bool)>,
    lower: Vec<(String, String)>,
}

#[test]
fn every_character_is_read_as_python_reads_it() {
    let characters: Characters = judge("characters", &[]);
    let options = KeywordOptions {
        stop_words: None,
        ..KeywordOptions::default()
    };
    for (first, last, inside) in characters.runs {
        // One document for each character: `x` alone is no word, with a letter it is one.
        let texts: Vec<String> = (first..=last)
            .filter_map(char::from_u32)
            .map(|letter| format!("x{letter}"))
            .collect();
        let found = Candidates::find(&texts, &options).expect("the options are in range");
        for (text, own) in texts.iter().zip(found.of_documents()) {
            // Lower case of a few letters is a letter and a mark, which changes nothing about the first two.
            assert_eq!(!own.is_empty(), inside, "{}", text.escape_unicode());
        }
    }
    for (character, lower) in characters.lower {
        assert_eq!(character.to_lowercase(), lower, "{}", character.escape_unicode());
    }
}

/// What `Digests` of keywords.py computes.
fn digests(texts: &[String]) -> anyhow::Result<Vec<Vec<f32>>> {
    let vector = |text: &String| {
        Sha256::digest(text)
            .iter()
            .map(|&byte| f32::from(byte) - 100.0)
            .collect()
    };
    Ok(texts.iter().map(vector).collect())
}

#[derive(Deserialize)]
struct Extracted {
    options: KeywordOptions,
    keywords: Vec<Vec<Keyword>>,
}

#[test]
fn keywords_equal_those_of_keybert() {
    let mut texts = documents();
    texts.extend(nasty_texts());
    let cases: Vec<Extracted> = judge("keywords", &texts);
    assert_eq!(cases.len(), 16);
    for Extracted { options, keywords } in cases {
        let ours = extract(&texts, &options, &mut |texts| digests(texts)).expect("keywords are found");
        assert_eq!(ours.len(), keywords.len());
        for (index, (ours, theirs)) in ours.iter().zip(&keywords).enumerate() {
            let what = format!("document {index} with {options:?}: {ours:?} here, {theirs:?} there");
            assert_eq!(ours.len(), theirs.len(), "{what}");
            for ((name, score), (their_name, their_score)) in ours.iter().zip(theirs) {
                assert_eq!(name, their_name, "{what}");
                assert!((score - their_score).abs() < 1.01e-4, "{what}");
            }
        }
    }
}

#[test]
fn each_distinct_text_is_embedded_once() {
    let texts = ["red tram", "blue tram", "the of"].map(String::from);
    let mut calls = Vec::new();
    let found = extract(&texts, &KeywordOptions::default(), &mut |texts| {
        calls.push(texts.to_vec());
        digests(texts)
    });
    let counts: Vec<usize> = found.expect("keywords are found").iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 2, 0]);
    assert_eq!(
        calls,
        [texts.to_vec(), ["blue", "red", "tram"].map(String::from).to_vec()]
    );
}

#[test]
fn documents_without_any_candidate_need_no_embedding() {
    let texts = ["the of".to_owned(), String::new()];
    let found = extract(&texts, &KeywordOptions::default(), &mut |_| {
        anyhow::bail!("not to be called")
    });
    assert_eq!(found.expect("no keywords are found"), [vec![], vec![]]);
}

#[test]
fn embeddings_that_do_not_fit_are_refused() {
    let texts = ["red tram".to_owned()];
    for bad in [vec![], vec![vec![1.0], vec![f32::NAN]]] {
        let found = extract(&texts, &KeywordOptions::default(), &mut |_| Ok(bad.clone()));
        assert!(
            found
                .expect_err("such embeddings have no similarity")
                .to_string()
                .contains("embedding")
        );
    }
}
