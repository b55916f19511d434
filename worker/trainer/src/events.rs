//! What the trainer says on stdout: one JSON object a line.

use std::io::Write;
use std::time::{Duration, Instant};
use trainer_protocol::Event;

/// Writes events. A reader that went away is no reason to stop: the results lie in files.
pub struct Events {
    out: Box<dyn Write + Send>,
    loop_started: Option<Loop>,
}

#[derive(Debug)]
struct Loop {
    last: Instant,
    rows: u64,
    tokens: u64,
    loss: f64,
    losses: u64,
}

/// What one step, or one batch outside training, did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Steps or batches so far, of how many.
    pub step: u64,
    /// Of how many.
    pub of: u64,
    /// Rows of this one.
    pub rows: u64,
    /// Tokens without padding of this one.
    pub tokens: u64,
    /// Training only.
    pub loss: Option<f64>,
    /// Training only.
    pub rate: Option<f64>,
}

/// At most one progress line in this time.
const EVERY: Duration = Duration::from_millis(1000);

impl Events {
    /// To `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            loop_started: None,
        }
    }

    /// Says one event at once.
    pub fn say(&mut self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
        }
    }

    /// A loop begins, or goes on after something else took time.
    pub fn start_loop(&mut self) {
        self.loop_started = Some(Loop::new());
    }

    /// Counts a step; says `progress` once a second and at the last one.
    pub fn count(&mut self, phase: &str, done: Done) {
        let current = self.loop_started.get_or_insert_with(Loop::new);
        current.rows += done.rows;
        current.tokens += done.tokens;
        current.loss += done.loss.unwrap_or_default();
        current.losses += u64::from(done.loss.is_some());
        let elapsed = current.last.elapsed();
        if elapsed < EVERY && done.step != done.of {
            return;
        }
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let event = Event::Progress {
            phase: phase.to_owned(),
            step: done.step,
            of: done.of,
            loss: (current.losses > 0).then(|| current.loss / current.losses as f64),
            learning_rate: done.rate,
            samples_per_second: current.rows as f64 / seconds,
            tokens_per_second: current.tokens as f64 / seconds,
        };
        *current = Loop::new();
        self.say(&event);
    }
}

impl Loop {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            rows: 0,
            tokens: 0,
            loss: 0.0,
            losses: 0,
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("loop_started", &self.loop_started)
            .finish_non_exhaustive()
    }
}
