//! What happens around the workers: dispatcher, queue, sweeper, and requests that arrive late.

use super::Rule;
use super::invariants::View;
use super::program::Program;
use super::replay::Pending;
use super::steps::Steps;
use super::world::{Step, World};
use shared::ledger::Status;

impl Steps {
    pub(super) fn dispatch(&mut self, world: &World, job: u8, view: &View, out: &mut Vec<(Step, World)>) {
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
    pub(super) fn ring(&mut self, world: &World, job: u8, view: &View, out: &mut Vec<(Step, World)>) {
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

    pub(super) fn look_after(&mut self, world: &World, job: u8, view: &View, out: &mut Vec<(Step, World)>) {
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
        if state.status.is_terminal()
            && world.sweeper.is_none()
            && view.staged[usize::from(job)]
            && let Some(from) = self.read(job, world.content)
        {
            let node = self.replay.start(Program::Clean { job, from });
            let next = World {
                sweeper: Some(node),
                ..world.clone()
            };
            out.push((Step::SweepBegins { job }, next));
        }
    }

    pub(super) fn sweep(&mut self, world: &World, out: &mut Vec<(Step, World)>) {
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

    pub(super) fn deliver_late(&mut self, world: &World, out: &mut Vec<(Step, World)>) {
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
}
