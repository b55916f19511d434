//! Exit codes of a trainer (numbers of `sysexits.h` where it has one).

/// How a trainer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything in `--outputs` is complete.
    Done = 0,
    /// The user's data, model or settings are at fault; a repetition would end the same way.
    Data = 65,
    /// Out of memory, on the host or the device.
    OutOfMemory = 69,
    /// A defect of the trainer.
    Internal = 70,
    /// Told to stop; a checkpoint lies in `--checkpoints`.
    Interrupted = 75,
}

impl ExitCode {
    /// The code of a process that ended by itself; `None` for a number this protocol does not have.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        [
            Self::Done,
            Self::Data,
            Self::OutOfMemory,
            Self::Internal,
            Self::Interrupted,
        ]
        .into_iter()
        .find(|known| *known as i32 == code)
    }
}
