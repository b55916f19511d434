//! Medians with their spread, and how they compare.

use std::fmt::Write;

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Better {
    More,
    Less,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    unit: &'static str,
    better: Better,
    ours: Vec<f64>,
    peer: Vec<f64>,
    aim: &'static str,
}

/// One figure a round and side.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A round's figures; `peer`: of Celery, where it has such a thing.
    pub(crate) fn add(
        &mut self,
        (name, unit, better, aim): (&'static str, &'static str, Better, &'static str),
        ours: f64,
        peer: Option<f64>,
    ) {
        let at = self.rows.iter().position(|row| row.name == name);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                name,
                unit,
                better,
                ours: Vec::new(),
                peer: Vec::new(),
                aim,
            });
            self.rows.len() - 1
        });
        self.rows[at].ours.push(ours);
        self.rows[at].peer.extend(peer);
    }

    /// The table for a page.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("| | ours | Celery | ratio | aim |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            let (ours, peer) = (spread(&row.ours), spread(&row.peer));
            // Of each round first, then the median: both sides of a round ran side by side.
            let mut ratios: Vec<f64> = row
                .ours
                .iter()
                .zip(&row.peer)
                .map(|(o, p)| ratio(row.better, *o, *p))
                .collect();
            let ratio = match row.peer.is_empty() {
                true => String::new(),
                false => format!("{:.1}", median(&mut ratios)),
            };
            let _ = writeln!(
                text,
                "| {} ({}) | {ours} | {peer} | {ratio} | {} |",
                row.name, row.unit, row.aim
            );
        }
        text
    }
}

/// How many times as good ours is.
fn ratio(better: Better, ours: f64, peer: f64) -> f64 {
    match better {
        Better::More => ours / peer,
        Better::Less => peer / ours,
    }
}

fn spread(values: &[f64]) -> String {
    if values.is_empty() {
        return "–".to_owned();
    }
    let mut sorted = values.to_vec();
    let middle = median(&mut sorted);
    let digits = if middle < 100.0 { 1 } else { 0 };
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{middle:.digits$} ({least:.digits$}–{most:.digits$})")
}

/// The middle one; sorts.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50.0)
}

/// Nearest rank; sorts.
pub(crate) fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "few values, and a rank among them"
    )]
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}
