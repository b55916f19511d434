//! From one state of the world to every next one.

use super::intern::WordMap;
use super::invariants::{Invariant, View, Violation};
use super::objects::{Answer, Operation, Tables};
use super::port::{SharedTables, lock};
use super::program::Program;
use super::replay::{Pending, Replay};
use super::world::{Place, Step, World, claim_of};
use super::{Configuration, Rule};
use bytes::Bytes;
use shared::ledger::Status;
use shared::store::Conflict;
use std::sync::Arc;

/// The actors of one exploration.
pub struct Steps {
    configuration: Configuration,
    /// Keys, bytes, stores.
    pub tables: SharedTables,
    /// Programs.
    pub replay: Replay,
    /// A program that ended as none may.
    pub failure: Option<Violation>,
    views: WordMap<u32, Arc<View>>,
    applied: WordMap<(u32, u32), (u32, u32)>,
    unknown: u32,
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

    fn dispatch(&mut self, world: &World, job: u8, view: &View, out: &mut Vec<(Step, World)>) {
        let at = usize::from(job);
        let status = view.states[at].status;
        if !world.recorded[at] {
            let mut next = world.clone();
            (next.recorded[at], next.to_send[at]) = (true, true);
            out.push((Step::Record { job }, next));
            return;
        }
        if world.to_send[at] {
            let mut next = world.clone();
            next.to_send[at] = false;
            if let Some(dead) = next.spend(|faults| &mut faults.crash) {
                out.push((Step::DispatcherDies { job }, dead));
            }
            out.push((Step::Send { job }, next.with_message(job)));
        }
        let cancellable = matches!(status, Status::Queued | Status::Running)
            || (status == Status::Publishing && self.configuration.without == Some(Rule::DecidedJobsAreNotCancelled));
        if let Some(mut next) = world.spend(|faults| &mut faults.cancel).filter(|_| cancellable) {
            if let Some(mut late) = next.spend(|faults| &mut faults.late).filter(|_| world.late.is_none()) {
                late.late = self.first_write(Program::Cancel { job }, world.content);
                out.push((Step::CancelLate { job }, late));
            }
            next.content = self.run(Program::Cancel { job }, world.content);
            out.push((Step::Cancel { job }, next));
        }
        let reopenable = matches!(status, Status::Failed | Status::Cancelled);
        if let Some(mut next) = world.spend(|faults| &mut faults.reopen).filter(|_| reopenable) {
            next.content = self.run(Program::Reopen { job }, world.content);
            out.push((Step::Reopen { job }, next));
        }
    }

    /// The queue's own doings, and the sweeper's announcements.
    fn ring(&mut self, world: &World, job: u8, view: &View, out: &mut Vec<(Step, World)>) {
        let at = usize::from(job);
        let waiting = world.queue[at];
        if let Some(next) = world.spend(|faults| &mut faults.duplicate).filter(|_| waiting == 1) {
            out.push((Step::Duplicate { job }, next.with_message(job)));
        }
        if let Some(mut next) = world.spend(|faults| &mut faults.drop).filter(|_| waiting > 0) {
            next.queue[at] -= 1;
            out.push((Step::Lose { job }, next));
        }
        let forgotten = world.recorded[at] && waiting == 0 && !world.to_send[at] && !world.is_in_hand(job);
        if forgotten && !view.states[at].status.is_terminal() {
            out.push((Step::Announce { job }, world.clone().with_message(job)));
        }
    }

    fn look_after(&mut self, world: &World, job: u8, view: &View, out: &mut Vec<(Step, World)>) {
        let state = &view.states[usize::from(job)];
        if state.status == Status::Running {
            let next = match self.is_owned(world, job, state.token, None) {
                true => world.spend(|faults| &mut faults.steal),
                false => Some(world.clone()),
            };
            if let Some(mut next) = next {
                next.content = self.run(Program::Expire { job }, world.content);
                out.push((Step::Expire { job }, next));
            }
        }
        if state.status.is_terminal() && world.sweeper.is_none() && view.staged[usize::from(job)] {
            if let Some(from) = self.read(job, world.content) {
                let node = self.replay.start(Program::Clean { job, from });
                out.push((
                    Step::SweepBegins { job },
                    World {
                        sweeper: Some(node),
                        ..world.clone()
                    },
                ));
            }
        }
    }

