//! Annotations: GitHub shows ten of a kind a step, and drops the rest without a word.

use super::Reported;
use super::escape::{cut, data, property};
use crate::failure::Failure;
use shared::exit::ExitCode;

/// What GitHub shows.
const AT_MOST: usize = 10;
/// Characters of one; GitHub cuts at 4 KiB.
const LENGTH: usize = 1000;

/// One for each job that did not end well, the most important first; where there are more than ten, nine and how many
/// more.
#[must_use]
pub(super) fn of_jobs(reported: &[Reported]) -> Vec<String> {
    let mut bad: Vec<&Reported> = reported.iter().filter(|one| one.code != ExitCode::Ok).collect();
    bad.sort_by_key(|one| one.code.rank());
    let shown = if bad.len() > AT_MOST { AT_MOST - 1 } else { bad.len() };
    let mut lines: Vec<String> = bad[..shown].iter().map(|one| of_job(one)).collect();
    if bad.len() > shown {
        let more = format!("+{} more that did not end well; the summary has all", bad.len() - shown);
        lines.push(command("error", "more jobs", &more));
    }
    lines
}

fn of_job(one: &Reported) -> String {
    let job = &one.job;
    let kind = if one.code == ExitCode::Running {
        "warning"
    } else {
        "error"
    };
    let title = format!("{} {}: {}", job.project, job.tag, what(one.code));
    let why = job.cause.clone().or_else(|| job.waiting_for.clone());
    let text = why.unwrap_or_else(|| format!("its status is {}", job.status));
    command(kind, &title, &format!("{} (job {})", cut(&text, LENGTH), job.id))
}

/// Of a command that failed before there was a job to tell of.
#[must_use]
pub(super) fn of_failure(failure: &Failure) -> String {
    let text = failure.to_text();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let title = format!("dispatcher: {}", what(failure.code));
    command("error", &title, &cut(text, LENGTH))
}

fn command(kind: &str, title: &str, text: &str) -> String {
    format!("::{kind} title={}::{}", property(title), data(text))
}

/// A code in words.
#[must_use]
pub(super) fn what(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Ok => "ended well",
        ExitCode::Quality => "below the quality gate",
        ExitCode::User => "the project's data, model or settings are at fault",
        ExitCode::Infrastructure => "infrastructure",
        ExitCode::Cancelled => "cancelled",
        ExitCode::Usage => "bad usage or settings",
        ExitCode::Unreachable => "something cannot be reached",
        ExitCode::Running => "still running at the timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::reported;
    use super::*;
    use anyhow::anyhow;
    use shared::ledger::Status;

    #[test]
    fn the_most_important_come_first_and_what_is_left_out_is_counted() {
        let mut all: Vec<Reported> = (0..8)
            .map(|_| reported(Status::Failed, ExitCode::Quality, Some("low")))
            .collect();
        all.push(reported(Status::Registered, ExitCode::Ok, None));
        all.push(reported(Status::Running, ExitCode::Running, None));
        all.push(reported(Status::Failed, ExitCode::Infrastructure, Some("the disk")));
        assert_eq!(of_jobs(&all).len(), 10, "ten fit");
        all.push(reported(Status::Failed, ExitCode::User, Some("the data")));
        let lines = of_jobs(&all);
        assert_eq!(lines.len(), 10);
        assert!(
            lines[0].contains("the disk") && lines[1].contains("the data"),
            "{lines:?}"
        );
        assert!(
            lines[9].ends_with("::+2 more that did not end well; the summary has all"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_cause_cannot_give_commands() {
        let line = of_jobs(&[reported(Status::Failed, ExitCode::User, Some("x\n::add-path::/tmp"))]).remove(0);
        assert_eq!(line.lines().count(), 1);
        assert!(
            line.starts_with("::error title=sentiment t1%3A the project's data"),
            "{line}"
        );
    }

    #[test]
    fn a_long_cause_is_cut() {
        let line = of_jobs(&[reported(Status::Failed, ExitCode::User, Some(&"x".repeat(9000)))]).remove(0);
        assert!(line.len() < 2000 && line.contains('…'));
    }

    #[test]
    fn a_failure_is_told_with_its_causes() {
        let failure = Failure::usage(anyhow!("line 3").context("dev.env is no settings file"));
        let line = of_failure(&failure);
        assert_eq!(
            line,
            "::error title=dispatcher%3A bad usage or settings::dev.env is no settings file%0A  caused by: line 3"
        );
    }
}
