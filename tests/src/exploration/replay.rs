//! Programs as automata: after the same answers a program always waits for the same operation, so each history of
//! answers is run once and remembered.

use super::Rule;
use super::intern::{Interner, WordMap};
use super::objects::Answer;
use super::port::{Port, PortStore, SharedTables, lock};
use super::program::{Finished, Program, Subject, job_id, run};
use shared::ledger::{Decision, Snapshot};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

/// What a program waits for, or came to; numbers stand for operations, snapshots, decisions and texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as Finished is")]
pub enum Pending {
    Operation(u32),
    Seen(u32),
    Owned(u32),
    Staged(u32),
    Returned,
    Ended,
    Again,
    Broken(u32),
}

struct Node {
    program: Program,
    parent: Option<(u32, u32)>,
    pending: Pending,
}

struct Live {
    future: Pin<Box<dyn Future<Output = Finished> + Send>>,
    port: Arc<Mutex<Port>>,
}

/// All histories of one exploration.
pub struct Replay {
    tables: SharedTables,
    without: Option<Rule>,
    deterministic: bool,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    nodes: Vec<Node>,
    roots: WordMap<Program, u32>,
    children: WordMap<(u32, u32), u32>,
    live: WordMap<u32, Live>,
    snapshot_ids: Interner<String>,
    snapshots: Vec<Snapshot>,
    decision_ids: Interner<String>,
    decisions: Vec<Decision>,
    /// Texts of what must never happen.
    pub broken: Interner<String>,
}

