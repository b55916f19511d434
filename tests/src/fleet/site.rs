//! One fleet's queue and store, and the processes that work there.

use super::pair::{Lent, Place};
use super::{Ground, Pair, Running, trainer, until};
use crate::aws::AwsServer;
use crate::proxy::Proxy;
use crate::rabbitmq::Broker;
use crate::sandbox::{Finished, finish};
use shared::aws::AwsAccess;
use shared::job::{Accelerator, Job, JobId};
use shared::ledger::{Ledger, Snapshot, Status};
use shared::queue::{Depth, Message, Queue};
use shared::settings::{Fleet, Variables};
use shared::store::{Key, Store};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What all processes get: short times, so that a test need not wait for long ones.
const TIMES: [(&str, &str); 2] = [("TRAINYARD_LEASE", "1s"), ("TRAINYARD_VISIBILITY", "3s")];

/// The same where the store is a bucket of moto, which serves all lanes one request at a time: a renewal, every third of a
/// lease, has to wait its turn.
const TIMES_OF_BUCKETS: [(&str, &str); 2] = [("TRAINYARD_LEASE", "3s"), ("TRAINYARD_VISIBILITY", "5s")];

/// Messages that were put back for later come by then.
const LEFT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Site<'a> {
    /// What it stands on.
    pub ground: &'a Ground,
    /// What its queue and store are.
    pub pair: Pair,
    /// Its folder.
    pub folder: PathBuf,
    /// What its processes get besides the machine's; a later one wins.
    pub variables: Vec<(String, String)>,
    /// How its store and queue are reached; the queue behind its proxy, if it has one.
    pub aws: AwsAccess,
    /// Seen from the test, by the way that its processes have at first.
    pub ledger: Ledger,
    /// The same.
    pub queue: Arc<dyn Queue>,
    broker: Lent,
    numbers: AtomicU32,
}

impl<'a> Site<'a> {
    /// An empty site.
    ///
    /// # Panics
    /// Where it cannot be set up.
    pub async fn new(ground: &'a Ground, pair: Pair) -> Self {
        Self::open(ground, pair, false).await
    }

    /// An empty site that has its broker, if it has one, alone.
    ///
    /// # Panics
    /// Where it cannot be set up.
    pub async fn alone(ground: &'a Ground, pair: Pair) -> Self {
        Self::open(ground, pair, true).await
    }

    async fn open(ground: &'a Ground, pair: Pair, alone: bool) -> Self {
        let folder = ground.folder();
        let Place {
            queue_url,
            store_url,
            mut variables,
            broker,
        } = pair.place(&folder, ground.broker, alone).await;
        variables.extend([
            ("TRAINYARD_QUEUE_URL".to_owned(), queue_url),
            ("TRAINYARD_STORE_URL".to_owned(), store_url),
        ]);
        let fleet = Fleet::load(
            &variables.iter().cloned().collect::<BTreeMap<_, _>>(),
            &Variables::new(),
            None,
        );
        let fleet = fleet.expect("settings");
        let store = shared::store::connect(fleet.store_url.expose(), &fleet.aws).await;
        let queue = shared::queue::connect(fleet.queue_url.expose(), &fleet.aws).await;
        let others = [
            ("TRAINYARD_WORK", folder.join("work").display().to_string()),
            ("TRAINYARD_TRAINER", ground.trainer.display().to_string()),
        ];
        variables.extend(others.map(|(name, value)| (name.to_owned(), value)));
        let times = if pair.has_bucket() { TIMES_OF_BUCKETS } else { TIMES };
        variables.extend(times.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self {
            ground,
            pair,
            folder,
            variables,
            aws: fleet.aws,
            ledger: Ledger::new(store.expect("a store")),
            queue: queue.expect("a queue"),
            broker,
            numbers: AtomicU32::new(0),
        }
    }

    /// The broker, for a site that has it alone.
    ///
    /// # Panics
    /// If it has not.
    #[must_use]
    pub fn broker(&self) -> &'static Broker {
        match &self.broker {
            Lent::Alone(alone) => alone.broker(),
            other => panic!("the broker is not this site's alone: {other:?}"),
        }
    }

    /// A proxy before the queue's server, which processes have in their way from now on.
    ///
    /// # Panics
    /// If the site has no server alone.
    pub async fn queue_behind_proxy(&mut self) -> Proxy {
        if self.pair == Pair::SqsS3 {
            let server = AwsServer::get().sqs_address();
            let proxy = self.aws_behind_proxy(server, "AWS_ENDPOINT_URL_SQS").await;
            self.aws.sqs_endpoint = Some(self.variable("AWS_ENDPOINT_URL_SQS"));
            return proxy;
        }
        let direct = self.broker().address();
        let proxy = Proxy::start(direct).await;
        let url = self.variable("TRAINYARD_QUEUE_URL");
        self.set(
            "TRAINYARD_QUEUE_URL",
            url.replace(&direct.to_string(), &proxy.address().to_string()),
        );
        proxy
    }

    /// A proxy before the bucket's server, which processes have in their way from now on.
    pub async fn store_behind_proxy(&mut self) -> Proxy {
        let server = AwsServer::get().address();
        self.aws_behind_proxy(server, "AWS_ENDPOINT_URL_S3").await
    }

    async fn aws_behind_proxy(&mut self, server: SocketAddr, variable: &str) -> Proxy {
        let proxy = Proxy::start(server).await;
        self.set(variable, format!("http://{}", proxy.address()));
        proxy
    }

