//! The models of a project: one, or with `…_KJ` variables two.

use super::variables::TASKS;
use super::{DataFile, ModelReference, PipelineSettings, training};
use crate::job::{limits, names};
use crate::settings::{SettingsError, Variables};
use std::collections::BTreeMap;
use std::path::Path;
use trainer_protocol::{DataColumns, KeywordOptions, PhraseRule, Precision, Task};

/// Name of the one pipeline of a project.
const MAIN: &str = "main";
/// Names, and folders, of the two pipelines of a project with a model for Korean and Japanese.
const BASE: &str = "base_ner";
const KJ: &str = "korean_japanese_ner";

/// Reads all pipelines. Training and scoring concern the first; the one for Korean and Japanese is taken as it comes.
pub(super) fn read(
    variables: &Variables,
    (task_name, task): (&str, Task),
    folder: &Path,
) -> Result<BTreeMap<String, PipelineSettings>, SettingsError> {
    let second = model(
        variables,
        &["HUGGINGFACE_MODEL_REFERENCE_KJ"],
        "HUGGINGFACE_MODEL_REVISION_KJ",
    )?;
    let mut documents = documents(variables, 1 + usize::from(second.is_some()))?.into_iter();
    let names = ["HUGGINGFACE_MODEL_REFERENCE", "MODEL_NAME"];
    let first = model(variables, &names, "HUGGINGFACE_MODEL_REVISION")?.ok_or_else(|| SettingsError::Missing {
        variable: names[0].to_owned(),
        reason: "it is neither set nor in the project's dotenv file; expected a repository of the Hugging Face hub (owner/name)".to_owned(),
    })?;
    let training = training::read(variables, task, folder)?;
    let base = PipelineSettings {
        task,
        task_name: task_name.to_owned(),
        model: first,
        artifact_folder: String::new(),
        max_length: variables
            .number("MAX_LENGTH", &limits::MAX_LENGTH)?
            .or(training.as_ref().map(|_| 128)),
        training,
        validation_data: DataFile::read(variables, "VALIDATION_DATA", folder)?,
        columns: columns(variables)?,
        eval_batch_size: variables.number("EVAL_BATCH_SIZE", &limits::BATCH_SIZE)?.unwrap_or(64),
        seed: variables.number("SEED", &limits::SEED)?.unwrap_or(42),
        precision: variables.word("PRECISION", &PRECISIONS)?.unwrap_or(Precision::Auto),
        keywords: keywords(variables)?,
        sample_documents: documents.next().unwrap_or_default(),
    };
    let Some(model) = second else {
        for name in ["HUGGINGFACE_PIPELINE_TASK_KJ", "HUGGINGFACE_MODEL_REVISION_KJ"] {
            if variables.get(name).is_some() {
                return Err(variables.invalid(name, "it needs HUGGINGFACE_MODEL_REFERENCE_KJ, which is not set"));
            }
        }
        return Ok(BTreeMap::from([(MAIN.to_owned(), base)]));
    };
    let tasks = TASKS.map(|(name, task)| (name, (name, task)));
    let (task_name, task) = variables
        .word("HUGGINGFACE_PIPELINE_TASK_KJ", &tasks)?
        .unwrap_or(("token-classification", Task::TokenClassification));
    if task != base.task {
        return Err(variables.contradiction(
            "HUGGINGFACE_PIPELINE_TASK_KJ",
            "HUGGINGFACE_PIPELINE_TASK",
            "both models of a project have one task",
        ));
    }
    let kj = PipelineSettings {
        task_name: task_name.to_owned(),
        model,
        artifact_folder: KJ.to_owned(),
        training: None,
        validation_data: None,
        sample_documents: documents.next().unwrap_or_default(),
        ..base.clone()
    };
    let base = PipelineSettings {
        artifact_folder: BASE.to_owned(),
        ..base
    };
    Ok(BTreeMap::from([(BASE.to_owned(), base), (KJ.to_owned(), kj)]))
}

const PRECISIONS: [(&str, Precision); 3] = [
    ("auto", Precision::Auto),
    ("fp32", Precision::Fp32),
    ("bf16", Precision::Bf16),
];

