//! Processes of a fleet, which end with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine; a test that reaches it failed.
const DEADLINE: Duration = Duration::from_secs(120);

/// Of the log of a process, what a test that fails shows.
const LAST_LINES: usize = 40;

/// A process that runs until it is stopped, and writes its log into a file. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(super) fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log");
        // A port chosen here could be somebody else's by the time that the process opens it.
        let child = command
            .env("TRAINYARD_METRICS_ADDR", "127.0.0.1:0")
            .stdout(file.try_clone().expect("the same log"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Everything it said.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended, and how.
    ///
    /// # Panics
    /// Never.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it does not.
    pub async fn end(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(started.elapsed() < DEADLINE, "it does not end:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has opened queue and store, and its monitor answers. One that cannot ends with an error instead.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn answers(&self) {
        until("it answers", async || reqwest::get(self.monitor()?).await.ok()).await;
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// If it does not end, or not with exit code 0.
    pub async fn stop(mut self) {
        // Before that it may not listen to signals yet.
        self.answers().await;
        signal(self.id(), libc::SIGTERM);
        let status = self.end().await;
        assert!(status.success(), "{status}:\n{}", self.said());
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        // Its own child, by its id; that it has ended already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The value of a series at its monitor, the sum over its labels that contain `labels`; `None` while it does not
    /// answer.
    pub async fn series(&self, name: &str, labels: &str) -> Option<f64> {
        let text = reqwest::get(self.monitor()?).await.ok()?.text().await.ok()?;
        let values = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(labels));
        let values: Vec<f64> = values
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The address of its `/metrics`, once it has said it.
    fn monitor(&self) -> Option<String> {
        let said = self.said();
        let (before, _) = said.split_once("/metrics")?;
        let (_, address) = before.rsplit_once("http://")?;
        Some(format!("http://{address}/metrics"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.said();
            let last: Vec<&str> = said.lines().rev().take(LAST_LINES).collect();
            eprintln!("--- {}", self.log.display());
            for line in last.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Sends a signal to a process of this test.
pub fn signal(pid: i32, signal: i32) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
    // That it has ended meanwhile is for the test to find out.
    let _ = sent;
}

/// The kernel's letter for what a process does (`T`: stopped, `Z`: dead and not yet waited for); `None`: there is none.
#[must_use]
pub fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until `look` finds something.
///
/// # Panics
/// If that takes too long.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
