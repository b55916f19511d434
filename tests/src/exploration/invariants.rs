//! What must hold in every state of the store, and from every state to the next.

use super::objects::Tables;
use super::program::job_id;
use shared::ledger::{State, Status, budget};
use shared::publication::Manifest;
use std::collections::BTreeMap;

/// The promises of the protocol, by their names there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one card per job.
    I1,
    /// A visible version equals its manifest and never changes.
    I2,
    /// Registered: its version is visible with the decided bytes. Neither decided nor registered: none is visible.
    I3,
    /// Publishing never goes back, the decision never changes.
    I4,
    /// One number per job, one job per number, no hole; a number belongs to a publishing or registered job.
    I5,
    /// Token and seq only grow.
    I6,
    /// From every reachable state the job can still end; no program ends in an error.
    I7,
    /// Claims without progress are bounded.
    I8,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub text: String,
}

fn broken(invariant: Invariant, text: impl Into<String>) -> Violation {
    Violation {
        invariant,
        text: text.into(),
    }
}

/// A visible version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    job: String,
    manifest_sha256: String,
}

/// A store as the invariants see it.
#[derive(Debug, Clone)]
pub struct View {
    /// States by job.
    pub states: Vec<State>,
    /// Whether a job has staged blobs of an epoch that is not after its own.
    pub staged: Vec<bool>,
    /// Visible versions by number, with every object below them.
    versions: BTreeMap<u64, (Version, Vec<(String, u32)>)>,
    /// Jobs by their number.
    records: BTreeMap<u64, String>,
}

impl View {
    /// Reads a store.
    pub fn new(tables: &mut Tables, content: u32, jobs: u8) -> Self {
        let states = (0..jobs)
            .map(|job| read_state(tables, content, job))
            .collect::<Vec<_>>();
        let objects: Vec<(String, u32)> = tables
            .contents
            .get(content)
            .iter()
            .map(|row| (tables.keys.get(row.0).clone(), row.1))
            .collect();
        let staged = (0..jobs)
            .map(|job| has_staged(&objects, job, states[usize::from(job)].epoch))
            .collect();
        let mut view = Self {
            states,
            staged,
            versions: BTreeMap::new(),
            records: BTreeMap::new(),
        };
        for (key, bytes) in &objects {
            if let Some(number) = key.strip_prefix("trainyard/versions/w/p/M/") {
                let record = json(tables, *bytes);
                view.records
                    .insert(number.parse().expect("a number"), text(&record, "job"));
            }
            if let Some((number, "model/model_card")) = version_file(key) {
                let card = json(tables, *bytes);
                let version = Version {
                    job: text(&card, "job"),
                    manifest_sha256: text(&card, "manifest_sha256"),
                };
                let below = objects
                    .iter()
                    .filter(|it| version_file(&it.0).is_some_and(|it| it.0 == number));
                view.versions.insert(number, (version, below.cloned().collect()));
            }
        }
        view
    }

    /// What is broken in this state, in order of names.
    pub fn violations(&self, tables: &mut Tables) -> Vec<Violation> {
        let mut found = Vec::new();
        for (number, (version, objects)) in &self.versions {
            found.extend(torn(tables, *number, version, objects));
        }
        for (job, state) in self.states.iter().enumerate() {
            let id = job_id(u8::try_from(job).expect("few jobs")).to_string();
            let visible: Vec<u64> = self
                .versions
                .iter()
                .filter(|it| it.1.0.job == id)
                .map(|it| *it.0)
                .collect();
            let numbers: Vec<u64> = self.records.iter().filter(|it| *it.1 == id).map(|it| *it.0).collect();
            if visible.len() > 1 {
                found.push(broken(Invariant::I1, format!("job {job} has the versions {visible:?}")));
            }
            found.extend(self.misregistered(job, state, &visible));
            if numbers.len() > 1 {
                found.push(broken(Invariant::I5, format!("job {job} has the numbers {numbers:?}")));
            }
            if !numbers.is_empty() && !matches!(state.status, Status::Publishing | Status::Registered) {
                found.push(broken(
                    Invariant::I5,
                    format!("job {job} is {} and has number {numbers:?}", state.status),
                ));
            }
            // Every claim but the last was lost, since nothing here ends with a word where this is asked.
            if state.token > u64::from(budget::CLAIMS_LOST) + 1 {
                found.push(broken(
                    Invariant::I8,
                    format!("job {job} was claimed {} times", state.token),
                ));
            }
        }
        if !self.records.keys().copied().eq(1..=self.records.len() as u64) {
            found.push(broken(
                Invariant::I5,
                format!("the numbers have a hole: {:?}", self.records.keys()),
            ));
        }
        found.sort_by_key(|it| it.invariant);
        found
    }

