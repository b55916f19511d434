//! `--profile`: where the milliseconds of a step, or of a document's keywords, go, as a table and a flame graph.

use crate::arithmetic::Arithmetic;
use crate::failure::{Failure, Result};
use crate::native::profile as recording;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tch::{Kind, Tensor, no_grad};

/// Steps before the recording: libtorch prepares much when it first meets a shape.
const BEFORE: u64 = 10;
/// Steps that are recorded, or as many as there are.
const RECORDED: u64 = 20;
/// Rows of the table.
const SHOWN: usize = 30;

/// The profile of some steps of a training.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
    first: u64,
    begun: Option<Instant>,
}

/// What one operation took in all recorded steps.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    calls: u64,
    nanoseconds: u64,
    operations: f64,
}

impl Profile {
    /// Into `folder`, of a training that goes on at step `now`.
    #[must_use]
    pub fn new(folder: &Path, now: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            first: now + BEFORE,
            begun: None,
        }
    }

    /// Before step `step` of `total`, and behind the last: begins and ends the recording.
    ///
    /// # Errors
    ///
    /// Where a file cannot be written.
    pub fn at(&mut self, step: u64, total: u64, arithmetic: &Arithmetic) -> Result<()> {
        let first = self.first.min(total.saturating_sub(1));
        if step == first {
            synchronize(arithmetic);
            self.begun = Some(Instant::now());
            recording::begin();
        }
        let last = (first + RECORDED).min(total);
        match self.begun {
            Some(begun) if step == last => {
                synchronize(arithmetic);
                let took = begun.elapsed().as_secs_f64();
                self.begun = None;
                write(
                    &self.folder,
                    &recording::end(),
                    (last - first, "step"),
                    took,
                    arithmetic,
                )
            }
            _ => Ok(()),
        }
    }
}

/// What `work` gives, which does `count` documents; its profile goes into `folder`, if there is one.
///
/// # Errors
///
/// Those of `work`, and where a file cannot be written.
pub fn recorded<T>(
    folder: Option<&Path>,
    count: usize,
    arithmetic: &Arithmetic,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let Some(folder) = folder else { return work() };
    synchronize(arithmetic);
    let begun = Instant::now();
    recording::begin();
    let done = work();
    synchronize(arithmetic);
    let took = begun.elapsed().as_secs_f64();
    let found = recording::end();
    let done = done?;
    write(folder, &found, (count.max(1) as u64, "document"), took, arithmetic)?;
    Ok(done)
}

/// How many there were, and of what.
type Count = (u64, &'static str);

fn write(folder: &Path, recorded: &str, count: Count, seconds: f64, arithmetic: &Arithmetic) -> Result<()> {
    let paths = parse(recorded);
    std::fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, e))?;
    let written = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| Failure::file("write", &path, e))
    };
    written(
        "profile.md",
        table(&paths, count, seconds, ceiling(arithmetic)).as_bytes(),
    )?;
    let folded = paths
        .iter()
        .map(|(path, cost)| format!("{path} {}", cost.nanoseconds / 1000));
    let folded: Vec<String> = folded.collect();
    written("profile.folded", folded.join("\n").as_bytes())?;
    let mut options = inferno::flamegraph::Options::default();
    options.title = format!("{} {}s", count.0, count.1);
    options.count_name = "microseconds".into();
    let mut graph = Vec::new();
    inferno::flamegraph::from_lines(&mut options, folded.iter().map(String::as_str), &mut graph)
        .map_err(|e| Failure::Internal(anyhow::Error::new(e)))?;
    written("profile.svg", &graph)
}

/// A part of a step that is no operation of libtorch, until this is dropped.
#[derive(Debug)]
pub struct Part(());

