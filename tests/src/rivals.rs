//! Processes that race, are stopped and are killed: handles of the binary `rival`.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running rival; killed when dropped.
#[derive(Debug)]
pub struct Rival {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Rival {
    /// Starts `binary` (`CARGO_BIN_EXE_rival`, which only a test knows).
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(binary: &str, arguments: &[&str]) -> Self {
        Self::start_with(binary, arguments, &[])
    }

    /// The same with a point at which it kills itself, see [`shared::crash`].
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_crashing(binary: &str, arguments: &[&str], crash_at: &str) -> Self {
        Self::start_with(
            binary,
            arguments,
            &[("TRAINYARD_CRASH_AT".to_owned(), crash_at.to_owned())],
        )
    }

    /// The same with variables in its environment.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_with(binary: &str, arguments: &[&str], variables: &[(String, String)]) -> Self {
        let mut command = Command::new(Path::new(binary));
        command
            .args(arguments)
            .envs(variables.iter().cloned())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, said }
    }

    /// What it says next; `None` when it has ended.
    pub fn next_line(&mut self) -> Option<String> {
        self.said.next().map(|line| line.expect("text"))
    }

    /// All that it still says until it ends by itself.
    ///
    /// # Panics
    /// If it fails.
    pub fn finish(mut self) -> Vec<String> {
        let lines = self.rest();
        let status = self.child.wait().expect("ends");
        assert!(status.success(), "{status}");
        lines
    }

    /// All that it said until it was killed, by itself or now.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("kills");
        let lines = self.rest();
        self.child.wait().expect("ends");
        lines
    }

    /// All that it said until it died by its own crash point.
    ///
    /// # Panics
    /// If it came to its end.
    pub fn crash(mut self) -> Vec<String> {
        let lines = self.rest();
        let status = self.child.wait().expect("ends");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(libc::SIGKILL),
            "{status}"
        );
        lines
    }

    /// Stops it (SIGSTOP) wherever it is, and waits until it has stopped.
    pub fn stop(&self) {
        self.signal("-STOP");
        let stat = format!("/proc/{}/stat", self.child.id());
        loop {
            let stat = std::fs::read_to_string(&stat).expect("a process");
            // pid (name) state …
            match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
                Some('T' | 'Z') => return,
                _ => std::thread::yield_now(),
            }
        }
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(signal)
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.expect("kill(1)").success());
    }

    fn rest(&mut self) -> Vec<String> {
        self.said.by_ref().map_while(Result::ok).collect()
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