    /// What its processes find in a variable.
    ///
    /// # Panics
    /// If nothing.
    #[must_use]
    pub fn variable(&self, name: &str) -> String {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.expect("a variable").1.clone()
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.ledger.store().as_ref()
    }

    /// Keys of uploads in parts that nobody completed; none can be left where the store is a folder.
    pub async fn uploads(&self) -> Vec<String> {
        match self.variable("TRAINYARD_STORE_URL").strip_prefix("s3://") {
            Some(bucket) => AwsServer::get().uploads(bucket).await,
            None => Vec::new(),
        }
    }

    /// Its processes get this variable from now on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Its workers use a trainer of this script from now on.
    pub fn train_by(&mut self, script: &str) {
        // A new file: a shell reads its script as it goes.
        let name = format!("trainer-{}", self.numbers.fetch_add(1, Ordering::Relaxed));
        let program = trainer::write(&self.folder, &name, script);
        self.set("TRAINYARD_TRAINER", program.display().to_string());
    }

    /// The process ids that trainers of [`super::ENDLESS`] said, once there are so many.
    pub async fn trainers(&self, count: usize) -> Vec<i32> {
        let file = self.folder.join("pids");
        let said = async || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (pids.len() >= count).then_some(pids)
        };
        until("trainers say who they are", said).await
    }

    /// A command of one of the binaries.
    #[must_use]
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.ground.machine.command(name, arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a binary, with one more variable, to its end.
    #[must_use]
    pub fn run_with(&self, name: &str, arguments: &[&str], variable: (&str, &str)) -> Finished {
        let mut command = self.command(name, arguments);
        command.env(variable.0, variable.1);
        finish(command)
    }

    /// Starts a process that stays.
    #[must_use]
    pub fn start(&self, name: &str, arguments: &[&str]) -> Running {
        self.start_with(name, arguments, &[])
    }

    /// The same, with more variables.
    #[must_use]
    pub fn start_with(&self, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        let mut command = self.command(name, arguments);
        command.envs(variables.iter().copied());
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Running::start(command, self.folder.join(format!("{name}-{number}.log")))
    }

    /// The ground's job, or another one of the same content for every other number.
    #[must_use]
    pub fn job(&self, number: u32) -> Job {
        let mut job = self.ground.job.clone();
        if number > 0 {
            job.content.nonce = Some(number.to_string());
        }
        job
    }

    /// Stores the job's data and its record.
    ///
    /// # Panics
    /// If the store refuses.
    pub async fn record(&self, job: &Job) -> JobId {
        for (sha256, file) in self.ground.data() {
            let key = Key::new(format!("trainyard/data/{sha256}")).expect("a key");
            if let Err(error) = self.store().put_file_new(&key, &file, &sha256).await {
                assert!(error.conflict().is_some(), "{error}");
            }
        }
        self.ledger.create(job).await.expect("recorded");
        job.id()
    }

    /// Whether a job's record is there.
    ///
    /// # Panics
    /// If the store is away.
    pub async fn is_recorded(&self, id: &JobId) -> bool {
        self.ledger.job(id).await.expect("reads").is_some()
    }

    /// Rings for a job.
    ///
    /// # Panics
    /// If the queue refuses.
    pub async fn ring(&self, id: &JobId) {
        self.queue
            .publish(&message(id), Duration::ZERO)
            .await
            .expect("published");
    }

    /// Publishes the ground's job, as the dispatcher does.
    pub async fn publish(&self) -> JobId {
        let id = self.record(&self.job(0)).await;
        self.ring(&id).await;
        id
    }

    /// Where a job stands.
    ///
    /// # Panics
    /// If the store is away.
    pub async fn state(&self, id: &JobId) -> Snapshot {
        self.ledger.read(id).await.expect("a state")
    }

    /// Waits until a job has ended.
    pub async fn ended(&self, id: &JobId) -> Status {
        let ended = async || Some(self.state(id).await.state.status).filter(|status| status.is_terminal());
        until("the job ends", ended).await
    }

    /// What is in the queue of its jobs.
    ///
    /// # Panics
    /// If the queue is away.
    pub async fn depth(&self) -> Depth {
        self.queue.depth(Accelerator::Cpu).await.expect("counts")
    }

    /// Waits until no message is left, dead ones included.
    ///
    /// # Panics
    /// If some stay.
    pub async fn emptied(&self) {
        let started = Instant::now();
        loop {
            let depth = self.depth().await;
            if depth == Depth::default() {
                return;
            }
            assert!(started.elapsed() < LEFT, "messages are left: {depth:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nobody works here any more. What a worker left in hand when it lost its lease comes back when it ends, and goes as
    /// soon as another one looks.
    ///
    /// # Panics
    /// If messages stay all the same.
    pub async fn cleared(&self) {
        const LOOKS: u32 = 5;
        let mut left = Depth::default();
        for _ in 0..LOOKS {
            let done = finish(self.command("worker", &["run", "--drain"]));
            assert_eq!(done.code(), 0, "{}", done.output());
            left = self.depth().await;
            if left == Depth::default() {
                return;
            }
        }
        panic!("messages are left: {left:?}");
    }
}

/// What rings for a job.
#[must_use]
pub fn message(id: &JobId) -> Message {
    Message {
        schema: 1,
        job: id.clone(),
        accelerator: Accelerator::Cpu,
        postponed: 0,
    }
}
