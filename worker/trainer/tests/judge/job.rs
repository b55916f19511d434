//! A small job, and ways to run it.

use super::{copy, models};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use trainer::arguments::Arguments;
use trainer::events::Events;
use trainer::failure::Failure;
use trainer::interruption::Interruption;
use trainer::run::run;

/// A job in a folder of its own: `inputs` with model and data, and places for the rest.
pub(crate) struct Job {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) description: Value,
}

const TEXTS: [(&str, &str); 6] = [
    ("good dog", "positive"),
    ("bad fox", "negative"),
    ("the city", "neutral"),
    ("fine good fox", "positive"),
    ("bad bad dog again", "negative"),
    ("over the lazy city", "neutral"),
];

impl Job {
    /// Of `task` with a copy of the tiny model `model`, four times the rows of [`TEXTS`] or four tagged sentences.
    pub(crate) fn new(model: &str, task: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inputs = folder.path().join("inputs");
        copy(model, &inputs.join("model"));
        let row = |(text, label): &(&str, &str)| json!({"text": text, "label": label}).to_string() + "\n";
        std::fs::write(
            inputs.join("texts.jsonl"),
            TEXTS.iter().map(row).collect::<String>().repeat(4),
        )
        .unwrap();
        let sentence =
            "Anna\tB-PER\nlazy\tO\nBonn\tB-LOC\ncity\tI-LOC\n\nthe\tO\nfox\tO\n\nof\tO\nAnna\tB-PER\ndog\tI-PER\n\n";
        std::fs::write(inputs.join("sentences.conll"), sentence.repeat(6)).unwrap();
        let data = match task {
            "token-classification" => json!({"path": "sentences.conll", "format": "conll", "name": "sentences"}),
            _ => json!({"path": "texts.jsonl", "format": "jsonl", "name": "texts.jsonl"}),
        };
        let description = json!({
            "schema": 1, "pipeline": "main", "task": task, "model": "model", "seed": 42, "precision": "fp32",
            "max_rows": null, "validation_data": null, "max_length": 32, "eval_batch_size": 4,
            "columns": {"text": "text", "label": "label", "tokens": "tokens", "tags": "tags", "keyphrases": "keyphrases"},
            "keywords": {"keyphrase_ngram_range": [1, 1], "stop_words": "english", "top_n": 3, "use_mmr": false,
                         "diversity": 0.5},
            "sample_documents": ["Anna of Bonn", "the good fox jumps over a Zürich dog 東京", "bad!"],
            "training": {
                "data": data, "epochs": 2, "train_batch_size": 4, "gradient_accumulation_steps": 1,
                "learning_rate": 0.002, "warmup_steps": 1, "weight_decay": 0.01, "max_grad_norm": 1.0,
                "test_size": 0.34, "evaluation_strategy": "epoch", "save_strategy": "steps", "save_steps": 2,
                "save_total_limit": 2, "load_best_model_at_end": true, "metric_for_best_model": "loss",
                "early_stopping_patience": 2
            },
        });
        Self { folder, description }
    }

    /// A job that finds keywords.
    pub(crate) fn of_keywords() -> Self {
        let mut job = Self::new("bert-max", "feature-extraction");
        let pooling = job.folder.path().join("inputs/model/1_Pooling");
        std::fs::create_dir_all(&pooling).unwrap();
        let theirs = models().join("bert-max/1_Pooling/config.json");
        std::fs::copy(theirs, pooling.join("config.json")).unwrap();
        job.description["training"] = Value::Null;
        job
    }

    fn arguments(&self, name: &str) -> Arguments {
        let at = |part: &str| self.folder.path().join(part);
        std::fs::write(at("job.json"), self.description.to_string()).unwrap();
        Arguments {
            job: at("job.json"),
            inputs: at("inputs"),
            outputs: at(&format!("outputs-{name}")),
            checkpoints: at(&format!("checkpoints-{name}")),
            profile: None,
        }
    }

    /// Runs it in this process, with outputs and checkpoints called `name`; its events.
    pub(crate) fn run(
        &self,
        name: &str,
        interruption: &Interruption,
        stop_after: Option<u64>,
    ) -> (Result<(), Failure>, PathBuf) {
        let arguments = self.arguments(name);
        let watcher = Watcher {
            interruption: interruption.clone(),
            step: stop_after,
        };
        let result = run(&arguments, &mut Events::new(Box::new(watcher)), interruption);
        (result, arguments.outputs)
    }

    pub(crate) fn done(&self, name: &str) -> PathBuf {
        let (result, outputs) = self.run(name, &Interruption::default(), None);
        result.unwrap();
        outputs
    }

    pub(crate) fn refused(&self) -> String {
        match self.run("refused", &Interruption::default(), None).0 {
            Err(Failure::User(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        let arguments = self.arguments(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.arg(arguments.job).arg("--inputs").arg(arguments.inputs);
        command
            .arg("--outputs")
            .arg(arguments.outputs)
            .arg("--checkpoints")
            .arg(arguments.checkpoints);
        command
    }
}

/// Tells the trainer to stop once it said that the checkpoint of a step is there.
struct Watcher {
    interruption: Interruption,
    step: Option<u64>,
}

impl Write for Watcher {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let event: Value = serde_json::from_slice(line)?;
        if event["event"] == "checkpoint" && event["step"].as_u64() == self.step {
            self.interruption.set();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
