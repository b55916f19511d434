//! Who is still alive, as an observer sees it: thrift and progress only, safety never depends on it.

use super::clock::Moment;
use super::snapshot::Snapshot;
use crate::job::JobId;
use std::collections::HashMap;
use std::time::Duration;

/// A lease shorter than this cannot be kept: its renewals would be due faster than a slow store answers.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// Renewals that a living owner wins in the length of its lease.
pub(super) const RENEWALS_A_LEASE: u64 = 3;

/// Renew this often: a third of the lease, which is also what one renewal may take.
#[must_use]
pub fn renewal(lease: Duration) -> Duration {
    lease / 3
}

/// What an owner may count on after the start of its last won renewal: nine tenths of the lease.
pub(super) fn of_owner(lease: Duration) -> Duration {
    lease / 10 * 9
}

/// What an observer may conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Come back after this time at the earliest.
    Held {
        /// From now.
        for_at_least: Duration,
    },
    /// The owner was silent for its whole lease.
    Expired,
}

/// A process's memory of the claims it has seen. Not shared, not stored: two clocks are never compared.
#[derive(Debug, Default)]
pub struct LeaseWatch {
    seen: HashMap<JobId, Sighting>,
}

#[derive(Debug, Clone, Copy)]
struct Sighting {
    token: u64,
    seq: u64,
    since: Moment,
}

impl LeaseWatch {
    /// Remembers the snapshot, and says whether its (token, seq) stands unchanged for the owner's whole lease: a read
    /// that **started** a lease after the **end** of the first read that showed it.
    pub fn observe(&mut self, id: &JobId, snapshot: &Snapshot) -> Lease {
        let (token, seq) = (snapshot.state.token, snapshot.state.seq);
        let lease = Duration::from_secs(snapshot.state.lease_s).max(SHORTEST);
        let fresh = Sighting {
            token,
            seq,
            since: snapshot.read_ended,
        };
        let known = self.seen.entry(id.clone()).or_insert(fresh);
        if (known.token, known.seq) != (token, seq) {
            *known = fresh;
        }
        let silent = snapshot.read_started.since(known.since);
        if silent >= lease {
            Lease::Expired
        } else {
            Lease::Held {
                for_at_least: lease - silent,
            }
        }
    }

    /// For how long the job's (token, seq) is known not to have moved.
    #[must_use]
    pub fn silent(&self, id: &JobId, snapshot: &Snapshot) -> Duration {
        match self.seen.get(id) {
            Some(known) if (known.token, known.seq) == (snapshot.state.token, snapshot.state.seq) => {
                snapshot.read_started.since(known.since)
            }
            _ => Duration::ZERO,
        }
    }

    /// Forgets the jobs of which `stays` is false.
    pub fn retain(&mut self, stays: impl Fn(&JobId) -> bool) {
        self.seen.retain(|id, _| stays(id));
    }

    /// Forgets a job that ended.
    pub fn forget(&mut self, id: &JobId) {
        self.seen.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::State;

    fn seen(seq: u64, started_s: u64, ended_s: u64) -> Snapshot {
        Snapshot {
            state: State {
                seq,
                token: 1,
                lease_s: 30,
                ..State::first()
            },
            etag: None,
            read_started: Moment(Duration::from_secs(started_s)),
            read_ended: Moment(Duration::from_secs(ended_s)),
        }
    }

    fn job() -> JobId {
        "0123456789abcdef0123456789abcdef".parse().expect("a job id")
    }

    #[test]
    fn a_lease_expires_a_whole_lease_after_the_end_of_the_first_read() {
        let mut watch = LeaseWatch::default();
        assert_eq!(
            watch.observe(&job(), &seen(4, 100, 105)),
            Lease::Held {
                for_at_least: Duration::from_secs(30)
            }
        );
        assert_eq!(
            watch.observe(&job(), &seen(4, 134, 140)),
            Lease::Held {
                for_at_least: Duration::from_secs(1)
            }
        );
        assert_eq!(watch.observe(&job(), &seen(4, 135, 136)), Lease::Expired);
    }

    #[test]
    fn every_write_begins_the_lease_anew() {
        let mut watch = LeaseWatch::default();
        watch.observe(&job(), &seen(4, 0, 0));
        assert!(matches!(watch.observe(&job(), &seen(5, 40, 40)), Lease::Held { .. }));
        assert_eq!(watch.silent(&job(), &seen(5, 50, 50)), Duration::from_secs(10));
        assert_eq!(watch.observe(&job(), &seen(5, 70, 70)), Lease::Expired);
    }
}
