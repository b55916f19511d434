//! Bars: one for every stage of every job, with rate and time left; ended stages stay above.

use super::{activity, measured};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shared::job::{Job, JobId};
use shared::ledger::State;
use std::collections::HashMap;
use std::time::Duration;

/// Spinners turn so often.
const TICK: Duration = Duration::from_millis(120);

/// The bars on the terminal.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    current: HashMap<JobId, Current>,
}

#[derive(Debug)]
struct Current {
    activity: String,
    token: u64,
    /// A bar; otherwise a spinner.
    measured: bool,
    bar: ProgressBar,
}

impl Bars {
    pub(super) fn show(&mut self, job: &Job, state: &State, id: &JobId) {
        let activity = activity(state);
        let same = |current: &Current| {
            current.activity == activity
                && current.token == state.token
                && current.measured == measured(state).is_some()
        };
        if !self.current.get(id).is_some_and(same) {
            self.begin(job, state, id, activity);
        }
        let Some(current) = self.current.get(id) else { return };
        match measured(state) {
            Some(progress) => {
                current.bar.set_length(progress.of);
                current.bar.set_position(progress.step);
                let loss = progress.loss.map(|loss| format!("loss {loss:.4} "));
                let rate = progress.samples_per_second.map(|rate| format!("{rate:.1} samples/s"));
                current
                    .bar
                    .set_message(format!("{}{}", loss.unwrap_or_default(), rate.unwrap_or_default()));
            }
            None if state.status.is_terminal() => {
                let version = state.version.map(|n| format!("{}-{n}", job.content.target.model));
                let message = version.or_else(|| state.cause.clone()).unwrap_or_default();
                // A cause may have many lines; the table after the bars has all of it.
                current
                    .bar
                    .finish_with_message(message.lines().next().unwrap_or_default().to_owned());
            }
            None => {}
        }
    }

    fn begin(&mut self, job: &Job, state: &State, id: &JobId, activity: String) {
        if let Some(before) = self.current.remove(id) {
            // What is done is done, whatever the last report said; what was taken over is not.
            if before.token == state.token && !state.status.is_terminal() {
                before.bar.set_position(before.bar.length().unwrap_or_default());
            }
            before.bar.finish();
        }
        let measured = measured(state).is_some();
        let bar = self.all.add(if measured {
            ProgressBar::new(0)
        } else {
            ProgressBar::new_spinner()
        });
        bar.set_style(style(measured));
        bar.set_prefix(format!("{:<12} {activity:<22}", job.content.project));
        if !measured && !state.status.is_terminal() {
            bar.enable_steady_tick(TICK);
        }
        let token = state.token;
        self.current.insert(
            id.clone(),
            Current {
                activity,
                measured,
                token,
                bar,
            },
        );
    }

    pub(super) fn note(&mut self, text: &str) {
        // Only a closed terminal refuses a line, and then nobody misses it.
        let _ = self.all.println(text);
    }

    pub(super) fn finish(&mut self) {
        for current in self.current.values() {
            if !current.bar.is_finished() {
                current.bar.abandon();
            }
        }
    }
}

fn style(measured: bool) -> ProgressStyle {
    let template = if measured {
        "{prefix} [{bar:30}] {pos}/{len} {per_sec} {eta} left {msg}"
    } else {
        "{prefix} {spinner} {elapsed} {msg}"
    };
    // The templates are fixed and right, which the test below proves; a wrong one must not end a wait.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use indicatif::{ProgressDrawTarget, TermLike};
    use shared::ledger::{Progress, Status};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps all that was ever written on it.
    #[derive(Debug, Clone, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            160
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stage_has_a_bar_and_the_end_its_version() {
        let terminal = Paper::default();
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let mut bars = Bars {
            all,
            current: HashMap::new(),
        };
        let job = fixture::job("sentiment", "t1");
        let mut state = State {
            status: Status::Running,
            token: 1,
            progress: Some(Progress {
                pipeline: "main".into(),
                phase: "train".into(),
                step: 40,
                of: 100,
                loss: Some(0.25),
                samples_per_second: Some(12.0),
            }),
            ..State::first()
        };
        bars.show(&job, &state, &job.id());
        bars.note("a note");
        let shown = terminal.text();
        assert!(
            shown.contains("40/100") && shown.contains("loss 0.2500 12.0 samples/s"),
            "{shown}"
        );
        assert!(shown.contains("left") && shown.contains("a note"), "{shown}");
        state.status = Status::Registered;
        state.version = Some(2);
        bars.show(&job, &state, &job.id());
        bars.finish();
        let shown = terminal.text();
        assert!(shown.contains(&format!("{}-2", job.content.target.model)), "{shown}");
    }
}
