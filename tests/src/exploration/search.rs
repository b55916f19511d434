//! Breadth-first search over all states of the world, and back from the ends.

use super::Configuration;
use super::intern::{WordHasher, WordMap};
use super::invariants::{Invariant, Violation};
use super::port::lock;
use super::replay::Pending;
use super::steps::Steps;
use super::world::{Place, Step, World};
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

/// What a search came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// States of the world that were reached.
    pub states: usize,
    /// Steps between them.
    pub transitions: usize,
    /// States of the store among them.
    pub stores: usize,
    /// Histories of programs, each run once.
    pub histories: usize,
    /// Whether every state was reached before the limit.
    pub complete: bool,
    /// The first broken promise, with the shortest way to it.
    pub violation: Option<(Violation, Vec<String>)>,
    /// How long it took.
    pub took: Duration,
}

/// Tries everything.
///
/// # Errors
/// If no runtime or temporary folder can be had.
pub fn explore(configuration: Configuration) -> anyhow::Result<Report> {
    let started = Instant::now();
    let mut search = Search::new(configuration)?;
    let violation = search.run();
    let stores = lock(&search.steps.tables).contents.len();
    Ok(Report {
        states: search.worlds.len(),
        transitions: search.edges.len(),
        stores,
        histories: search.steps.replay.len(),
        complete: search.worlds.len() < configuration.limit,
        violation: violation.map(|(violation, at, step)| (violation, search.trace(at, step))),
        took: started.elapsed(),
    })
}

struct Search {
    configuration: Configuration,
    steps: Steps,
    worlds: Vec<World>,
    parents: Vec<(u32, Option<Step>)>,
    edges: Vec<(u32, u32)>,
    /// Open addressing: places of worlds, [`FREE`] where there is none.
    slots: Vec<u32>,
    /// Pairs of stores, before and after, in which nothing was broken.
    sound: WordMap<(u32, u32), ()>,
}

const FREE: u32 = u32::MAX;

type Found = (Violation, u32, Option<Step>);

impl Search {
    fn new(configuration: Configuration) -> anyhow::Result<Self> {
        let steps = Steps::new(configuration)?;
        let first = steps.first();
        let slots = vec![FREE; 1 << 16];
        let mut search = Self {
            configuration,
            steps,
            worlds: Vec::new(),
            parents: Vec::new(),
            edges: Vec::new(),
            slots,
            sound: WordMap::default(),
        };
        search.visit(first, (0, None));
        Ok(search)
    }

    fn run(&mut self) -> Option<Found> {
        let mut at = 0;
        while (at as usize) < self.worlds.len() && self.worlds.len() < self.configuration.limit {
            let world = self.worlds[at as usize].clone();
            for (step, next) in self.steps.successors(&world) {
                if let Some(violation) = self.check(&world, &next) {
                    return Some((violation, at, Some(step)));
                }
                let place = self.visit(next, (at, Some(step)));
                self.edges.push((at, place));
            }
            at += 1;
        }
        if self.worlds.len() < self.configuration.limit {
            self.stuck()
        } else {
            None
        }
    }

    fn check(&mut self, world: &World, next: &World) -> Option<Violation> {
        let only = self.configuration.only;
        let asked = |violation: &Violation| only.is_none_or(|only| only == violation.invariant);
        if let Some(failure) = self.steps.failure.take().filter(asked) {
            return Some(failure);
        }
        let pair = (world.content, next.content);
        if pair.0 == pair.1 || self.sound.contains_key(&pair) {
            return None;
        }
        let (was, is) = (self.steps.view(world.content), self.steps.view(next.content));
        let mut found = was.violations_towards(&is);
        found.extend(is.violations(&mut lock(&self.steps.tables)));
        let broken = found.into_iter().find(asked);
        if broken.is_none() {
            self.sound.insert(pair, ());
        }
        broken
    }