/// The first of several variables that names a repository, with its revision.
fn model(variables: &Variables, names: &[&str], revision: &str) -> Result<Option<ModelReference>, SettingsError> {
    let mut written = names.iter().filter(|name| variables.get(name).is_some());
    let Some(name) = written.next() else { return Ok(None) };
    let repository = variables.read(name, |text| {
        names::repository(text)
            .then(|| text.to_owned())
            .ok_or_else(|| "a repository of the Hugging Face hub (owner/name)".to_owned())
    })?;
    if let Some(other) = written.find(|other| variables.text(other) != repository) {
        return Err(variables.contradiction(name, other, "they name two models; one of them is enough"));
    }
    let revision = variables.read(revision, |text| {
        names::revision(text)
            .then(|| text.to_owned())
            .ok_or_else(|| "a branch, tag or commit".to_owned())
    })?;
    let revision = revision.unwrap_or_else(|| "main".to_owned());
    Ok(repository.map(|repository| ModelReference { repository, revision }))
}

/// `SAMPLE_DOCUMENTS`: a list of texts for all pipelines, or a list with one such list for each.
fn documents(variables: &Variables, pipelines: usize) -> Result<Vec<Vec<String>>, SettingsError> {
    const NAME: &str = "SAMPLE_DOCUMENTS";
    let expected = r#"a list of texts, for example ["one", "two"]"#;
    let inner = |text: String| {
        text.trim_start()
            .strip_prefix('[')
            .map(|inner| inner.trim_start().starts_with('['))
    };
    let nested = variables.text(NAME).and_then(inner).unwrap_or(false);
    let lists: Vec<Vec<String>> = if nested {
        variables.json(NAME, expected)?.unwrap_or_default()
    } else {
        vec![variables.json(NAME, expected)?.unwrap_or_default(); pipelines]
    };
    if lists.len() != pipelines {
        let reason = format!("it holds {} lists of texts for {pipelines} model(s)", lists.len());
        return Err(variables.invalid(NAME, reason));
    }
    let texts = || lists.iter().flatten();
    if texts().count() > limits::DOCUMENTS || texts().any(|text| text.chars().count() > limits::DOCUMENT_CHARS) {
        let reason = format!(
            "more than {} texts, or one longer than {} characters",
            limits::DOCUMENTS,
            limits::DOCUMENT_CHARS
        );
        return Err(variables.invalid(NAME, reason));
    }
    Ok(lists)
}

fn columns(variables: &Variables) -> Result<DataColumns, SettingsError> {
    let column = |name: &str, default: String| {
        let read = variables.read(name, |text| {
            let fits = text.chars().count() <= 128 && !names::has_control(text);
            fits.then(|| text.to_owned())
                .ok_or_else(|| "a column's name".to_owned())
        })?;
        Ok::<_, SettingsError>(read.unwrap_or(default))
    };
    let default = DataColumns::default();
    Ok(DataColumns {
        text: column("SELECTED_TEXT", default.text)?,
        label: column("LABEL_COLUMN", default.label)?,
        tokens: column("TOKENS_COLUMN", default.tokens)?,
        tags: column("TAGS_COLUMN", default.tags)?,
        keyphrases: column("KEYPHRASES_COLUMN", default.keyphrases)?,
    })
}

fn keywords(variables: &Variables) -> Result<KeywordOptions, SettingsError> {
    const RANGE: &str = "KEYPHRASE_NGRAM_RANGE";
    let default = KeywordOptions::default();
    let range: Option<(u32, u32)> = variables.json(RANGE, "fewest and most words, for example [1, 2],")?;
    let range = range.unwrap_or(default.keyphrase_ngram_range);
    if !limits::NGRAM.contains(&range.0) || !limits::NGRAM.contains(&range.1) || range.0 > range.1 {
        let reason = format!(
            "[{}, {}] is not a range within {} to {}, fewest first",
            range.0,
            range.1,
            limits::NGRAM.start(),
            limits::NGRAM.end()
        );
        return Err(variables.invalid(RANGE, reason));
    }
    let stop_words = variables.word(
        "STOP_WORDS",
        &[("english", Some("english")), ("none", None), ("null", None)],
    )?;
    Ok(KeywordOptions {
        keyphrase_ngram_range: range,
        stop_words: stop_words.map_or(default.stop_words, |words| words.map(str::to_owned)),
        top_n: variables.number("TOP_N", &limits::TOP_N)?.unwrap_or(default.top_n),
        use_mmr: variables.boolean("USE_MMR")?.unwrap_or(default.use_mmr),
        diversity: variables
            .number("DIVERSITY", &limits::DIVERSITY)?
            .unwrap_or(default.diversity),
        candidates: variables
            .word(
                "CANDIDATES",
                &[("keybert", PhraseRule::Keybert), ("contiguous", PhraseRule::Contiguous)],
            )?
            .unwrap_or_default(),
    })
}