    fn sweep(&mut self, world: &World, out: &mut Vec<(Step, World)>) {
        let Some(node) = world.sweeper else { return };
        out.push((
            Step::SweeperStops,
            World {
                sweeper: None,
                ..world.clone()
            },
        ));
        if let Pending::Operation(operation) = self.replay.pending(node) {
            let (content, answer) = self.apply(world.content, operation);
            let node = self.replay.answer(node, answer);
            let sweeper = matches!(self.replay.pending(node), Pending::Operation(_)).then_some(node);
            out.push((
                Step::Sweep,
                World {
                    content,
                    sweeper,
                    ..world.clone()
                },
            ));
        }
    }

    fn deliver_late(&mut self, world: &World, out: &mut Vec<(Step, World)>) {
        let Some(operation) = world.late else { return };
        let (content, _) = self.apply(world.content, operation);
        if content != world.content {
            out.push((
                Step::LateArrives,
                World {
                    content,
                    late: None,
                    ..world.clone()
                },
            ));
        }
        out.push((
            Step::LateIsLost,
            World {
                late: None,
                ..world.clone()
            },
        ));
    }

    fn kill(&mut self, world: &World, worker: u8, out: &mut Vec<(Step, World)>) {
        if world.workers[usize::from(worker)] == Place::Idle {
            return;
        }
        if let Some(next) = world.spend(|faults| &mut faults.crash) {
            out.push((Step::Killed { worker }, self.without_worker(next, worker)));
        }
    }

    /// The world after a worker's death: nobody is left who would recognise its writes.
    fn without_worker(&mut self, mut world: World, worker: u8) -> World {
        let mut tables = lock(&self.tables);
        let mut rows = tables.contents.get(world.content).clone();
        for row in &mut rows {
            row.1 = anonymous(&mut tables, row.1, worker);
        }
        world.content = tables.contents.id(rows);
        world.late = world.late.map(|late| {
            let operation = match tables.operations.get(late).clone() {
                Operation::PutNew(key, bytes) => Operation::PutNew(key, anonymous(&mut tables, bytes, worker)),
                Operation::Replace(key, etag, bytes) => {
                    Operation::Replace(key, etag, anonymous(&mut tables, bytes, worker))
                }
                other => other,
            };
            tables.operations.id(operation)
        });
        drop(tables);
        world.with_message_back(worker)
    }

    fn work(&mut self, world: &World, worker: u8, view: &View, out: &mut Vec<(Step, World)>) {
        match world.workers[usize::from(worker)] {
            Place::Idle => self.receive(world, worker, out),
            Place::Refused { job, snapshot } => self.retreat(world, worker, job, snapshot, out),
            Place::Training { job, claim } => self.train(world, worker, job, claim, out),
            Place::Inside { job, node } => {
                self.operate(world, worker, job, node, out);
                self.renew(world, worker, job, node, view, out);
            }
            Place::Done { .. } => {
                if let Some(next) = world.spend(|faults| &mut faults.lost) {
                    out.push((Step::AcknowledgeLost { worker }, next.with_message_back(worker)));
                }
                out.push((
                    Step::Acknowledge { worker },
                    world.clone().with_worker(worker, Place::Idle),
                ));
            }
        }
    }

    fn receive(&mut self, world: &World, worker: u8, out: &mut Vec<(Step, World)>) {
        for job in 0..self.configuration.jobs {
            if world.queue[usize::from(job)] > 0 {
                let mut next = world.clone();
                next.queue[usize::from(job)] -= 1;
                let node = self.replay.start(Program::Look { job });
                out.push((Step::Receive { worker, job }, self.enter(next, worker, job, node)));
            }
        }
    }

    /// Another owns the job, as far as this worker has read.
    fn retreat(&mut self, world: &World, worker: u8, job: u8, snapshot: u32, out: &mut Vec<(Step, World)>) {
        let token = self.replay.snapshot(snapshot).state.token;
        let alive = self.is_owned(world, job, token, Some(worker));
        let taker = if alive {
            world.spend(|faults| &mut faults.steal)
        } else {
            Some(world.clone())
        };
        if alive {
            out.push((Step::GiveBack { worker }, world.clone().with_message_back(worker)));
        }
        if let Some(next) = taker {
            let node = self.replay.start(Program::Claim {
                slot: worker,
                job,
                from: snapshot,
            });
            out.push((Step::TakeOver { worker }, self.enter(next, worker, job, node)));
        }
    }

