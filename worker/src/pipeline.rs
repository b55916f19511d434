//! The order of a job's stages. No other file knows it.

use crate::outcome::{Ending, Failure};
use crate::stages::train::Trained;
use crate::stages::{Work, register, retrieve, train};
use crate::time_limit::TimeLimit;
use shared::gate;
use shared::ledger::{Event, FailureCause, Snapshot, Status};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The stage that publishes.
const REGISTER: &str = "register";
/// A stage of a job that waits for nothing is over sooner, and its write would be what is waited for.
const SAID_AFTER: Duration = Duration::from_millis(300);

/// Walks a claimed job through its stages; `claimed` is its state under this claim.
pub async fn run(work: &Work<'_>, claimed: &Snapshot) -> Ending {
    let walked = match claimed.state.status {
        // The bytes are decided: nothing is trained, whoever comes makes them visible.
        Status::Publishing => {
            // As it is once the stage is said, or its write and the last one would fence each other.
            let doing = async { register::roll_forward(work, &work.claim.snapshot().await).await };
            stage(work, REGISTER, doing).await
        }
        _ => walk(work, claimed).await,
    };
    walked.unwrap_or_else(|early| early)
}

async fn walk(work: &Work<'_>, claimed: &Snapshot) -> Result<Ending, Ending> {
    let content = &work.job.content;
    let limit = TimeLimit::of(content, &claimed.state);
    // A result that is there is registered, however long that takes.
    let trained = TimeLimit::bound(limit, make(work)).await?;
    if content.sample || !content.register {
        work.log.line("done; nothing is registered, as asked");
        return Ok(Ending::Completed);
    }
    stage(work, REGISTER, register::run(work, &trained)).await
}

/// Everything until the result is there and good enough.
async fn make(work: &Work<'_>) -> Result<Vec<Trained>, Ending> {
    let prepared = stage(work, "retrieve", retrieve::run(work)).await?;
    let trained = stage(work, "train", train::run(work, &prepared)).await?;
    shared::crash::point("after-export");
    judge(work, &trained).await?;
    Ok(trained)
}

/// Records the scores, then holds them against the gate.
async fn judge(work: &Work<'_>, trained: &[Trained]) -> Result<(), Ending> {
    let scores = train::scores(trained);
    for (name, value) in &scores {
        work.context
            .metrics
            .evaluation_score
            .with_label_values(&[work.job.content.project.as_str(), name])
            .set(*value);
    }
    if !scores.is_empty() {
        work.claim.write(Event::Scores(scores.clone())).await?;
    }
    // A few rows say nothing about a model's quality.
    if work.job.content.sample {
        return Ok(());
    }
    check_gate(&work.job.content.gate, &scores).map_err(Ending::Failed)
}

fn check_gate(conditions: &[String], scores: &BTreeMap<String, f64>) -> Result<(), Failure> {
    let unmet = gate::unmet(conditions, scores).map_err(|error| Failure::new(FailureCause::User, error.to_string()))?;
    if unmet.is_empty() {
        return Ok(());
    }
    let mut report = "the quality gate is not met:".to_owned();
    for (condition, score) in &unmet {
        let _ = match score {
            Some(score) => write!(report, " {condition}, but it is {score:.4};"),
            None => write!(report, " {condition}, but it was not measured;"),
        };
    }
    report.push_str(" all scores:");
    for (name, value) in scores {
        let _ = write!(report, " {name}={value:.4}");
    }
    if scores.is_empty() {
        report.push_str(" none");
    }
    Err(Failure::new(FailureCause::Quality, report))
}

/// One stage: said in the state, the log and the series. In the state it is said while it is done, since only people
/// read it there, and not at all where it is over before they could; who finds himself fenced by it stops at once.
async fn stage<T>(
    work: &Work<'_>,
    name: &'static str,
    doing: impl Future<Output = Result<T, Ending>>,
) -> Result<T, Ending> {
    if work.interruption.is_stopping() && name != REGISTER {
        return Err(Ending::Interrupted);
    }
    let said = async { Ok::<_, Ending>(work.claim.write(Event::Stage(name.to_owned())).await?) };
    work.log.line(&format!("stage {name}"));
    tracing::info!(job = %work.claim.id(), token = work.claim.token(), stage = name, "stage");
    let started = Instant::now();
    let doing = async {
        tokio::select! {
            done = doing => done,
            () = work.interruption.hard().cancelled(), if name == REGISTER => Err(Ending::Interrupted),
        }
    };
    let mut doing = std::pin::pin!(doing);
    // Publishing goes on from the state as it is once the stage is said.
    let early = match name {
        REGISTER => None,
        _ => tokio::time::timeout(SAID_AFTER, &mut doing).await.ok(),
    };
    let done = match early {
        Some(Ok(done)) => done,
        Some(Err(ending)) => {
            said.await?;
            return Err(ending);
        }
        None => tokio::try_join!(said, doing)?.1,
    };
    let project = work.job.content.project.as_str();
    work.context
        .metrics
        .stage_seconds
        .with_label_values(&[project, name])
        .observe(started.elapsed().as_secs_f64());
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::check_gate;
    use shared::ledger::FailureCause;
    use std::collections::BTreeMap;

    fn scores() -> BTreeMap<String, f64> {
        BTreeMap::from([("loss".into(), 0.9), ("macro_recall".into(), 0.6)])
    }

    #[test]
    fn a_gate_that_is_met_says_nothing() {
        assert_eq!(
            check_gate(&["macro_recall>=0.60".into(), "loss<1".into()], &scores()),
            Ok(())
        );
        assert_eq!(check_gate(&[], &BTreeMap::new()), Ok(()));
    }

    #[test]
    fn the_report_names_condition_value_and_all_scores() {
        let failure = check_gate(&["macro_recall>=0.75".into(), "f1>=0.1".into()], &scores()).unwrap_err();
        assert_eq!(failure.cause, FailureCause::Quality);
        for part in [
            "macro_recall>=0.75, but it is 0.6000",
            "f1>=0.1, but it was not measured",
            "loss=0.9000",
        ] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }

    #[test]
    fn a_gate_that_is_none_is_the_users() {
        assert_eq!(
            check_gate(&["f1".into()], &scores()).unwrap_err().cause,
            FailureCause::User
        );
    }
}
