//! What the component's own projects set in their code, so that dotenv files which leave it out load as they are.

use crate::settings::{Origin, Variables};

/// Variable and value.
type Setting = (&'static str, &'static str);

/// Folder, variables, and models for files that name none at all.
const COMPONENT: [(&str, &[Setting], &[Setting]); 4] = [
    (
        "keywords",
        &[
            ("PROJECT", "onclusive/keywords"),
            ("MODEL", "KEYWORDS-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "feature-extraction"),
            ("LOCAL_OUTPUT_DIR", "./keyword_model_artifacts"),
        ],
        &[(
            "HUGGINGFACE_MODEL_REFERENCE",
            "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
        )],
    ),
    (
        "ner",
        &[
            ("PROJECT", "onclusive/ner"),
            ("MODEL", "NER-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "token-classification"),
            ("LOCAL_OUTPUT_DIR", "./ner_model_artifacts"),
        ],
        &[
            ("HUGGINGFACE_MODEL_REFERENCE", "dslim/bert-base-NER"),
            (
                "HUGGINGFACE_MODEL_REFERENCE_KJ",
                "Davlan/distilbert-base-multilingual-cased-ner-hrl",
            ),
        ],
    ),
    (
        "sentiment",
        &[
            ("PROJECT", "onclusive/sentiment"),
            ("MODEL", "SEN-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "sentiment-analysis"),
            ("LOCAL_OUTPUT_DIR", "./sent_model_artifacts"),
        ],
        &[(
            "HUGGINGFACE_MODEL_REFERENCE",
            "cardiffnlp/twitter-xlm-roberta-base-sentiment",
        )],
    ),
    (
        "iptc",
        &[
            ("PROJECT", "onclusive/iptc-00000000"),
            ("MODEL", "IP00000000-TRAINED"),
            ("HUGGINGFACE_PIPELINE_TASK", "text-classification"),
            ("LOCAL_OUTPUT_DIR", "./iptc_model_artifacts"),
            ("SELECTED_TEXT", "content"),
            ("TRAIN", "true"),
        ],
        &[("MODEL_NAME", "xlm-roberta-base")],
    ),
];

/// Variables that say which model is taken; a file with one of them gets no other by default.
const MODELS: [&str; 3] = [
    "HUGGINGFACE_MODEL_REFERENCE",
    "HUGGINGFACE_MODEL_REFERENCE_KJ",
    "MODEL_NAME",
];

/// Adds the defaults of a project of the component; nothing for any other.
pub(super) fn add(variables: &mut Variables, project: &str) {
    let Some((_, settings, models)) = COMPONENT.iter().find(|(name, ..)| *name == project) else {
        return;
    };
    let models = if MODELS.iter().any(|name| variables.get(name).is_some()) {
        &[][..]
    } else {
        models
    };
    for (name, value) in settings.iter().chain(models) {
        variables.add(name, value, Origin::Default);
    }
}

/// The project of the component to which a model id belongs.
pub(super) fn owner_of(model: &str) -> Option<&'static str> {
    let owner = COMPONENT
        .iter()
        .find(|(_, settings, _)| settings.contains(&("MODEL", model)));
    owner.map(|(project, ..)| *project)
}
