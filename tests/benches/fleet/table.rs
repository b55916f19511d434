//! Medians with their spread, how they compare, and which aims are missed.

use std::fmt::Write;

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Better {
    More,
    Less,
}

/// What a figure shall reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aim {
    Nothing,
    /// At least so many times as good as the peer.
    Times(f64),
    /// Ours below so many of its unit.
    Below(f64),
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) aim: Aim,
    /// Who does the same on the other side; empty where nobody does.
    pub(crate) peer: &'static str,
}

#[derive(Debug)]
struct Row {
    measure: Measure,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// One figure a round and side.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A round's figures; `theirs`: of the peer, where there is one.
    pub(crate) fn add(&mut self, measure: Measure, ours: f64, theirs: Option<f64>) {
        let at = self.rows.iter().position(|row| row.measure.name == measure.name);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                measure,
                ours: Vec::new(),
                theirs: Vec::new(),
            });
            self.rows.len() - 1
        });
        self.rows[at].ours.push(ours);
        self.rows[at].theirs.extend(theirs);
    }

    /// The table for a page; a missed aim is bold, and red where `colour` says so.
    pub(crate) fn markdown(&self, colour: bool) -> String {
        let mut text = String::from("| | ours | peer | ratio | aim |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            let Measure { name, unit, peer, .. } = row.measure;
            let theirs = match row.theirs.is_empty() {
                true => "–".to_owned(),
                false => format!("{peer} {}", spread(&row.theirs)),
            };
            let ratio = row.ratio().map_or_else(String::new, |ratio| format!("{ratio:.1}"));
            let ours = spread(&row.ours);
            let _ = writeln!(
                text,
                "| {name} ({unit}) | {ours} | {theirs} | {ratio} | {} |",
                row.aim(colour)
            );
        }
        text
    }

    /// Names of the rows whose aims are missed.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        let missed = self.rows.iter().filter(|row| row.is_met() == Some(false));
        missed.map(|row| row.measure.name).collect()
    }
}

impl Row {
    /// Of each round first, then the median: both sides of a round ran side by side.
    fn ratio(&self) -> Option<f64> {
        let of = |(ours, theirs): (&f64, &f64)| match self.measure.better {
            Better::More => ours / theirs,
            Better::Less => theirs / ours,
        };
        let mut ratios: Vec<f64> = self.ours.iter().zip(&self.theirs).map(of).collect();
        (!ratios.is_empty()).then(|| median(&mut ratios))
    }

    fn is_met(&self) -> Option<bool> {
        match self.measure.aim {
            Aim::Nothing => None,
            Aim::Times(times) => self.ratio().map(|ratio| ratio >= times),
            Aim::Below(limit) => Some(median(&mut self.ours.clone()) < limit),
        }
    }

    fn aim(&self, colour: bool) -> String {
        let aim = match self.measure.aim {
            Aim::Nothing => return String::new(),
            Aim::Times(times) => format!("≥ {times}"),
            Aim::Below(limit) => format!("< {limit} {}", self.measure.unit),
        };
        match (self.is_met(), colour) {
            (Some(true), _) => format!("{aim}: met"),
            (_, true) => format!("\x1b[31m{aim}: MISSED\x1b[0m"),
            (_, false) => format!("**{aim}: MISSED**"),
        }
    }
}

fn spread(values: &[f64]) -> String {
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