    fn misregistered(&self, job: usize, state: &State, visible: &[u64]) -> Option<Violation> {
        match (state.status, &state.decision, state.version) {
            (Status::Publishing, ..) => None,
            (Status::Registered, Some(decision), Some(version)) => {
                let decided = self
                    .versions
                    .get(&version)
                    .is_some_and(|it| it.0.manifest_sha256 == decision.manifest_sha256);
                (visible != [version] || !decided).then(|| {
                    broken(
                        Invariant::I3,
                        format!("job {job} is registered as {version}, visible are {visible:?}"),
                    )
                })
            }
            (status, ..) => (!visible.is_empty() || status == Status::Registered)
                .then(|| broken(Invariant::I3, format!("job {job} is {status}, visible are {visible:?}"))),
        }
    }

    /// What is broken by going from this state to `next`.
    pub fn violations_towards(&self, next: &Self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (job, (was, is)) in self.states.iter().zip(&next.states).enumerate() {
            if was.status == Status::Registered && (is.status, is.version) != (was.status, was.version) {
                found.push(broken(
                    Invariant::I4,
                    format!("registered job {job} became {}", is.status),
                ));
            }
            if was.status == Status::Publishing && !matches!(is.status, Status::Publishing | Status::Registered) {
                found.push(broken(Invariant::I4, format!("decided job {job} became {}", is.status)));
            }
            if was.decision.is_some() && was.decision != is.decision {
                found.push(broken(Invariant::I4, format!("the decision of job {job} changed")));
            }
            if is.token < was.token || is.seq < was.seq {
                found.push(broken(Invariant::I6, format!("token or seq of job {job} went back")));
            }
        }
        for (number, version) in &self.versions {
            if next.versions.get(number) != Some(version) {
                found.push(broken(Invariant::I2, format!("visible version {number} changed")));
            }
        }
        found
    }
}

/// Whether something of a visible version is missing or not what its manifest says.
fn torn(tables: &mut Tables, number: u64, version: &Version, objects: &[(String, u32)]) -> Option<Violation> {
    let torn = |what: &str| Some(broken(Invariant::I2, format!("version {number} is visible and {what}")));
    let find = |path: &str| {
        objects
            .iter()
            .find(|it| version_file(&it.0) == Some((number, path)))
            .map(|it| it.1)
    };
    let Some(bytes) = find("model/manifest") else {
        return torn("has no manifest");
    };
    if tables.digest(bytes) != version.manifest_sha256 {
        return torn("its manifest is another one");
    }
    let manifest: Manifest = serde_json::from_slice(tables.bytes.get(bytes)).expect("a manifest");
    for file in manifest.files {
        match find(&file.path.replace("{version}", &format!("M-{number}"))) {
            Some(bytes) if tables.digest(bytes) == file.sha256 => {}
            Some(_) => return torn("a file has other bytes"),
            None => return torn("a file is missing"),
        }
    }
    None
}

fn read_state(tables: &mut Tables, content: u32, job: u8) -> State {
    let bytes = tables.read(content, &format!("trainyard/jobs/{}/state.json", job_id(job)));
    bytes.map_or_else(State::first, |bytes| serde_json::from_slice(&bytes).expect("a state"))
}

fn has_staged(objects: &[(String, u32)], job: u8, epoch: u64) -> bool {
    let prefix = format!("trainyard/jobs/{}/staged/", job_id(job));
    let staged_in = |key: &str| key.strip_prefix(&prefix)?.split('/').next()?.parse::<u64>().ok();
    objects
        .iter()
        .any(|(key, _)| staged_in(key).is_some_and(|it| it <= epoch))
}

/// Number and path of a key below the registry root.
fn version_file(key: &str) -> Option<(u64, &str)> {
    let (number, path) = key.strip_prefix("root/w/p/M/M-")?.split_once('/')?;
    Some((number.parse().ok()?, path))
}

fn json(tables: &Tables, bytes: u32) -> serde_json::Value {
    serde_json::from_slice(tables.bytes.get(bytes)).expect("JSON")
}

fn text(value: &serde_json::Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
