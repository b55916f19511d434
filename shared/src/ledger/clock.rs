//! Time as the ledger sees it: monotonic, counting suspend, and never a reason for safety.

use std::time::Duration;

/// A moment on one process's own clock; moments of two processes must not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `span` after this one.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Where the ledger takes time and random names from; tests bring their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now, monotonic.
    fn now(&self) -> Moment;
    /// RFC 3339 of the wall clock, for people.
    fn written_at(&self) -> String;
    /// A name that no other write in the world has.
    fn write_id(&self) -> String;
}

/// `CLOCK_BOOTTIME`: a host that slept through its lease knows it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Moment(Duration::new(seconds, nanoseconds))
    }

    fn written_at(&self) -> String {
        jiff::Timestamp::now().to_string()
    }

    fn write_id(&self) -> String {
        uuid::Uuid::new_v4().simple().to_string()
    }
}
