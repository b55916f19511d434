//! The `trainer` binary: command line, exit code, and the top of every failure.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use trainer::arguments::{self, Arguments, Command, HELP};
use trainer::events::Events;
use trainer::failure::{Failure, Result, lacks_memory};
use trainer::interruption::{self, Interruption};
use trainer_protocol::Event;

/// MKL takes its fast path only where this answers 1 (it would ask the CPU for its maker otherwise).
#[expect(
    unsafe_code,
    reason = "the symbol must be exported under its C name; the function reads and writes nothing"
)]
#[unsafe(no_mangle)]
pub extern "C" fn mkl_serv_intel_cpu_true() -> i32 {
    1
}

const SUCCESS: u8 = 0;
/// Wrong usage (`EX_USAGE`).
const USAGE: u8 = 64;

fn main() {
    print_panics();
    let code = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(arguments)) => run(&arguments),
        Ok(Command::Version) => print(&format!("trainer {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Command::Help) => print(HELP),
        Err(wrong) => {
            eprintln!("trainer: {wrong}\n\n{HELP}");
            USAGE
        }
    };
    trainer::end(code)
}

/// As std prints them, but nothing of those that lack memory: std waits for itself where it has no memory for a backtrace, and
/// what they say is the failure's message below.
fn print_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !text_of(panic.payload()).is_some_and(lacks_memory) {
            usual(panic);
        }
    }));
}

fn print(text: &str) -> u8 {
    print!("{text}");
    SUCCESS
}

/// The exit code.
fn run(arguments: &Arguments) -> u8 {
    interruption::end_with_the_parent();
    let mut events = Events::new(Box::new(std::io::stdout()));
    let Err(failure) = guarded(arguments, &mut events) else {
        return SUCCESS;
    };
    eprintln!("trainer: {failure}");
    if let Some(cause) = failure.cause() {
        events.say(&Event::Failed {
            cause,
            message: failure.to_string(),
        });
    }
    failure.exit_code() as u8
}

/// Operations of libtorch panic where they fail; such a panic ends as a failure like any other.
fn guarded(arguments: &Arguments, events: &mut Events) -> Result<()> {
    let interruption = Interruption::watch()?;
    let work = AssertUnwindSafe(|| trainer::run::run(arguments, events, &interruption));
    std::panic::catch_unwind(work).unwrap_or_else(|payload| {
        let text = text_of(payload.as_ref());
        Err(Failure::from_text(text.unwrap_or("a panic without text")))
    })
}

/// What a panic says.
fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
}
