//! What workers do, and what is done to them.

use super::invariants::View;
use super::objects::{Operation, Tables};
use super::port::lock;
use super::program::Program;
use super::replay::Pending;
use super::steps::Steps;
use super::world::{Place, Step, World, claim_of};
use bytes::Bytes;
use shared::ledger::Status;

impl Steps {
    pub(super) fn kill(&mut self, world: &World, worker: u8, out: &mut Vec<(Step, World)>) {
        if world.workers[usize::from(worker)] == Place::Idle {
            return;
        }
        if let Some(next) = world.spend(|faults| &mut faults.crash) {
            out.push((Step::Killed { worker }, self.without_worker(next, worker)));
        }
    }

    /// The world after a worker's death: nobody is left who would recognise its writes.
    pub(super) fn without_worker(&mut self, mut world: World, worker: u8) -> World {
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

    pub(super) fn work(&mut self, world: &World, worker: u8, view: &View, out: &mut Vec<(Step, World)>) {
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

    pub(super) fn receive(&mut self, world: &World, worker: u8, out: &mut Vec<(Step, World)>) {
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
    pub(super) fn retreat(&mut self, world: &World, worker: u8, job: u8, snapshot: u32, out: &mut Vec<(Step, World)>) {
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

    pub(super) fn train(&mut self, world: &World, worker: u8, job: u8, claim: u32, out: &mut Vec<(Step, World)>) {
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

    pub(super) fn operate(&mut self, world: &World, worker: u8, job: u8, node: u32, out: &mut Vec<(Step, World)>) {
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

    pub(super) fn renew(
        &mut self,
        world: &World,
        worker: u8,
        job: u8,
        node: u32,
        view: &View,
        out: &mut Vec<(Step, World)>,
    ) {
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

    pub(super) fn proceed(&mut self, world: World, worker: u8, job: u8, node: u32, answer: u32) -> World {
        let node = self.replay.answer(node, answer);
        self.enter(world, worker, job, node)
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
