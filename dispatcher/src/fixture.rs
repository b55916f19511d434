//! A job for unit tests.

use shared::job::{Accelerator, Content, HubModel, Job, Lineage, Pipeline, Target};
use std::collections::BTreeMap;
use trainer_protocol::{DataColumns, KeywordOptions, Precision, Task};

/// A valid job that trains nothing.
pub(crate) fn job(project: &str, tag: &str) -> Job {
    Job {
        schema: 1,
        content: Content {
            project: project.into(),
            tag: tag.into(),
            accelerator: Accelerator::Cpu,
            target: Target {
                environment: "dev".into(),
                root: "neptune-ai-model-registry".into(),
                workspace: "onclusive".into(),
                project: project.into(),
                model: "SEN-TRAINED".into(),
                model_type: "trained".into(),
            },
            pipelines: BTreeMap::from([("main".into(), pipeline())]),
            sample: false,
            register: true,
            exact_worker: false,
            nonce: None,
            gate: Vec::new(),
            time_limit_s: None,
            local_output_dir: "./model_artifacts".into(),
            logging_level: "INFO".into(),
            model_params: BTreeMap::new(),
        },
        lineage: Lineage::from_env(&BTreeMap::new(), "test", "2026-01-01T00:00:00Z"),
    }
}

fn pipeline() -> Pipeline {
    Pipeline {
        task: Task::TextClassification,
        task_name: "sentiment-analysis".into(),
        model: HubModel {
            repository: "acme/tiny".into(),
            revision: "main".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
        },
        artifact_folder: String::new(),
        training: None,
        validation_data: None,
        columns: DataColumns::default(),
        max_length: None,
        eval_batch_size: 8,
        seed: 42,
        precision: Precision::Fp32,
        keywords: KeywordOptions::default(),
        sample_documents: vec!["a good movie".into()],
    }
}
