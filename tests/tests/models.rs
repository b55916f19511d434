//! Every model that the train component names, through the real settings: `dispatcher publish` with the repository's own
//! `config/<project>/prod.env`, from a repository of the real one's file list, config and size with random weights, to a
//! registered version whose predictions Python repeats. One model at a time: each takes gigabytes of disk and memory.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tests::hub_server::Seen;
use tests::registry;
use tests::sandbox::{Finished, Sandbox, finish_within};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Longer than the largest of them takes on a busy machine of two processors.
const DEADLINE: Duration = Duration::from_secs(900);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A model as a project names it, and exactly what may be fetched of it.
struct Model {
    name: &'static str,
    files: &'static [&'static str],
}

const MINILM: Model = Model {
    name: "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    files: &[
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
};
const BERT_NER: Model = Model {
    name: "dslim/bert-base-NER",
    files: &[
        "added_tokens.json",
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.txt",
    ],
};
const DISTILBERT_NER: Model = Model {
    name: "Davlan/distilbert-base-multilingual-cased-ner-hrl",
    files: &[
        "config.json",
        "pytorch_model.bin",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.txt",
    ],
};

const XLM_ROBERTA_NER: Model = Model {
    name: "Davlan/xlm-roberta-base-ner-hrl",
    files: &[
        "config.json",
        "model.safetensors",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "tokenizer_config.json",
    ],
};
const TWITTER: Model = Model {
    name: "cardiffnlp/twitter-xlm-roberta-base-sentiment",
    files: &[
        "config.json",
        "pytorch_model.bin",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
    ],
};
const DEBERTA: Model = Model {
    name: "yangheng/deberta-v3-base-absa-v1.1",
    files: &[
        "added_tokens.json",
        "config.json",
        "pytorch_model.bin",
        "special_tokens_map.json",
        "spm.model",
        "tokenizer_config.json",
    ],
};
/// Today it is FacebookAI/xlm-roberta-base.
const XLM_ROBERTA: Model = Model {
    name: "xlm-roberta-base",
    files: &[
        "config.json",
        "model.safetensors",
        "sentencepiece.bpe.model",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
};

fn python(script: &str, arguments: &[&Path]) -> Result<Finished> {
    let mut command = Command::new(Path::new(ROOT).join(".tools/python/bin/python"));
    command
        .arg(Path::new(ROOT).join("tests/python").join(script))
        .args(arguments)
        .env("OMP_NUM_THREADS", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let done = finish_within(command, DEADLINE);
    ensure!(done.code() == 0, "{script} failed:\n{}", done.output());
    Ok(done)
}

/// Publishes `project` with its prod.env and `set` (`NAME=VALUE`), with only `models` on the hub, and looks at everything
/// that came of it.
fn goes_through(project: &str, models: &[Model], set: &[&str]) -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = Sandbox::new();
    // Two processors that compute are slow to answer.
    machine.variables.push(("TRAINYARD_LEASE".into(), "60s".into()));
    let hub = machine.path().join("repositories");
    for model in models {
        python("random_repository.py", &[&hub, Path::new(model.name)])?;
    }
    let config = format!("{ROOT}/config");
    let settings = format!("{config}/{project}/prod.env");
    let mut arguments = vec![
        "--config",
        &config,
        "publish",
        "--project",
        project,
        "--env-file",
        &settings,
    ];
    arguments.extend(["--tag", "t1", "--wait"]);
    arguments.extend(set.iter().flat_map(|setting| ["--set", *setting]));
    let done = finish_within(machine.command("dispatcher", &arguments), DEADLINE);
    ensure!(done.code() == 0, "{}", done.output());
    for model in models {
        let told = format!("{} at ", model.name);
        ensure!(done.stderr.contains(&told), "{told:?} is missing in {}", done.stderr);
    }
    only_needed_files_came(&requests(&machine)?, models)?;
    let versions = registry::visible_versions(&machine.store());
    ensure!(versions.len() == 1, "{versions:?}");
    registry::assert_whole(&versions[0]);
    let judged = python("consumer.py", &[&machine.store()])?;
    ensure!(judged.stdout.contains(": ok ("), "{}", judged.output());
    Ok(())
}

fn requests(machine: &Sandbox) -> Result<Vec<Seen>> {
    let address = format!("{}/-/requests", machine.hub_url());
    let runtime = tokio::runtime::Runtime::new()?;
    let text = runtime.block_on(async { reqwest::get(address).await?.text().await })?;
    Ok(serde_json::from_str(&text)?)
}

/// Of every model each of its files was asked for, and nothing else.
fn only_needed_files_came(seen: &[Seen], models: &[Model]) -> Result<()> {
    for model in models {
        let prefix = format!("GET /{}/resolve/", model.name);
        let paths = seen
            .iter()
            .filter_map(|seen| seen.line.strip_prefix(&prefix)?.split_once('/'));
        let asked: BTreeSet<&str> = paths.map(|(_commit, path)| path).collect();
        assert_eq!(asked, model.files.iter().copied().collect(), "of {}", model.name);
    }
    let prefixes: Vec<String> = models.iter().map(|model| format!("/{}/", model.name)).collect();
    let of_others = seen
        .iter()
        .find(|seen| seen.line.contains("/resolve/") && !prefixes.iter().any(|prefix| seen.line.contains(prefix)));
    ensure!(of_others.is_none(), "{of_others:?}");
    let weights = seen.iter().map(|seen| seen.sent).max().context("requests")?;
    ensure!(
        weights > 100_000_000,
        "the weights are of the real size, not {weights} bytes"
    );
    Ok(())
}

#[test]
fn keywords() -> Result<()> {
    goes_through("keywords", &[MINILM], &[])
}

#[test]
fn ner_with_both_of_its_models() -> Result<()> {
    goes_through("ner", &[BERT_NER, DISTILBERT_NER], &[])
}

#[test]
fn sentiment() -> Result<()> {
    goes_through("sentiment", &[TWITTER], &[])
}

#[test]
fn the_later_ner() -> Result<()> {
    let model = format!("HUGGINGFACE_MODEL_REFERENCE={}", XLM_ROBERTA_NER.name);
    goes_through("ner", &[XLM_ROBERTA_NER, DISTILBERT_NER], &[&model])
}

#[test]
fn the_later_sentiment() -> Result<()> {
    let model = format!("HUGGINGFACE_MODEL_REFERENCE={}", DEBERTA.name);
    goes_through("sentiment", &[DEBERTA], &[&model])
}

/// Without its checkpoints, of 3.3 GB each: with them the job takes 24 GB of disk.
#[test]
fn iptc_which_trains() -> Result<()> {
    let fewer = ["SAVE_STRATEGY=no", "LOAD_BEST_MODEL_AT_END=false", "EPOCHS=1"];
    goes_through("iptc", &[XLM_ROBERTA], &fewer)
}

#[test]
#[ignore = "six minutes and 30 GB of disk: the whole of iptc's prod.env, with its checkpoints"]
fn iptc_with_every_checkpoint() -> Result<()> {
    goes_through("iptc", &[XLM_ROBERTA], &[])
}
