//! Which variables a project may have: a table by task. A new project of a known task needs no entry here.

use crate::settings::FLEET_VARIABLES;
use std::collections::BTreeSet;
use trainer_protocol::Task;

/// Names of tasks in `HUGGINGFACE_PIPELINE_TASK`, as `transformers.pipeline` knows them.
pub(super) const TASKS: [(&str, Task); 5] = [
    ("feature-extraction", Task::FeatureExtraction),
    ("token-classification", Task::TokenClassification),
    ("ner", Task::TokenClassification),
    ("sentiment-analysis", Task::TextClassification),
    ("text-classification", Task::TextClassification),
];

const EVERY_TASK: [&str; 18] = [
    "PROJECT",
    "MODEL",
    "MODEL_TYPE",
    "HUGGINGFACE_PIPELINE_TASK",
    "HUGGINGFACE_MODEL_REFERENCE",
    "HUGGINGFACE_MODEL_REVISION",
    "SAMPLE_DOCUMENTS",
    "LOCAL_OUTPUT_DIR",
    "LOGGING_LEVEL",
    "SEED",
    "GATE",
    "TIME_LIMIT",
    "TRAIN",
    "VALIDATION_DATA",
    "SELECTED_TEXT",
    "EVAL_BATCH_SIZE",
    "MAX_LENGTH",
    "PRECISION",
];

const TRAINED_TASKS: [&str; 21] = [
    "TRAIN_DATA",
    "MODEL_NAME",
    "EPOCHS",
    "TRAIN_BATCH_SIZE",
    "GRADIENT_ACCUMULATION_STEPS",
    "LEARNING_RATE",
    "WARMUP_STEPS",
    "WEIGHT_DECAY",
    "MAX_GRAD_NORM",
    "TEST_SIZE",
    "EVALUATION_STRATEGY",
    "SAVE_STRATEGY",
    "SAVE_STEPS",
    "SAVE_TOTAL_LIMIT",
    "LOAD_BEST_MODEL_AT_END",
    "METRIC_FOR_BEST_MODEL",
    "EARLY_STOPPING_PATIENCE",
    "CHECKPOINT_EVERY",
    "FREEZE",
    "GRADIENT_CHECKPOINTING",
    "LABEL_COLUMN",
];

const TOKEN_CLASSIFICATION: [&str; 5] = [
    "HUGGINGFACE_PIPELINE_TASK_KJ",
    "HUGGINGFACE_MODEL_REFERENCE_KJ",
    "HUGGINGFACE_MODEL_REVISION_KJ",
    "TOKENS_COLUMN",
    "TAGS_COLUMN",
];

const FEATURE_EXTRACTION: [&str; 7] = [
    "KEYPHRASE_NGRAM_RANGE",
    "STOP_WORDS",
    "TOP_N",
    "USE_MMR",
    "DIVERSITY",
    "CANDIDATES",
    "KEYPHRASES_COLUMN",
];

/// Variables of the component that mean nothing here. Its files hold them, so they are read over, with a notice.
/// The feature store of its iptc project is one of those: data come from `TRAIN_DATA`.
const WITHOUT_EFFECT: [&str; 28] = [
    "PROJECT_NAME",
    "BASE_IMAGE_TAG",
    "IMAGE_TAG",
    "TARGET_BUILD_STAGE",
    "MODEL_CLASS",
    "REPORT_TO",
    "TEMPERATURE",
    "LEVEL",
    "ENTITY_NAME",
    "ENTITY_JOIN_KEY",
    "FEATURE_VIEW_NAME",
    "DATASET_UPLOAD_BUCKET",
    "DATASET_UPLOAD_DIR",
    "SAVE_ARTIFACT",
    "N_RECORDS_SAMPLE",
    "N_RECORDS_FULL",
    "IPTC_LABEL",
    "FILTER_COLUMNS",
    "FILTER_VALUES",
    "COMPARISON_OPERATORS",
    "NON_NULLABLE_COLUMNS",
    "KJ_MODEL_SUBDIRECTORY",
    "BASE_MODEL_SUBDIRECTORY",
    "ONCLUSIVEML_NEPTUNE_WITH_ID",
    "ONCLUSIVEML_TRACKING_LOGGER_NAME",
    "ONCLUSIVEML_TRACKING_LOGGER_FMT",
    "ONCLUSIVEML_TRACKING_LOGGER_LEVEL",
    "NEPTUNE_MODE",
];

/// Other names that the component gave to some variables over time.
pub(super) const ALIASES: [(&str, &str); 5] = [
    ("ONCLUSIVEML_NEPTUNE_PROJECT", "PROJECT"),
    ("ONCLUSIVEML_NEPTUNE_MODEL", "MODEL"),
    ("ONCLUSIVEML_NEPTUNE_API_TOKEN", "NEPTUNE_API_TOKEN"),
    ("TRAINED_PROJECT", "PROJECT"),
    ("TRAINED_MODEL", "MODEL"),
];

/// The variables that a project of this task may have and that have an effect, the fleet's among them.
pub(super) fn effective(task: Task) -> BTreeSet<&'static str> {
    let of_task: &[&[&str]] = match task {
        Task::TextClassification => &[&TRAINED_TASKS],
        Task::TokenClassification => &[&TRAINED_TASKS, &TOKEN_CLASSIFICATION],
        Task::FeatureExtraction => &[&FEATURE_EXTRACTION],
    };
    let tables = of_task.iter().flat_map(|table| table.iter());
    tables
        .chain(&EVERY_TASK)
        .chain(&FLEET_VARIABLES)
        .copied()
        .chain(ALIASES.iter().map(|(alias, _)| *alias))
        .collect()
}

/// Whether a variable of the component is known but means nothing here.
pub(super) fn is_without_effect(name: &str) -> bool {
    WITHOUT_EFFECT.contains(&name) || name.starts_with("GITHUB_") || name.starts_with("RUNNER_")
}
