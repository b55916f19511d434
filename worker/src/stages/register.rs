//! Register: the files of a version, staged, decided once, made visible.

use super::Work;
use super::train::Trained;
use crate::failure;
use crate::outcome::{Ending, Failure};
use serde::Serialize;
use shared::ledger::{Event, FailureCause};
use shared::publication::{self, CardFacts, LocalFile, PipelineFacts, VERSION, training_folder};
use std::path::{Path, PathBuf};
use trainer_protocol::OUTPUT_FILES;

/// Stages the version, decides it and makes it visible.
///
/// # Errors
/// Before the decision a failure of the job; after it [`Ending::PublishingStalled`]: the decided bytes are in the
/// store, and whoever comes next goes on.
pub async fn run(work: &Work<'_>, trained: &[Trained]) -> Result<Ending, Ending> {
    let files = files(work, trained)?;
    let bytes: u64 = files
        .iter()
        .filter_map(|file| Some(std::fs::metadata(&file.source).ok()?.len()))
        .sum();
    work.log.line(&format!("staging {} files, {bytes} bytes", files.len()));
    let decision = publication::stage(work.claim, work.job, files, &facts(work, trained))
        .await
        .map_err(Failure::from)?;
    work.context
        .metrics
        .store_bytes
        .with_label_values(&["to"])
        .inc_by(bytes);
    let decided = work.claim.write(Event::Decide(decision)).await?;
    roll_forward(work, &decided).await
}

/// Makes decided bytes visible; also what is done to a job that was found publishing.
///
/// # Errors
/// [`Ending::PublishingStalled`].
pub async fn roll_forward(work: &Work<'_>, decided: &shared::ledger::Snapshot) -> Result<Ending, Ending> {
    match publication::roll_forward(&work.context.ledger, work.claim.id(), work.job, decided).await {
        Ok(published) => {
            work.log.line(&format!(
                "registered {}-{}",
                work.job.content.target.model, published.version
            ));
            Ok(Ending::Registered {
                version: published.version,
            })
        }
        Err(error) => Err(Ending::PublishingStalled {
            message: failure::chain(&error),
        }),
    }
}

fn facts(work: &Work<'_>, trained: &[Trained]) -> CardFacts {
    let of = |it: &Trained| {
        (
            it.name.clone(),
            PipelineFacts {
                report: it.report.clone(),
            },
        )
    };
    CardFacts {
        build_tag: work.context.identity.build.clone(),
        worker_version: env!("CARGO_PKG_VERSION").to_owned(),
        pipelines: trained.iter().map(of).collect(),
    }
}

/// Every file of the version but manifest and card.
fn files(work: &Work<'_>, trained: &[Trained]) -> Result<Vec<LocalFile>, Failure> {
    let mut files = test_files(work, trained)?;
    let single = trained.len() == 1;
    for it in trained {
        files.extend(artifacts(work, it)?);
        let folder = training_folder(&it.name, trained.len());
        for (path, name) in [("loss_curve", OUTPUT_FILES.loss_curve), ("report", OUTPUT_FILES.report)] {
            let source = it.outputs.join(name);
            // A model that was not trained has no loss curve.
            if source.exists() {
                files.push(LocalFile {
                    path: format!("{folder}/{path}"),
                    source,
                });
            }
        }
        if it.fine_tuned {
            let suffix = if single { String::new() } else { format!("-{}", it.name) };
            let source = it.outputs.join(OUTPUT_FILES.training_data);
            files.push(LocalFile {
                path: format!("data/train/{VERSION}{suffix}.parquet"),
                source,
            });
        }
    }
    Ok(files)
}

/// Inputs, inference parameters and predictions, which consumers replay.
fn test_files(work: &Work<'_>, trained: &[Trained]) -> Result<Vec<LocalFile>, Failure> {
    let content = &work.job.content;
    let mut predictions = std::collections::BTreeMap::new();
    for it in trained {
        predictions.insert(it.name.as_str(), read_json(&it.outputs.join(OUTPUT_FILES.predictions))?);
    }
    let files = [
        ("inputs", content.inputs()),
        ("inference_params", content.inference_params()),
        ("predictions", content.predictions(|name| predictions.remove(name))),
    ];
    let folder = work.folder.file("test_files");
    std::fs::create_dir_all(&folder).map_err(|error| failure::file("the test files", &error))?;
    let mut written = Vec::new();
    for (name, value) in files {
        let source = folder.join(name);
        std::fs::write(&source, indented(&value)?).map_err(|error| failure::file(name, &error))?;
        written.push(LocalFile {
            path: format!("model/test_files/{name}"),
            source,
        });
    }
    Ok(written)
}

/// Every file of the saved pipeline, without hidden ones.
fn artifacts(work: &Work<'_>, trained: &Trained) -> Result<Vec<LocalFile>, Failure> {
    let root = trained.outputs.join(OUTPUT_FILES.artifacts);
    let mut paths = Vec::new();
    collect(&root, &mut PathBuf::new(), &mut paths).map_err(|error| failure::file("the exported model", &error))?;
    if paths.is_empty() {
        let message = format!("failed to register {}: the trainer exported no file", trained.name);
        return Err(Failure::new(FailureCause::Internal, message));
    }
    let folder = work
        .job
        .content
        .pipelines
        .get(&trained.name)
        .map_or("", |it| it.artifact_folder.as_str());
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let file = |path: PathBuf| LocalFile {
        source: root.join(&path),
        path: format!("model/model_artifacts/{prefix}{}", path.display()),
    };
    Ok(paths.into_iter().map(file).collect())
}

/// Paths of regular files below `root`, in order; names that begin with `.` or `__` are left out at any depth.
fn collect(root: &Path, below: &mut PathBuf, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = std::fs::read_dir(root.join(&below))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let Some(text) = name.to_str() else {
            return Err(std::io::Error::other(format!(
                "{} is no UTF-8 name",
                entry.path().display()
            )));
        };
        if text.starts_with('.') || text.starts_with("__") {
            continue;
        }
        below.push(&name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, below, paths)?;
        } else if kind.is_file() {
            paths.push(below.clone());
        }
        below.pop();
    }
    Ok(())
}

fn read_json(path: &Path) -> Result<serde_json::Value, Failure> {
    let bytes = std::fs::read(path).map_err(|error| failure::file("the trainer's predictions", &error))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::new(
            FailureCause::Internal,
            format!("failed to read the trainer's predictions: {error}"),
        )
    })
}

/// JSON with an indent of 4, as the component has always written it.
fn indented(value: &serde_json::Value) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        .map_err(|error| Failure::new(FailureCause::Internal, format!("failed to encode a test file: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{collect, indented};
    use std::path::PathBuf;

    #[test]
    fn hidden_files_and_folders_are_left_out_at_any_depth() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "config.json",
            "1_Pooling/config.json",
            ".hidden",
            "__pycache__/x",
            "1_Pooling/.git/x",
            "a/__b",
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let mut paths = Vec::new();
        collect(root.path(), &mut PathBuf::new(), &mut paths).unwrap();
        assert_eq!(
            paths,
            [PathBuf::from("1_Pooling/config.json"), PathBuf::from("config.json")]
        );
    }

    #[test]
    fn a_missing_export_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(collect(&root.path().join("none"), &mut PathBuf::new(), &mut Vec::new()).is_err());
    }

    #[test]
    fn test_files_have_an_indent_of_four() {
        let text = String::from_utf8(indented(&serde_json::json!({"top_n": 5})).unwrap()).unwrap();
        assert_eq!(text, "{\n    \"top_n\": 5\n}");
    }
}
