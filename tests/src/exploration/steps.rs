//! From one state of the world to every next one.

use super::Configuration;
use super::intern::WordMap;
use super::invariants::{Invariant, View, Violation};
use super::objects::{Answer, Operation};
use super::port::{SharedTables, lock};
use super::program::Program;
use super::replay::{Pending, Replay};
use super::world::{Place, Step, World, claim_of};
use shared::ledger::Status;
use shared::store::Conflict;
use std::sync::Arc;

/// The actors of one exploration.
pub struct Steps {
    pub(super) configuration: Configuration,
    /// Keys, bytes, stores.
    pub tables: SharedTables,
    /// Programs.
    pub replay: Replay,
    /// A program that ended as none may.
    pub failure: Option<Violation>,
    views: WordMap<u32, Arc<View>>,
    applied: WordMap<(u32, u32), (u32, u32)>,
    pub(super) unknown: u32,
}

impl Steps {
    /// The actors before anything has happened.
    pub fn new(configuration: Configuration) -> anyhow::Result<Self> {
        let tables = SharedTables::default();
        let replay = Replay::new(tables.clone(), configuration.without, configuration.deterministic)?;
        let unknown = lock(&tables).answers.id(Answer::Conflict(Conflict::Unknown));
        Ok(Self {
            configuration,
            tables,
            replay,
            failure: None,
            views: WordMap::default(),
            applied: WordMap::default(),
            unknown,
        })
    }

    /// The first state.
    pub fn first(&self) -> World {
        World::new(lock(&self.tables).contents.id(Vec::new()), self.configuration.faults)
    }

    /// A store as the invariants see it.
    pub fn view(&mut self, content: u32) -> Arc<View> {
        let (tables, jobs) = (&self.tables, self.configuration.jobs);
        self.views
            .entry(content)
            .or_insert_with(|| Arc::new(View::new(&mut lock(tables), content, jobs)))
            .clone()
    }

    /// Every step that the world can take, and the world after it.
    pub fn successors(&mut self, world: &World) -> Vec<(Step, World)> {
        let mut out = Vec::with_capacity(16);
        let view = self.view(world.content);
        for job in 0..self.configuration.jobs {
            self.dispatch(world, job, &view, &mut out);
            self.ring(world, job, &view, &mut out);
            self.look_after(world, job, &view, &mut out);
        }
        self.sweep(world, &mut out);
        self.deliver_late(world, &mut out);
        for worker in 0..self.configuration.workers {
            self.kill(world, worker, &mut out);
            self.work(world, worker, &view, &mut out);
        }
        out
    }

    /// Puts a worker where its program has brought it: to the next operation, or by the table of what to do with a
    /// state to the next program.
    pub(super) fn enter(&mut self, world: World, worker: u8, job: u8, mut node: u32) -> World {
        loop {
            let program = self.replay.program(node);
            let next = match self.replay.pending(node) {
                Pending::Operation(operation) => match self.unchanging(world.content, operation) {
                    Some(answer) => {
                        node = self.replay.answer(node, answer);
                        continue;
                    }
                    None => return world.with_worker(worker, Place::Inside { job, node }),
                },
                Pending::Seen(snapshot) => match self.replay.snapshot(snapshot).state.status {
                    Status::Queued | Status::Publishing => Program::Claim {
                        slot: worker,
                        job,
                        from: snapshot,
                    },
                    Status::Running => return world.with_worker(worker, Place::Refused { job, snapshot }),
                    _ => return world.with_worker(worker, Place::Done { job }),
                },
                Pending::Owned(claim) => match self.replay.snapshot(claim).state.status {
                    Status::Publishing => Program::Roll {
                        slot: worker,
                        job,
                        claim,
                    },
                    _ => return world.with_worker(worker, Place::Training { job, claim }),
                },
                Pending::Staged(decision) => {
                    let claim = claim_of(program).expect("only an owner stages");
                    Program::Decide {
                        slot: worker,
                        job,
                        claim,
                        decision,
                    }
                }
                Pending::Again => Program::Look { job },
                // The place is as it is before: what comes back is the message in hand.
                Pending::Returned => return world.with_worker(worker, Place::Done { job }).with_message_back(worker),
                Pending::Ended => return world.with_worker(worker, Place::Done { job }),
                Pending::Broken(text) => {
                    let text = self.replay.broken.get(text).clone();
                    self.failure = Some(Violation {
                        invariant: Invariant::I7,
                        text,
                    });
                    return world.with_worker(worker, Place::Done { job });
                }
            };
            node = self.replay.start(next);
        }
    }

    /// The answer to a read of what is written once and never deleted, and is there: no step of anybody changes it
    /// or is changed by it, so nothing is lost by reading at once (a partial-order reduction).
    fn unchanging(&mut self, content: u32, operation: u32) -> Option<u32> {
        {
            let tables = lock(&self.tables);
            let (Operation::Get(key) | Operation::Digest(key)) = *tables.operations.get(operation) else {
                return None;
            };
            let name = tables.keys.get(key);
            let is_lasting = name.starts_with("root/") || name.starts_with("trainyard/versions/");
            if !is_lasting || !tables.contents.get(content).iter().any(|row| row.0 == key) {
                return None;
            }
        }
        Some(self.apply(content, operation).1)
    }

    /// Whether a living worker (but `except`) works under this token.
    pub(super) fn is_owned(&self, world: &World, job: u8, token: u64, except: Option<u8>) -> bool {
        let holds = |place: &Place| {
            let claim = match *place {
                Place::Training { job: of, claim } if of == job => Some(claim),
                Place::Inside { job: of, node } if of == job => claim_of(self.replay.program(node)),
                _ => None,
            };
            claim.is_some_and(|claim| self.replay.snapshot(claim).state.token == token)
        };
        world
            .workers
            .iter()
            .enumerate()
            .any(|(worker, place)| except.map(usize::from) != Some(worker) && holds(place))
    }

    /// Runs a program without interruption; the store after it.
    pub(super) fn run(&mut self, program: Program, mut content: u32) -> u32 {
        let mut node = self.replay.start(program);
        while let Pending::Operation(operation) = self.replay.pending(node) {
            let (after, answer) = self.apply(content, operation);
            content = after;
            node = self.replay.answer(node, answer);
        }
        if let Pending::Broken(text) = self.replay.pending(node) {
            let text = self.replay.broken.get(text).clone();
            self.failure = Some(Violation {
                invariant: Invariant::I7,
                text,
            });
        }
        content
    }

    /// The first write of a program, before which it only reads.
    pub(super) fn first_write(&mut self, program: Program, content: u32) -> Option<u32> {
        let mut node = self.replay.start(program);
        while let Pending::Operation(operation) = self.replay.pending(node) {
            if lock(&self.tables).operations.get(operation).is_conditional_write() {
                return Some(operation);
            }
            let (_, answer) = self.apply(content, operation);
            node = self.replay.answer(node, answer);
        }
        None
    }

    /// The number of a job's state as a snapshot.
    pub(super) fn read(&mut self, job: u8, content: u32) -> Option<u32> {
        let mut node = self.replay.start(Program::Look { job });
        while let Pending::Operation(operation) = self.replay.pending(node) {
            let (_, answer) = self.apply(content, operation);
            node = self.replay.answer(node, answer);
        }
        match self.replay.pending(node) {
            Pending::Seen(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    pub(super) fn apply(&mut self, content: u32, operation: u32) -> (u32, u32) {
        let tables = &self.tables;
        *self
            .applied
            .entry((content, operation))
            .or_insert_with(|| lock(tables).apply(content, operation))
    }
}