    fn train(&mut self, world: &World, worker: u8, job: u8, claim: u32, out: &mut Vec<(Step, World)>) {
        if self.configuration.killer {
            out.push((
                Step::TrainingKills { worker },
                self.without_worker(world.clone(), worker),
            ));
            return;
        }
        let node = self.replay.start(Program::Stage {
            slot: worker,
            job,
            claim,
        });
        out.push((Step::Train { worker }, self.enter(world.clone(), worker, job, node)));
        if let Some(next) = world.spend(|faults| &mut faults.error) {
            let fail = self.replay.start(Program::Fail {
                slot: worker,
                job,
                claim,
            });
            out.push((
                Step::TrainingFails { worker },
                self.enter(next.clone(), worker, job, fail),
            ));
            let retry = self.replay.start(Program::Retry {
                slot: worker,
                job,
                claim,
            });
            out.push((Step::TrainingIsRetried { worker }, self.enter(next, worker, job, retry)));
        }
    }

    fn operate(&mut self, world: &World, worker: u8, job: u8, node: u32, out: &mut Vec<(Step, World)>) {
        let Pending::Operation(operation) = self.replay.pending(node) else {
            return;
        };
        let (content, answer) = self.apply(world.content, operation);
        let is_write = lock(&self.tables).operations.get(operation).is_conditional_write();
        let done = World {
            content,
            ..world.clone()
        };
        if let Some(lost) = done
            .spend(|faults| &mut faults.lost)
            .filter(|_| is_write && content != world.content)
        {
            out.push((
                Step::OperateAnswerLost { worker },
                self.proceed(lost, worker, job, node, self.unknown),
            ));
        }
        if let Some(mut late) = world
            .spend(|faults| &mut faults.late)
            .filter(|_| is_write && world.late.is_none())
        {
            late.late = Some(operation);
            out.push((
                Step::OperateLate { worker },
                self.proceed(late, worker, job, node, self.unknown),
            ));
        }
        out.push((Step::Operate { worker }, self.proceed(done, worker, job, node, answer)));
    }

    fn renew(&mut self, world: &World, worker: u8, job: u8, node: u32, view: &View, out: &mut Vec<(Step, World)>) {
        let state = &view.states[usize::from(job)];
        let at_work = matches!(state.status, Status::Running | Status::Publishing);
        let claim = claim_of(self.replay.program(node));
        if !at_work || claim.map(|claim| self.replay.snapshot(claim).state.token) != Some(state.token) {
            return;
        }
        if let Some(mut next) = world.spend(|faults| &mut faults.renew) {
            next.content = self.run(Program::Renew { job }, world.content);
            out.push((Step::Renew { worker }, next));
        }
    }

    fn proceed(&mut self, world: World, worker: u8, job: u8, node: u32, answer: u32) -> World {
        let node = self.replay.answer(node, answer);
        self.enter(world, worker, job, node)
    }

    /// Puts a worker where its program has brought it: to the next operation, or by the table of what to do with a
    /// state to the next program.
    fn enter(&mut self, world: World, worker: u8, job: u8, mut node: u32) -> World {
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
    fn is_owned(&self, world: &World, job: u8, token: u64, except: Option<u8>) -> bool {
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
    fn run(&mut self, program: Program, mut content: u32) -> u32 {
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
    fn first_write(&mut self, program: Program, content: u32) -> Option<u32> {
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
    fn read(&mut self, job: u8, content: u32) -> Option<u32> {
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

    fn apply(&mut self, content: u32, operation: u32) -> (u32, u32) {
        let tables = &self.tables;
        *self
            .applied
            .entry((content, operation))
            .or_insert_with(|| lock(tables).apply(content, operation))
    }
}

/// Bytes of a state without the name of a writer who is gone.
fn anonymous(tables: &mut Tables, bytes: u32, worker: u8) -> u32 {
    let text = tables.bytes.get(bytes);
    let mark = format!("\"write_id\":\"w{worker}@");
    let Some(start) = find(text, mark.as_bytes()) else {
        return bytes;
    };
    let value = start + "\"write_id\":\"".len();
    let Some(length) = text[value..].iter().position(|byte| *byte == b'"') else {
        return bytes;
    };
    let anonymous = [&text[..value], b"gone", &text[value + length..]].concat();
    tables.bytes.id(Bytes::from(anonymous))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
