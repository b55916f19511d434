//! The three test files of a version, which its consumers replay: inputs, inference parameters, predictions.

use super::{Content, Pipeline};
use serde_json::{Value, json};
use trainer_protocol::Task;

impl Content {
    /// `model/test_files/inputs`: the sample documents; with several pipelines a list with one such list for each.
    #[must_use]
    pub fn inputs(&self) -> Value {
        self.each(|pipeline| json!(pipeline.sample_documents))
    }

    /// `model/test_files/inference_params`: the arguments of the prediction; with several pipelines a list.
    #[must_use]
    pub fn inference_params(&self) -> Value {
        self.each(|pipeline| match pipeline.task {
            Task::FeatureExtraction => json!({
                "keyphrase_ngram_range": pipeline.keywords.keyphrase_ngram_range,
                "stop_words": pipeline.keywords.stop_words,
                "top_n": pipeline.keywords.top_n,
            }),
            Task::TextClassification | Task::TokenClassification => json!({}),
        })
    }

    /// `model/test_files/predictions` from what the trainer predicted for each pipeline, by its name; with several
    /// pipelines a list. A pipeline without predictions counts as `null`.
    #[must_use]
    pub fn predictions(&self, mut of: impl FnMut(&str) -> Option<Value>) -> Value {
        let mut all: Vec<Value> = self.pipelines.keys().map(|name| of(name).unwrap_or_default()).collect();
        if all.len() == 1 {
            all.swap_remove(0)
        } else {
            Value::Array(all)
        }
    }

    /// One pipeline's value as it is, several in a list: the component's shapes.
    fn each(&self, value: impl Fn(&Pipeline) -> Value) -> Value {
        let mut all: Vec<Value> = self.pipelines.values().map(value).collect();
        if all.len() == 1 {
            all.swap_remove(0)
        } else {
            Value::Array(all)
        }
    }
}
