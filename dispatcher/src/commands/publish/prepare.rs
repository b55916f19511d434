//! From an order to a job: settings and digests first, without any connection, then commits.

use super::reading::Reading;
use crate::failure::Failure;
use crate::site::Site;
use shared::hub::{Hub, Needs};
use shared::job::{Accelerator, Job, Lineage};
use shared::ledger::{BootClock, Clock};
use shared::project::{self, DataDigest, Facts, Project, Request, Resolved};
use shared::settings::Variables;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One job that is asked for.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) project: String,
    pub(super) tag: String,
    pub(super) accelerator: Accelerator,
    pub(super) env_file: Option<PathBuf>,
    pub(super) set: Vec<(String, String)>,
    pub(super) sample: bool,
    pub(super) register: bool,
    pub(super) exact_worker: bool,
    pub(super) force: Option<Option<String>>,
}

/// An order whose settings are valid.
#[derive(Debug)]
pub(super) struct Prepared {
    order: Order,
    project: Project,
    data: BTreeMap<PathBuf, DataDigest>,
}

/// A data file of a job on this disk.
#[derive(Debug)]
pub(super) struct LocalData {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) size: u64,
}

/// A job whose models were looked up.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) job: Job,
    pub(super) files: Vec<LocalData>,
    /// Each once.
    pub(super) models: Vec<Reading>,
}

/// `KEY=VALUE` of `--set`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

/// Checks the settings of an order, without any connection.
pub(super) fn prepare(site: &Site, order: Order) -> Result<Prepared, Failure> {
    let request = Request {
        config: site.config.clone(),
        project: order.project.clone(),
        env_file: order.env_file.clone(),
        set: order.set.clone(),
        environment: site.environment.clone(),
    };
    let project = project::load(&request)?;
    let mut data = BTreeMap::new();
    for file in project.data_files() {
        data.insert(file.path.clone(), file.digest()?);
    }
    let prepared = Prepared { order, project, data };
    // The fleet's variables may stand in the project's file: wrong ones are found here too.
    site.fleet(prepared.fleet())?;
    prepared.try_out()?;
    Ok(prepared)
}

impl Prepared {
    pub(super) fn name(&self) -> &str {
        &self.project.name
    }

    pub(super) fn fleet(&self) -> &Variables {
        &self.project.fleet
    }

    pub(super) fn tell_notices(&self) {
        for notice in &self.project.notices {
            eprintln!("{}: {notice}", self.project.name);
        }
    }

    /// Finds what no job may hold (a tag with a blank, for example) before anything is asked of the hub.
    fn try_out(&self) -> Result<(), Failure> {
        let commit = "0".repeat(40);
        let commits = self
            .project
            .models()
            .into_iter()
            .map(|model| (model.clone(), commit.clone()));
        let resolved = Resolved {
            commits: commits.collect(),
            data: self.data.clone(),
        };
        let facts = self.facts(Lineage::from_env(&BTreeMap::new(), "", ""));
        self.project.clone().into_job(&resolved, facts)?;
        Ok(())
    }

    /// Looks up the commit of every model, and whether it is what its pipeline needs.
    pub(super) async fn resolve(self, site: &Site, hub: &Hub) -> Result<Looked, Failure> {
        let mut commits = BTreeMap::new();
        let mut models = BTreeMap::new();
        for pipeline in self.project.pipelines.values() {
            let model = &pipeline.model;
            // Two pipelines of one model get one commit, even if its branch moves just now.
            let revision = commits.get(model).unwrap_or(&model.revision);
            let needs = Needs::of(pipeline.task, pipeline.training.is_some());
            let found = hub.resolve(&model.repository, revision, needs).await?;
            commits.insert(model.clone(), found.model.commit.clone());
            models.entry(model.clone()).or_insert_with(|| Reading::from(&found));
        }
        let now = BootClock.written_at();
        let facts = self.facts(Lineage::from_env(&site.environment, env!("CARGO_PKG_VERSION"), &now));
        let local = |(path, digest): (&PathBuf, &DataDigest)| LocalData {
            path: path.clone(),
            sha256: digest.sha256.clone(),
            size: digest.size,
        };
        let files = self.data.iter().map(local).collect();
        let resolved = Resolved {
            commits,
            data: self.data,
        };
        Ok(Looked {
            job: self.project.into_job(&resolved, facts)?,
            files,
            models: models.into_values().collect(),
        })
    }

    fn facts(&self, lineage: Lineage) -> Facts {
        let order = &self.order;
        Facts {
            tag: order.tag.clone(),
            accelerator: order.accelerator,
            sample: order.sample,
            register: order.register && !order.sample,
            exact_worker: order.exact_worker,
            nonce: order.force.clone().map(|key| key.unwrap_or_else(random_nonce)),
            lineage,
        }
    }
}

fn random_nonce() -> String {
    BootClock.write_id()
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn a_setting_is_split_at_its_first_equals_sign() {
        assert_eq!(pair("GATE=f1>=0.5"), Ok(("GATE".into(), "f1>=0.5".into())));
        assert_eq!(pair("A="), Ok(("A".into(), String::new())));
        assert!(pair("=x").is_err() && pair("x").is_err());
    }
}
