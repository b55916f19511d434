//! Tokenizers that Python trained, from every form of files, against transformers and SentencePiece.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::tokenizers::{bytes_below, written};
use judge::{json, python};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use trainer::encoder::{Classifier, Config, HeadKind};
use trainer::export;
use trainer::inference::Predictor;
use trainer::interruption::Interruption;
use trainer::model::Repository;
use trainer::task::token_classification;
use trainer::tokens::Tokenizer;

fn open(folder: &Path, name: &str) -> (Config, Tokenizer) {
    let config = Config::open(folder, name).unwrap();
    let tokenizer = Tokenizer::open(folder, name, &config).unwrap_or_else(|e| panic!("{name}: {e}"));
    (config, tokenizer)
}

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

/// What our tokenizer says about the texts and words, in the form of `judged` in the script.
fn judged(tokenizer: &Tokenizer, documents: &[String], words: &[Vec<String>]) -> BTreeMap<&'static str, Vec<Value>> {
    let pieces = tokenizer.pieces(documents).unwrap();
    assert_eq!(
        tokenizer.texts(documents).unwrap(),
        pieces.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>()
    );
    let sentences = tokenizer.sentences(words).unwrap();
    let each = |name: &dyn Fn(&trainer::tokens::Piece) -> Value| {
        let values = pieces
            .iter()
            .map(|(_, pieces)| pieces.iter().map(name).collect::<Value>());
        values.collect::<Vec<Value>>()
    };
    BTreeMap::from([
        ("ids", pieces.iter().map(|(row, _)| json!(row.ids)).collect()),
        ("text_words", pieces.iter().map(|(row, _)| json!(row.words)).collect()),
        ("offsets", each(&|piece| json!([piece.start, piece.end]))),
        ("special", each(&|piece| json!(u8::from(piece.special)))),
        ("pieces", each(&|piece| json!(piece.word))),
        ("words", sentences.iter().map(|row| json!(row.ids)).collect()),
        ("word_ids", sentences.iter().map(|row| json!(row.words)).collect()),
    ])
}

/// Every difference between ours and theirs, with the text that it is about.
fn differences(name: &str, ours: &BTreeMap<&str, Vec<Value>>, theirs: &Value, expected: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |key: &str, place: usize, ours: &Value, theirs: &Value| {
        if ours != theirs {
            let about = if key.starts_with("word") {
                &expected["words"][place]
            } else {
                &expected["texts"][place]
            };
            let cut = |value: &Value| value.to_string().chars().take(160).collect::<String>();
            found.push(format!(
                "{name} {key} of {}:\n  {}\n  {}",
                cut(about),
                cut(ours),
                cut(theirs)
            ));
        }
    };
    for (key, ours) in ours.iter().filter(|(key, _)| **key != "pieces") {
        assert_eq!(ours.len(), theirs[*key].as_array().unwrap().len());
        for (place, ours) in ours.iter().enumerate() {
            compare(key, place, ours, &theirs[*key][place]);
        }
    }
    // As the token-classification pipeline names tokens: what stands in the text for unknown ones.
    for (place, ours) in ours["pieces"].iter().enumerate() {
        let text: Vec<char> = expected["texts"][place].as_str().unwrap().chars().collect();
        for (token, ours) in ours.as_array().unwrap().iter().enumerate() {
            let offset = |end: usize| theirs["offsets"][place][token][end].as_u64().unwrap() as usize;
            let word = if theirs["ids"][place][token] == theirs["unknown"] {
                json!(text[offset(0)..offset(1)].iter().collect::<String>())
            } else {
                theirs["tokens"][place][token].clone()
            };
            compare("token", place, ours, &word);
        }
    }
    found
}

#[test]
fn tokens_equal_those_of_transformers() {
    let expected = json(&written().join("expected.json"));
    let documents = texts(&expected["texts"]);
    let words: Vec<Vec<String>> = expected["words"].as_array().unwrap().iter().map(texts).collect();
    let mut found = Vec::new();
    for (name, theirs) in expected["tokenizers"].as_object().unwrap() {
        let (_, tokenizer) = open(&written().join(name), name);
        found.extend(differences(
            name,
            &judged(&tokenizer, &documents, &words),
            theirs,
            &expected,
        ));
    }
    assert!(found.is_empty(), "{} differences\n{}", found.len(), found.join("\n"));
}

#[test]
fn ids_equal_those_of_sentence_piece() {
    let expected = json(&written().join("expected.json"));
    let mut found = Vec::new();
    for (name, theirs) in expected["tokenizers"].as_object().unwrap() {
        let Some(original) = theirs["original"].as_object() else {
            continue;
        };
        let (_, tokenizer) = open(&written().join(name), name);
        // fairseq's ids are one higher but for the unknown piece's; its model begins with `<unk> <s> </s>`.
        let fairseq = name.starts_with("xlm");
        let id = |id: &Value| match id.as_u64().unwrap() {
            0 if fairseq => 3,
            id => id + u64::from(fairseq),
        };
        assert!(original.len() > 10);
        for (place, pieces) in original {
            let text = texts(&expected["texts"])[place.parse::<usize>().unwrap()].clone();
            let ids = &tokenizer.texts(std::slice::from_ref(&text)).unwrap()[0].ids;
            let mut middle: Vec<u64> = ids[1..ids.len() - 1].iter().map(|id| u64::from(*id)).collect();
            let mut theirs: Vec<u64> = pieces.as_array().unwrap().iter().map(id).collect();
            theirs.truncate(tokenizer.limit() - 2);
            // Two orders of the same pieces have the same score, and either may be taken.
            middle.sort_unstable();
            theirs.sort_unstable();
            if middle != theirs {
                found.push(format!("{name} {text:.60}: {middle:?} {theirs:?}"));
            }
        }
    }
    assert!(found.is_empty(), "{} differences\n{}", found.len(), found.join("\n"));
}

