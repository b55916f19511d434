//! Writing a job's log.

use super::chunk_key;
use crate::job::JobId;
use crate::store::{Conflict, Store};
use crate::telemetry::Chain;
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
        line.push_str(&text[..cut_at(text, LINE_BYTES)]);
        line.push('\n');
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The last place at or below `limit` where `text` may be cut.
fn cut_at(text: &str, limit: usize) -> usize {
    let mut at = limit.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
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
                    tracing::warn!(job = %self.job, error = %Chain(&error), "a piece of the job's log was not written");
                    self.number -= 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, JobLog, LINE_BYTES, cut_at};
    use crate::joblog::JobLogReader;
    use crate::store::Store;
    use crate::store::memory::{Fault, MemoryStore, Operation};
    use std::sync::Arc;

    fn job() -> crate::job::JobId {
        "0123456789abcdef0123456789abcdef".parse().expect("a job id")
    }

    #[test]
    fn lines_are_cut_between_characters() {
        assert_eq!(cut_at("añb", 2), 1);
        assert_eq!(cut_at("añb", 3), 3);
        assert_eq!(cut_at("añb", 100), 4);
    }

    #[tokio::test]
    async fn what_is_written_is_read_in_order_over_all_claims() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut reader = JobLogReader::new(Arc::clone(&store), job());
        for token in [1, 10] {
            let (log, task) = JobLog::start(Arc::clone(&store), job(), token);
            log.line(&format!("claim {token}\n"));
            log.line(&"x".repeat(LINE_BYTES * 2));
            task.close().await;
            let text = reader.next().await.expect("a log");
            assert_eq!(text, format!("claim {token}\n{}\n", "x".repeat(LINE_BYTES)));
        }
        assert_eq!(reader.next().await.expect("a log"), "");
    }

    #[tokio::test]
    async fn a_full_chunk_is_written_at_once_and_a_failed_write_is_repeated() {
        let store = Arc::new(MemoryStore::new());
        store.inject(Operation::PutNew, "logs", Fault::LostReply);
        store.inject(Operation::PutNew, "logs", Fault::LostRequest);
        let (log, task) = JobLog::start(Arc::clone(&store) as Arc<dyn Store>, job(), 1);
        let line = "y".repeat(LINE_BYTES - 1);
        let lines = CHUNK_BYTES / LINE_BYTES + 1;
        for _ in 0..lines {
            log.line(&line);
        }
        task.close().await;
        assert_eq!(store.faults_left(), 0);
        let text = JobLogReader::new(store, job()).next().await.expect("a log");
        assert_eq!(text.len(), lines * LINE_BYTES);
    }
}
