//! How a trainer process ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use trainer_protocol::{Cause, Event, ExitCode};

/// Characters of a trainer's message that are kept.
const MESSAGE: usize = 4000;

/// How a trainer process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainerEnd {
    /// Everything in its outputs is complete.
    Done,
    /// It gave up.
    Failed {
        /// Whose fault.
        cause: Cause,
        /// For people.
        message: String,
    },
    /// It was told to stop, and its checkpoint is complete.
    Interrupted,
    /// It was killed by a signal that the worker did not send, or ended in a way that the protocol does not have.
    Died {
        /// For people; names the signal or the code.
        message: String,
        /// The kernel killed it for want of memory.
        out_of_memory: bool,
    },
    /// The worker killed it.
    Killed,
}

/// What the worker did to end a trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing.
    Nothing,
    /// SIGTERM.
    Told,
    /// SIGKILL.
    Killed,
}

/// What a trainer said that bears on its end.
#[derive(Debug, Default)]
pub(super) struct Account {
    failed: Option<(Cause, String)>,
}

impl Account {
    pub(super) fn note(&mut self, event: &Event) {
        if let Event::Failed { cause, message } = event {
            self.failed = Some((*cause, message.chars().take(MESSAGE).collect()));
        }
    }

    /// `stop`: by the worker. `out_of_memory`: the kernel killed something for want of memory meanwhile.
    pub(super) fn end(self, status: ExitStatus, stop: Stop, out_of_memory: bool, last_words: &str) -> TrainerEnd {
        if stop == Stop::Killed {
            return TrainerEnd::Killed;
        }
        // Told before it could listen: it had nothing to save yet.
        if stop == Stop::Told && status.signal() == Some(libc::SIGTERM) {
            return TrainerEnd::Interrupted;
        }
        if let Some(signal) = status.signal() {
            return TrainerEnd::Died {
                message: with_last_words(&format!("the trainer was killed by {}", name(signal)), last_words),
                out_of_memory: out_of_memory && signal == libc::SIGKILL,
            };
        }
        let code = status.code().unwrap_or_default();
        let failed = |cause| {
            let said = self.failed.map(|(_, message)| message);
            let message = said.unwrap_or_else(|| {
                with_last_words(
                    &format!("the trainer ended with code {code} and gave no reason"),
                    last_words,
                )
            });
            TrainerEnd::Failed { cause, message }
        };
        match ExitCode::from_code(code) {
            Some(ExitCode::Done) => TrainerEnd::Done,
            Some(ExitCode::Interrupted) => TrainerEnd::Interrupted,
            Some(ExitCode::Data) => failed(Cause::User),
            Some(ExitCode::OutOfMemory) => failed(Cause::OutOfMemory),
            Some(ExitCode::Internal) => failed(Cause::Internal),
            None => TrainerEnd::Died {
                message: with_last_words(&format!("the trainer ended with the unknown code {code}"), last_words),
                out_of_memory: false,
            },
        }
    }
}

fn with_last_words(what: &str, last_words: &str) -> String {
    let words: String = last_words.trim().chars().take(500).collect();
    if words.is_empty() {
        what.to_owned()
    } else {
        format!("{what}; its last line was: {words}")
    }
}

fn name(signal: i32) -> String {
    let known = [
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGTERM, "SIGTERM"),
    ];
    let found = known.iter().find(|(number, _)| *number == signal);
    found.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Account, Stop, TrainerEnd};
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use trainer_protocol::{Cause, Event};

    fn code(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn end(status: ExitStatus) -> TrainerEnd {
        Account::default().end(status, Stop::Nothing, false, "")
    }

    #[test]
    fn every_code_of_the_protocol_has_its_end() {
        assert_eq!(end(code(0)), TrainerEnd::Done);
        assert_eq!(end(code(75)), TrainerEnd::Interrupted);
        for (number, expected) in [(65, Cause::User), (69, Cause::OutOfMemory), (70, Cause::Internal)] {
            assert!(
                matches!(end(code(number)), TrainerEnd::Failed { cause, .. } if cause == expected),
                "{number}"
            );
        }
        for number in [1, 2, 101, 137] {
            assert!(matches!(end(code(number)), TrainerEnd::Died { .. }), "{number}");
        }
    }

    #[test]
    fn message_of_the_failed_event_is_the_message() {
        let mut account = Account::default();
        account.note(&Event::Failed {
            cause: Cause::User,
            message: "train.jsonl line 3: no label".into(),
        });
        let expected = TrainerEnd::Failed {
            cause: Cause::User,
            message: "train.jsonl line 3: no label".into(),
        };
        assert_eq!(account.end(code(65), Stop::Nothing, false, "noise"), expected);
    }

    #[test]
    fn silent_failure_is_told_by_its_last_log_line() {
        let TrainerEnd::Failed { message, .. } =
            Account::default().end(code(70), Stop::Nothing, false, "index out of range\n")
        else {
            panic!("no failure")
        };
        assert!(
            message.contains("code 70") && message.contains("index out of range"),
            "{message}"
        );
    }

    #[test]
    fn only_a_sigkill_while_memory_ran_out_is_want_of_memory() {
        let died = |signal, memory| Account::default().end(ExitStatus::from_raw(signal), Stop::Nothing, memory, "");
        assert!(matches!(
            died(9, true),
            TrainerEnd::Died {
                out_of_memory: true,
                ..
            }
        ));
        assert!(matches!(
            died(9, false),
            TrainerEnd::Died {
                out_of_memory: false,
                ..
            }
        ));
        let TrainerEnd::Died { out_of_memory, message } = died(11, true) else {
            panic!("no death")
        };
        assert!(!out_of_memory && message.contains("SIGSEGV"), "{message}");
    }

    #[test]
    fn what_the_worker_killed_did_not_die_by_itself() {
        assert_eq!(
            Account::default().end(ExitStatus::from_raw(9), Stop::Killed, true, ""),
            TrainerEnd::Killed
        );
    }

    #[test]
    fn one_that_was_told_before_it_could_listen_is_interrupted_and_a_stranger_counts() {
        let by_sigterm = |stop| Account::default().end(ExitStatus::from_raw(libc::SIGTERM), stop, false, "");
        assert_eq!(by_sigterm(Stop::Told), TrainerEnd::Interrupted);
        assert!(matches!(by_sigterm(Stop::Nothing), TrainerEnd::Died { .. }));
    }
}
