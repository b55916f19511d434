//! Tokenizer files that are broken, missing or say something else than what is wanted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod judge;

use judge::tokenizers::copied;
use serde_json::{Value, json};
use std::path::Path;
use trainer::encoder::Config;
use trainer::failure::Failure;
use trainer::model::Repository;
use trainer::random::Random;
use trainer::sentence_config;
use trainer::tokens::Tokenizer;

/// The message of the user's failure with which a folder is refused; `None` where it opens and reads texts.
fn refusal(folder: &Path, documents: &[String]) -> Option<String> {
    let config = match Config::open(folder, "model") {
        Ok(config) => config,
        Err(Failure::User(message)) => return Some(message),
        Err(other) => panic!("{other:?}"),
    };
    let read = Tokenizer::open(folder, "model", &config).and_then(|tokenizer| tokenizer.pieces(documents));
    match read {
        Ok(_) => None,
        Err(Failure::User(message)) => Some(message),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn broken_files_are_refused_or_read_and_nothing_else() {
    let documents = ["", "The fox, ﬁne\u{301} Ａ", "東京 \0 19, <mask> [MASK]"].map(str::to_owned);
    let mut refused = 0;
    for (number, (name, file)) in [
        ("bert-new", "vocab.txt"),
        ("bert-new", "tokenizer_config.json"),
        ("bert-added", "added_tokens.json"),
        ("bert-cased-old", "special_tokens_map.json"),
        ("bert-json", "tokenizer.json"),
        ("roberta-json", "tokenizer.json"),
        ("roberta-bare", "vocab.json"),
        ("roberta-bare", "merges.txt"),
        ("xlm-nmt_nfkc", "sentencepiece.bpe.model"),
        ("albert-nmt_nfkc_cf", "spiece.model"),
        ("deberta-identity", "spm.model"),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = copied(name);
        assert_eq!(refusal(folder.path(), &documents), None, "{name}");
        let whole = std::fs::read(folder.path().join(file)).unwrap();
        let mut random = Random::at(77, &[number as u64]);
        for round in 0..120 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                let place = random.below(bytes.len());
                bytes[place] = random.below(256) as u8;
            }
            if round % 5 == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            std::fs::write(folder.path().join(file), bytes).unwrap();
            if let Some(message) = refusal(folder.path(), &documents) {
                assert!(message.starts_with("model"), "{message}");
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "{refused}");
}

#[test]
fn what_is_missing_is_named_with_what_would_do() {
    let documents = ["text".to_owned()];
    let refused = |name: &str, change: &dyn Fn(&Path)| {
        let folder = copied(name);
        change(folder.path());
        refusal(folder.path(), &documents).unwrap_or_else(|| panic!("{name} was not refused"))
    };
    let small = |at: &Path| {
        let config = json!({"model_type": "bert", "max_position_embeddings": 64, "vocab_size": 20});
        std::fs::write(at.join("config.json"), config.to_string()).unwrap();
    };
    let settings =
        |value: Value| move |at: &Path| std::fs::write(at.join("tokenizer_config.json"), value.to_string()).unwrap();
    let message = refused("xlm-nmt_nfkc", &settings(json!({"tokenizer_class": "BertTokenizer"})));
    assert!(
        message.contains(
            "neither tokenizer.json nor vocab.txt, which BertTokenizer reads; it has sentencepiece.bpe.model"
        ),
        "{message}"
    );
    let message = refused(
        "bert-only-vocabulary",
        &settings(json!({"tokenizer_class": "BertJapaneseTokenizer"})),
    );
    assert!(
        message.contains("`BertJapaneseTokenizer` cannot be built from its files (vocab.txt): add tokenizer.json"),
        "{message}"
    );
    let message = refused("roberta-bare", &|at| {
        std::fs::remove_file(at.join("merges.txt")).unwrap()
    });
    assert!(message.contains("nor vocab.json and merges.txt"), "{message}");
    let message = refused("bert-only-vocabulary", &|at| {
        std::fs::remove_file(at.join("vocab.txt")).unwrap()
    });
    assert!(message.contains("it has no other file of a tokenizer"), "{message}");
    let message = refused("bert-only-vocabulary", &|at| {
        small(at);
        settings(json!({"cls_token": "<cls>"}))(at);
    });
    assert_eq!(message, "model/vocab.txt: cls_token `<cls>` is not in it");
    let message = refused("bert-only-vocabulary", &settings(json!({"mask_token": 7})));
    assert_eq!(
        message,
        "model: mask_token of the tokenizer must be a text or an object with content, found 7"
    );
    let message = refused("bert-added", &|at| {
        std::fs::write(at.join("added_tokens.json"), r#"{"<ent>": 9999}"#).unwrap()
    });
    assert!(
        message.contains("added token `<ent>` should have the id 9999, but gets"),
        "{message}"
    );
    let message = refused("deberta-nmt_nfkc", &|at| {
        std::fs::write(at.join("spm.model"), "<html>").unwrap()
    });
    assert!(message.starts_with("model/spm.model: "), "{message}");
    let message = refused("bert-cased-old", &small);
    assert!(message.contains("vocab_size in config.json is 20"), "{message}");
}

#[test]
fn the_exported_sentence_settings_say_where_texts_were_cut() {
    let folder = copied("minilm");
    let file = "sentence_bert_config.json";
    let given = "{\"max_seq_length\":  16, \"do_lower_case\": true}";
    std::fs::write(folder.path().join(file), given).unwrap();
    let long = ["again ".repeat(100)];
    for (max_length, limit) in [(None, 16), (Some(32), 16), (Some(8), 8)] {
        let mut repository = Repository::open(folder.path().to_owned(), "model").unwrap();
        sentence_config::apply(&mut repository, max_length).unwrap();
        assert_eq!(repository.tokenizer.texts(&long).unwrap()[0].ids.len(), limit);
        assert_eq!(
            repository.tokenizer.texts(&["ZÜRICH".to_owned()]).unwrap(),
            repository.tokenizer.texts(&["zürich".to_owned()]).unwrap()
        );
        let out = tempfile::tempdir().unwrap();
        sentence_config::export(&repository, out.path()).unwrap();
        let written = std::fs::read_to_string(out.path().join(file)).unwrap();
        let settings: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(settings, json!({"max_seq_length": limit, "do_lower_case": true}));
        assert_eq!(written == given, limit == 16, "as it came where it says the same");
    }
}