impl Part {
    /// Begins; costs nothing where nothing is recorded.
    #[must_use]
    pub fn new(name: &'static std::ffi::CStr) -> Self {
        recording::enter(name);
        Self(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        recording::leave();
    }
}

fn synchronize(arithmetic: &Arithmetic) {
    if arithmetic.on_gpu() {
        tch::Cuda::synchronize(0);
    }
}

fn parse(recorded: &str) -> Vec<(String, Cost)> {
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let path = fields.next()?.replace("autograd::engine::evaluate_function: ", "");
        Some((
            path,
            Cost {
                calls: fields.next()?.parse().ok()?,
                nanoseconds: fields.next()?.parse().ok()?,
                operations: fields.next()?.parse().ok()?,
            },
        ))
    };
    let mut all: Vec<_> = recorded.lines().filter_map(line).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// Operations with what they took themselves, the most expensive first.
fn table(paths: &[(String, Cost)], (count, one): Count, seconds: f64, ceiling: f64) -> String {
    let mut by_name: HashMap<(&str, &str), Cost> = HashMap::new();
    for (path, cost) in paths {
        let part = path.split(';').next().unwrap_or(path);
        let sum = by_name
            .entry((part, path.rsplit(';').next().unwrap_or(path)))
            .or_default();
        sum.calls += cost.calls;
        sum.nanoseconds += cost.nanoseconds;
        sum.operations += cost.operations;
    }
    let mut rows: Vec<_> = by_name.into_iter().collect();
    rows.sort_by(|(a, one), (b, other)| other.nanoseconds.cmp(&one.nanoseconds).then(a.cmp(b)));
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6 / count as f64;
    let operations: f64 = rows.iter().map(|(_, cost)| cost.operations).sum();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{count} {one}s of {:.1} ms (recording included); matrix products {:.1} GFLOP a {one}, {:.0} GFLOP/s, {:.0} % of \
         the {:.0} GFLOP/s of a product of 2048 x 2048 matrices here.\n",
        seconds * 1e3 / count as f64,
        operations / 1e9 / count as f64,
        operations / 1e9 / seconds,
        operations / 1e7 / seconds / ceiling,
        ceiling,
    );
    let _ = writeln!(
        text,
        "| part | operation | calls a {one} | ms a {one} | share | GFLOP/s |\n|---|---|---|---|---|---|"
    );
    for ((part, name), cost) in rows.iter().take(SHOWN) {
        let rate = match cost.operations > 0.0 {
            true => format!("{:.0}", cost.operations / cost.nanoseconds as f64),
            false => String::new(),
        };
        let _ = writeln!(
            text,
            "| {part} | {name} | {:.1} | {:.2} | {:.1} % | {rate} |",
            cost.calls as f64 / count as f64,
            milliseconds(cost.nanoseconds),
            cost.nanoseconds as f64 / 1e7 / seconds,
        );
    }
    text
}

/// GFLOP/s of a product of large matrices here and now: the best of some.
fn ceiling(arithmetic: &Arithmetic) -> f64 {
    const SIZE: i64 = 2048;
    let square = || Tensor::randn([SIZE, SIZE], (Kind::Float, arithmetic.device)).to_kind(arithmetic.kind);
    let (one, other) = no_grad(|| (square(), square()));
    let rate = |_| {
        let started = Instant::now();
        let _ = no_grad(|| one.matmul(&other));
        synchronize(arithmetic);
        2.0 * (SIZE as f64).powi(3) / 1e9 / started.elapsed().as_secs_f64()
    };
    (0..10).map(rate).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_one_name_are_added_up_within_their_part() {
        let recorded = "forward;aten::linear;aten::addmm\t4\t3000000\t6000000\nforward;aten::addmm\t2\t1000000\t2000000\n\
                        backward;aten::mm\t2\t9000000\t0\n";
        let text = table(&parse(recorded), (2, "step"), 0.02, 100.0);
        assert!(
            text.contains("| backward | aten::mm | 1.0 | 4.50 | 45.0 % |  |"),
            "{text}"
        );
        assert!(
            text.contains("| forward | aten::addmm | 3.0 | 2.00 | 20.0 % | 2 |"),
            "{text}"
        );
        assert!(text.find("backward") < text.find("| forward"), "{text}");
    }
}
