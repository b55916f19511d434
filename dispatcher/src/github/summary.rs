//! The summary of a step, in Markdown.

use super::Reported;
use super::annotations::what;
use super::escape::{block, cut, inline};
use shared::exit::ExitCode;
use std::fmt::Write;

/// Points of a loss curve that a chart shows.
const POINTS: usize = 60;
/// Characters of a cause.
const CAUSE: usize = 8000;
/// Jobs that get a chapter; all of them are in the table.
const CHAPTERS: usize = 60;

/// A table of all jobs, and below it a chapter of each: why it did not end well, its scores, its loss curve.
#[must_use]
pub(super) fn markdown(reported: &[Reported]) -> String {
    let mut text = String::from("| | project | tag | version | job |\n|---|---|---|---|---|\n");
    for one in reported {
        let job = &one.job;
        let version = job.version.as_deref().unwrap_or("");
        let [project, tag, version] = [&job.project, &job.tag, version].map(inline);
        let _ = writeln!(
            text,
            "| {} {} | {project} | {tag} | {version} | `{}` |",
            sign(one.code),
            job.status,
            job.id
        );
    }
    // What went wrong is read first, and is not what is left out.
    let mut chapters: Vec<&Reported> = reported.iter().collect();
    chapters.sort_by_key(|one| one.code.rank());
    for one in chapters.iter().take(CHAPTERS) {
        text.push_str(&chapter(one));
    }
    if let Some(more) = chapters.len().checked_sub(CHAPTERS).filter(|more| *more > 0) {
        let _ = writeln!(text, "\n+{more} more: `dispatcher status JOB`");
    }
    text
}

fn sign(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Ok => "✅",
        ExitCode::Running => "⏳",
        ExitCode::Cancelled => "🚫",
        _ => "❌",
    }
}

fn chapter(one: &Reported) -> String {
    let job = &one.job;
    let name = job.version.as_deref().unwrap_or(&job.tag);
    let mut text = format!("\n### {} {}\n\n", inline(&job.project), inline(name));
    if let Some(place) = &one.place {
        let _ = writeln!(text, "In {}\n", inline(place));
    }
    if one.code != ExitCode::Ok {
        let why = job
            .cause
            .as_deref()
            .or(job.waiting_for.as_deref())
            .unwrap_or("no cause was recorded");
        let _ = writeln!(
            text,
            "Exit code {}: {}.\n\n{}",
            one.code.number(),
            what(one.code),
            block(&cut(why, CAUSE))
        );
    }
    if !job.scores.is_empty() {
        text.push_str("| score | value |\n|---|--:|\n");
        for (score, value) in &job.scores {
            let _ = writeln!(text, "| {} | {value:.4} |", inline(score));
        }
    }
    text.push_str(&chart(&one.curve));
    text
}

/// A chart that GitHub draws; nothing for fewer than two points.
fn chart(curve: &[(u64, f64)]) -> String {
    let shown = thinned(curve);
    let (Some(first), Some(last)) = (shown.first(), shown.last().filter(|_| shown.len() > 1)) else {
        return String::new();
    };
    let losses: Vec<String> = shown.iter().map(|(_, loss)| format!("{loss:.4}")).collect();
    let highest = shown.iter().map(|(_, loss)| *loss).fold(f64::MIN, f64::max);
    format!(
        "\n```mermaid\nxychart-beta\n  title \"training loss\"\n  x-axis \"step\" {} --> {}\n  y-axis \"loss\" 0 --> {:.4}\n  line [{}]\n```\n",
        first.0,
        last.0,
        highest.max(f64::MIN_POSITIVE) * 1.05,
        losses.join(", ")
    )
}

/// At most [`POINTS`], evenly chosen, the first and the last among them.
fn thinned(curve: &[(u64, f64)]) -> Vec<(u64, f64)> {
    if curve.len() <= POINTS {
        return curve.to_vec();
    }
    (0..POINTS)
        .map(|n| curve[n * (curve.len() - 1) / (POINTS - 1)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::SUMMARY;
    use super::super::tests::reported;
    use super::*;
    use shared::ledger::Status;

    #[test]
    fn scores_causes_and_curves_are_there() {
        let mut good = reported(Status::Registered, ExitCode::Ok, None);
        good.curve = (1..=200).map(|step| (step, 1.0 / step as f64)).collect();
        good.place = Some("s3://bucket/SEN-TRAINED-7".into());
        let bad = reported(Status::Failed, ExitCode::Quality, Some("macro_recall 0.50 | <b>"));
        let text = markdown(&[good, bad]);
        assert!(text.contains("| macro&#95;recall | 0.6250 |"), "{text}");
        assert!(text.contains("x-axis \"step\" 1 --> 200"), "{text}");
        assert!(text.contains("Exit code 10: below the quality gate."), "{text}");
        assert!(text.contains("```text\nmacro_recall 0.50 | <b>\n```"), "{text}");
        assert!(
            text.find("Exit code 10") < text.find("mermaid"),
            "what went wrong comes first"
        );
        let line = text.lines().find(|line| line.starts_with("  line [")).unwrap();
        assert_eq!(line.matches(',').count(), POINTS - 1);
    }

    #[test]
    fn a_curve_of_one_point_is_none() {
        assert_eq!(chart(&[(1, 0.5)]), "");
        assert_eq!(chart(&[]), "");
    }

    #[test]
    fn the_largest_summary_fits() {
        let cause = "`x`\n".repeat(5000);
        let all: Vec<Reported> = (0..700)
            .map(|_| {
                let mut one = reported(Status::Failed, ExitCode::User, Some(&cause));
                one.curve = (0..200).map(|step| (step, 0.123_456)).collect();
                one
            })
            .collect();
        let text = markdown(&all);
        assert!(text.len() < SUMMARY, "{} bytes", text.len());
        assert!(text.contains("+640 more"));
    }
}