    /// The place of a world, a new one if it is new.
    fn visit(&mut self, world: World, parent: (u32, Option<Step>)) -> u32 {
        if (self.worlds.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = self.slot(&world);
        if self.slots[slot] == FREE {
            self.slots[slot] = u32::try_from(self.worlds.len()).expect("fewer than 2^32 states");
            self.worlds.push(world);
            self.parents.push(parent);
        }
        self.slots[slot]
    }

    fn slot(&self, world: &World) -> usize {
        let mut hasher = WordHasher::default();
        world.hash(&mut hasher);
        let mask = self.slots.len() - 1;
        let mut slot = hasher.finish() as usize & mask;
        while self.slots[slot] != FREE && self.worlds[self.slots[slot] as usize] != *world {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 4];
        for place in 0..self.worlds.len() {
            let slot = self.slot(&self.worlds[place]);
            self.slots[slot] = u32::try_from(place).expect("fewer than 2^32 states");
        }
    }

    /// A state from which the jobs can no longer end, if there is one.
    fn stuck(&mut self) -> Option<Found> {
        if self.configuration.only.is_some_and(|only| only != Invariant::I7) {
            return None;
        }
        let count = self.worlds.len();
        let mut first = vec![0_u32; count + 1];
        for (_, to) in &self.edges {
            first[*to as usize + 1] += 1;
        }
        for place in 0..count {
            first[place + 1] += first[place];
        }
        let mut filled = first.clone();
        let mut sources = vec![0_u32; self.edges.len()];
        for (from, to) in &self.edges {
            sources[filled[*to as usize] as usize] = *from;
            filled[*to as usize] += 1;
        }
        let mut can_end: Vec<bool> = (0..count).map(|place| self.has_ended(place)).collect();
        let mut todo: Vec<usize> = (0..count).filter(|place| can_end[*place]).collect();
        while let Some(place) = todo.pop() {
            for source in &sources[first[place] as usize..first[place + 1] as usize] {
                if !std::mem::replace(&mut can_end[*source as usize], true) {
                    todo.push(*source as usize);
                }
            }
        }
        let place = can_end.iter().position(|can| !can)?;
        let violation = Violation {
            invariant: Invariant::I7,
            text: "no way leads to an end from here".into(),
        };
        Some((violation, u32::try_from(place).expect("fewer than 2^32 states"), None))
    }

    fn has_ended(&mut self, place: usize) -> bool {
        let world = &self.worlds[place];
        let (content, jobs) = (world.content, usize::from(self.configuration.jobs));
        let quiet = world.queue.iter().all(|waiting| *waiting == 0) && world.recorded[..jobs].iter().all(|it| *it);
        quiet
            && self
                .steps
                .view(content)
                .states
                .iter()
                .all(|state| state.status.is_terminal())
    }

    /// The shortest way to a state, in words, and the step after it.
    fn trace(&self, at: u32, last: Option<Step>) -> Vec<String> {
        let mut steps: Vec<String> = last.into_iter().map(|step| self.describe(at, step)).collect();
        let mut place = at;
        while let (parent, Some(step)) = self.parents[place as usize] {
            steps.push(self.describe(parent, step));
            place = parent;
        }
        steps.reverse();
        steps
    }

    fn describe(&self, before: u32, step: Step) -> String {
        let (Step::Operate { worker } | Step::OperateAnswerLost { worker } | Step::OperateLate { worker }) = step
        else {
            return format!("{step:?}");
        };
        let Place::Inside { node, .. } = self.worlds[before as usize].workers[usize::from(worker)] else {
            return format!("{step:?}");
        };
        let program = self.steps.replay.program(node);
        match self.steps.replay.pending(node) {
            Pending::Operation(operation) => {
                let tables = lock(&self.steps.tables);
                format!("{step:?} {program:?}: {}", tables.describe(operation))
            }
            _ => format!("{step:?} {program:?}"),
        }
    }
}
