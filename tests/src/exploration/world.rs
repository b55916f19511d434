//! A state of the world, and the steps that the world can take.

use super::Faults;
use super::program::Program;

/// Where one worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the fields are the job and numbers of snapshots and histories"
)]
pub enum Place {
    /// It waits for a message.
    Idle,
    /// It has read that another owns the job.
    Refused { job: u8, snapshot: u32 },
    /// It owns the job, and trains.
    Training { job: u8, claim: u32 },
    /// A program of it waits for a store operation.
    Inside { job: u8, node: u32 },
    /// It is done and has the message still.
    Done { job: u8 },
}

/// Everything that decides what can happen next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The store.
    pub content: u32,
    /// Messages that wait, by job; two at most, since more change nothing.
    pub queue: [u8; 2],
    /// Jobs whose record exists.
    pub recorded: [bool; 2],
    /// Jobs whose message the dispatcher is about to send.
    pub to_send: [bool; 2],
    /// Workers; those beyond the configuration's number stay idle.
    pub workers: [Place; 3],
    /// The sweeper's program.
    pub sweeper: Option<u32>,
    /// An operation whose sender has given up on it.
    pub late: Option<u32>,
    /// What is left of the faults.
    pub faults: Faults,
}

impl World {
    /// Nothing has happened.
    pub fn new(content: u32, faults: Faults) -> Self {
        Self {
            content,
            queue: [0; 2],
            recorded: [false; 2],
            to_send: [false; 2],
            workers: [Place::Idle; 3],
            sweeper: None,
            late: None,
            faults,
        }
    }

    /// The world with one more message.
    pub fn with_message(mut self, job: u8) -> Self {
        let queue = &mut self.queue[usize::from(job)];
        *queue = (*queue + 1).min(2);
        self
    }

    /// The world with a worker elsewhere.
    pub fn with_worker(mut self, worker: u8, place: Place) -> Self {
        self.workers[usize::from(worker)] = place;
        self
    }

    /// The world after a worker let go of its message, which comes back.
    pub fn with_message_back(self, worker: u8) -> Self {
        match self.workers[usize::from(worker)].job() {
            Some(job) => self.with_message(job).with_worker(worker, Place::Idle),
            None => self,
        }
    }

    /// The world with one fault less, if there is one left.
    pub fn spend(&self, fault: impl Fn(&mut Faults) -> &mut u8) -> Option<Self> {
        let mut world = self.clone();
        let left = fault(&mut world.faults);
        *left = left.checked_sub(1)?;
        Some(world)
    }

    /// Whether any worker has a message of the job in hand.
    pub fn is_in_hand(&self, job: u8) -> bool {
        self.workers.iter().any(|place| place.job() == Some(job))
    }
}

impl Place {
    /// Whose message it has in hand.
    pub fn job(self) -> Option<u8> {
        match self {
            Self::Idle => None,
            Self::Refused { job, .. } | Self::Training { job, .. } | Self::Inside { job, .. } | Self::Done { job } => {
                Some(job)
            }
        }
    }
}

/// The claim under which a program works.
pub fn claim_of(program: Program) -> Option<u32> {
    match program {
        Program::Stage { claim, .. }
        | Program::Decide { claim, .. }
        | Program::Retry { claim, .. }
        | Program::Fail { claim, .. }
        | Program::Roll { claim, .. } => Some(claim),
        _ => None,
    }
}

/// One step; `worker` and `job` are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what happens")]
pub enum Step {
    Record { job: u8 },
    Send { job: u8 },
    DispatcherDies { job: u8 },
    Cancel { job: u8 },
    CancelLate { job: u8 },
    Reopen { job: u8 },
    Duplicate { job: u8 },
    Lose { job: u8 },
    Announce { job: u8 },
    Expire { job: u8 },
    SweepBegins { job: u8 },
    Sweep,
    SweeperStops,
    LateArrives,
    LateIsLost,
    Receive { worker: u8, job: u8 },
    GiveBack { worker: u8 },
    TakeOver { worker: u8 },
    Train { worker: u8 },
    TrainingKills { worker: u8 },
    TrainingFails { worker: u8 },
    TrainingIsRetried { worker: u8 },
    Operate { worker: u8 },
    OperateAnswerLost { worker: u8 },
    OperateLate { worker: u8 },
    Renew { worker: u8 },
    Acknowledge { worker: u8 },
    AcknowledgeLost { worker: u8 },
    Killed { worker: u8 },
}