#[test]
fn consumers_without_sentence_piece_get_the_ids_that_were_trained_with() {
    let expected = json(&written().join("expected.json"));
    let documents = texts(&expected["texts"]);
    let words: Vec<Vec<String>> = expected["words"].as_array().unwrap().iter().map(texts).collect();
    let folder = tempfile::tempdir().unwrap();
    let (exported, given) = (folder.path().join("exported"), folder.path().join("given.json"));
    let mut ours = BTreeMap::new();
    for name in expected["tokenizers"].as_object().unwrap().keys() {
        let (from, to) = (written().join(name), exported.join(name));
        let (config, mut tokenizer) = open(&from, name);
        // As for a trained token classifier, so that words and texts are read by one tokenizer.
        tokenizer.space_first_words();
        let again = folder.path().join("again").join(name);
        for folder in [&to, &again] {
            std::fs::create_dir_all(folder).unwrap();
            tokenizer.export(&config, &from, folder).unwrap();
        }
        assert_eq!(bytes_below(&to), bytes_below(&again), "{name}");
        std::fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
        let (_, opened) = open(&to, name);
        let said = judged(&tokenizer, &documents, &words);
        assert_eq!(said, judged(&opened, &documents, &words), "{name} opens as what it was");
        ours.insert(name, (said, tokenizer.limit()));
    }
    std::fs::write(&given, json!({"texts": documents, "words": words}).to_string()).unwrap();
    let out = folder.path().join("out.json");
    python("tokenize_texts.py", &[Path::new("read"), &exported, &given, &out]);
    let theirs = json(&out);
    let mut found = Vec::new();
    for (name, (ours, limit)) in &ours {
        let theirs = &theirs[name.as_str()];
        assert_eq!(theirs["limit"], json!(limit), "{name}");
        assert!(theirs["pad"].is_u64(), "{name} can be padded");
        let types = ["bert", "electra", "albert", "deberta"]
            .iter()
            .any(|family| name.starts_with(family));
        assert_eq!(
            texts(&theirs["inputs"]).contains(&"token_type_ids".to_owned()),
            types,
            "{name}"
        );
        found.extend(differences(name, ours, theirs, &expected));
    }
    assert!(found.is_empty(), "{} differences\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_token_classification_pipeline_says_the_same_of_every_kind_of_tokenizer() {
    let expected = json(&written().join("expected.json"));
    let documents = texts(&expected["texts"]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let names = expected["tokenizers"].as_object().unwrap().keys();
    let mut said = BTreeMap::new();
    for name in names.filter(|name| written().join(name).join("model.safetensors").exists()) {
        let mut repository = Repository::open(written().join(name), name).unwrap();
        let labels = repository.config.labels().unwrap().unwrap();
        let count = labels.len() as i64;
        let head = HeadKind::Token { labels: count };
        let model = repository.build(head, Classifier::FromCheckpoint, None).unwrap();
        let predictor = Predictor {
            model: &model,
            tokenizer: &repository.tokenizer,
            names: &labels,
            batch_size: 3,
            interruption: &Interruption::default(),
        };
        let ours = token_classification::predictions(&predictor, &documents).unwrap();
        export::model(&repository, &model, &labels, false, &at("exported").join(name)).unwrap();
        said.insert(name, ours);
    }
    std::fs::write(at("given.json"), json!({"texts": documents}).to_string()).unwrap();
    let command = Path::new("classify");
    python(
        "tokenize_texts.py",
        &[command, &at("exported"), &at("given.json"), &at("out.json")],
    );
    let theirs = json(&at("out.json"));
    let mut judged = 0;
    for (name, ours) in said {
        for (place, ours) in ours.as_array().unwrap().iter().enumerate() {
            let document: String = documents[place].chars().take(60).collect();
            let (ours, theirs) = (ours.as_array().unwrap(), theirs[name][place].as_array().unwrap());
            assert_eq!(ours.len(), theirs.len(), "{name}: {document}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                for key in ["entity", "index", "word", "start", "end"] {
                    assert_eq!(ours[key], theirs[key], "{name}: {document}: {ours} {theirs}");
                }
                let distance = ours["score"].as_f64().unwrap() - theirs["score"].as_f64().unwrap();
                assert!(distance.abs() < 1e-4, "{name}: {document}: {ours} {theirs}");
                judged += 1;
            }
        }
    }
    assert!(judged > 1000, "{judged} tokens were judged");
}
