//! Writing a job's log.

use super::chunk_key;
use crate::job::JobId;
use crate::store::{Conflict, Store};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A chunk is written when it is this old …
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// … or this large, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// A longer line is cut, in bytes.
const LINE_BYTES: usize = 16 * 1024;
/// More text than this of one claim is dropped, in bytes.
const LOG_BYTES: usize = 32 * 1024 * 1024;
/// Lines that may wait for the store.
const WAITING_LINES: usize = 4096;
/// Attempts to write a chunk.
const ATTEMPTS: u32 = 3;

/// Where a claim's log lines go. Clones write to the same log; it is complete when [`JobLogTask::close`] returns.
#[derive(Debug, Clone)]
pub struct JobLog {
    lines: mpsc::Sender<String>,
    lost: Arc<AtomicU64>,
}

/// The task that writes; ends when every [`JobLog`] is dropped or [`JobLogTask::close`] is called.
#[derive(Debug)]
pub struct JobLogTask {
    task: JoinHandle<()>,
    close: tokio_util::sync::CancellationToken,
}

impl JobLogTask {
    /// Writes what is left and ends. Lines of clones that are still alive are ignored from now on.
    pub async fn close(self) {
        self.close.cancel();
        // A panic of the task would be reported by the runtime; the job does not depend on its log.
        let _ = self.task.await;
    }
}

impl JobLog {
    /// Begins the log of the claim `token` of a job. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, job: JobId, token: u64) -> (Self, JobLogTask) {
        let (lines, waiting) = mpsc::channel(WAITING_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let close = tokio_util::sync::CancellationToken::new();
        let chunks = Chunks {
            store,
            job,
            token,
            number: 0,
            written: 0,
            text: String::new(),
        };
        let task = tokio::spawn(write(chunks, waiting, Arc::clone(&lost), close.clone()));
        (Self { lines, lost }, JobLogTask { task, close })
    }

    /// Adds a line, without its line feed. Never waits: a line that finds no room is counted and dropped.
    pub fn line(&self, text: &str) {
        let text = text.trim_end_matches(['\r', '\n']);
        let mut line = String::with_capacity(text.len().min(LINE_BYTES) + 1);
        line.push_str(&text[..text.floor_char_boundary(LINE_BYTES)]);
        line.push('\n');
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn write(
    mut chunks: Chunks,
    mut waiting: mpsc::Receiver<String>,
    lost: Arc<AtomicU64>,
    close: tokio_util::sync::CancellationToken,
) {
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = close.cancelled() => waiting.close(),
            _ = flush.tick() => chunks.flush().await,
            line = waiting.recv() => match line {
                Some(line) => chunks.add(&line).await,
                None => break,
            },
        }
        if waiting.is_closed() {
            while let Some(line) = waiting.recv().await {
                chunks.add(&line).await;
            }
            break;
        }
        chunks.admit_loss(&lost);
    }
    chunks.admit_loss(&lost);
    chunks.flush().await;
}

/// Chunks of one claim, in order.
struct Chunks {
    store: Arc<dyn Store>,
    job: JobId,
    token: u64,
    number: u64,
    written: usize,
    text: String,
}

impl Chunks {
    async fn add(&mut self, line: &str) {
        if self.written >= LOG_BYTES {
            return;
        }
        self.written += line.len();
        self.text.push_str(line);
        if self.written >= LOG_BYTES {
            self.text
                .push_str("(the log of this attempt is full; what follows is dropped)\n");
        }
        if self.text.len() >= CHUNK_BYTES {
            self.flush().await;
        }
    }

    fn admit_loss(&mut self, lost: &AtomicU64) {
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.text
                .push_str(&format!("({count} lines were dropped: the store was too slow)\n"));
        }
    }

    async fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.text));
        for _ in 0..ATTEMPTS {
            self.number += 1;
            let Ok(key) = chunk_key(&self.job, self.token, self.number) else {
                return;
            };
            match self.store.put_new(&key, bytes.clone()).await {
                Ok(_) => return,
                // Only this claim writes here: an earlier attempt whose answer was lost has won.
                Err(error) if error.conflict() == Some(Conflict::Changed) => return,
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "a piece of the job's log was not written");
                    self.number -= 1;
                }
            }
        }
    }
}