impl Replay {
    /// Nothing has run yet. Trainings of a job give the same bytes if `deterministic`.
    pub fn new(tables: SharedTables, without: Option<Rule>, deterministic: bool) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        Ok(Self {
            tables,
            without,
            deterministic,
            runtime,
            folder: tempfile::tempdir()?,
            nodes: Vec::new(),
            roots: WordMap::default(),
            children: WordMap::default(),
            live: WordMap::default(),
            snapshot_ids: Interner::default(),
            snapshots: Vec::new(),
            decision_ids: Interner::default(),
            decisions: Vec::new(),
            broken: Interner::default(),
        })
    }

    /// A program before its first answer.
    pub fn start(&mut self, program: Program) -> u32 {
        if let Some(node) = self.roots.get(&program) {
            return *node;
        }
        let mut live = self.launch(program);
        let pending = self.advance(&mut live);
        let node = self.add(
            Node {
                program,
                parent: None,
                pending,
            },
            live,
        );
        self.roots.insert(program, node);
        node
    }

    /// The same program after one more answer.
    pub fn answer(&mut self, node: u32, answer: u32) -> u32 {
        if let Some(child) = self.children.get(&(node, answer)) {
            return *child;
        }
        let program = self.nodes[node as usize].program;
        let mut live = match self.live.remove(&node) {
            Some(live) => live,
            None => self.relive(node),
        };
        let pending = self.feed(&mut live, answer);
        let child = self.add(
            Node {
                program,
                parent: Some((node, answer)),
                pending,
            },
            live,
        );
        self.children.insert((node, answer), child);
        child
    }

    /// What the program waits for.
    pub fn pending(&self, node: u32) -> Pending {
        self.nodes[node as usize].pending
    }

    /// Which program it is.
    pub fn program(&self, node: u32) -> Program {
        self.nodes[node as usize].program
    }

    /// A snapshot by its number.
    pub fn snapshot(&self, id: u32) -> &Snapshot {
        &self.snapshots[id as usize]
    }

    /// The number of a snapshot.
    pub fn snapshot_id(&mut self, snapshot: Snapshot) -> u32 {
        let text = serde_json::to_string(&snapshot.state).expect("a state is JSON");
        let id = self.snapshot_ids.id(format!("{:?} {text}", snapshot.etag));
        if self.snapshots.len() == id as usize {
            self.snapshots.push(snapshot);
        }
        id
    }

    /// How many histories there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing has run.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn add(&mut self, node: Node, live: Live) -> u32 {
        let id = u32::try_from(self.nodes.len()).expect("fewer than 2^32 histories");
        if matches!(node.pending, Pending::Operation(_)) {
            self.live.insert(id, live);
        }
        self.nodes.push(node);
        id
    }

    fn relive(&mut self, node: u32) -> Live {
        let mut answers = Vec::new();
        let mut at = node;
        while let Some((parent, answer)) = self.nodes[at as usize].parent {
            answers.push(answer);
            at = parent;
        }
        let mut live = self.launch(self.nodes[node as usize].program);
        self.advance(&mut live);
        for answer in answers.into_iter().rev() {
            self.feed(&mut live, answer);
        }
        live
    }

    fn launch(&self, program: Program) -> Live {
        let port = Arc::new(Mutex::new(Port::default()));
        let store = PortStore {
            port: port.clone(),
            tables: self.tables.clone(),
            without: self.without,
            turn: Arc::default(),
        };
        let (job, from, decision) = match program {
            Program::Claim { job, from, .. } | Program::Clean { job, from } => (job, Some(from), None),
            Program::Stage { job, claim, .. }
            | Program::Retry { job, claim, .. }
            | Program::Fail { job, claim, .. }
            | Program::Roll { job, claim, .. } => (job, Some(claim), None),
            Program::Decide {
                job, claim, decision, ..
            } => (job, Some(claim), Some(decision)),
            Program::Look { job }
            | Program::Cancel { job }
            | Program::Reopen { job }
            | Program::Expire { job }
            | Program::Renew { job } => (job, None, None),
        };
        let from = from.map(|id| self.snapshot(id).clone());
        let token = from.as_ref().map_or(0, |from| from.state.token);
        let subject = Subject {
            store,
            id: job_id(job),
            from,
            decision: decision.map(|id| self.decisions[id as usize].clone()),
            trained: self.train(job, if self.deterministic { 1 } else { token }),
            without: self.without,
        };
        Live {
            future: Box::pin(run(program, subject)),
            port,
        }
    }

    /// What a claim's training gives: a small file of its own.
    fn train(&self, job: u8, run: u64) -> std::path::PathBuf {
        let path = self.folder.path().join(format!("{job}-{run}"));
        if !path.exists() {
            std::fs::write(&path, format!("weights of job {job} by {run}")).expect("a temporary folder is writable");
        }
        path
    }

    fn feed(&mut self, live: &mut Live, answer: u32) -> Pending {
        let answer: Answer = lock(&self.tables).answers.get(answer).clone();
        let mut port = lock(&live.port);
        port.answer = Some(answer);
        if let Some(waker) = port.waker.take() {
            waker.wake();
        }
        drop(port);
        self.advance(live)
    }

    fn advance(&mut self, live: &mut Live) -> Pending {
        let Live { future, port } = live;
        let reached = self
            .runtime
            .block_on(std::future::poll_fn(|context| match future.as_mut().poll(context) {
                Poll::Ready(finished) => Poll::Ready(Err(finished)),
                Poll::Pending => match lock(port).request.take() {
                    Some(operation) => Poll::Ready(Ok(operation)),
                    None => Poll::Pending,
                },
            }));
        match reached {
            Ok(operation) => Pending::Operation(lock(&self.tables).operations.id(operation)),
            Err(Finished::Seen(snapshot)) => Pending::Seen(self.snapshot_id(snapshot)),
            Err(Finished::Owned(snapshot)) => Pending::Owned(self.snapshot_id(snapshot)),
            Err(Finished::Staged(decision)) => Pending::Staged(self.decision_id(decision)),
            Err(Finished::Returned) => Pending::Returned,
            Err(Finished::Ended) => Pending::Ended,
            Err(Finished::Again) => Pending::Again,
            Err(Finished::Broken(text)) => Pending::Broken(self.broken.id(text)),
        }
    }

    fn decision_id(&mut self, decision: Decision) -> u32 {
        let id = self
            .decision_ids
            .id(serde_json::to_string(&decision).expect("a decision is JSON"));
        if self.decisions.len() == id as usize {
            self.decisions.push(decision);
        }
        id
    }
}
