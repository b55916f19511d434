//! Debian's real RabbitMQ for the tests: one private node a test binary, and virtual hosts of which a test has one.

use anyhow::{Context, Result};
use lapin::options::{QueueDeleteOptions, QueuePurgeOptions};
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use shared::job::Accelerator;
use shared::queue::rabbitmq::topology::{self, Topology};
use shared::queue::rabbitmq::{Limits, RabbitQueue, setup};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// May do everything.
pub const ADMIN: &str = "admin";
/// The password of every user: no test may find it in any text.
pub const PASSWORD: &str = "s3cret-of-the-tests";
/// Virtual hosts that are lent to tests.
const VHOSTS: usize = 6;

/// What the node begins with: users, the virtual hosts, and in `trainyard` what this project's own
/// `deploy/rabbitmq/definitions.json` holds, with the permissions that its README recommends.
#[must_use]
pub fn definitions() -> String {
    let mut all: Value = serde_json::from_str(&Topology::expected().definitions("trainyard")).expect("JSON");
    let lent: Vec<String> = (0..VHOSTS)
        .map(|number| format!("test{number}"))
        .chain(["bare", "fresh", "other", "alone"].map(Into::into))
        .collect();
    let user = |name: &str| json!({"name": name, "password": PASSWORD, "tags": ""});
    all["users"] = [ADMIN, "dispatcher", "worker", "reader"].map(user).into();
    let vhosts = all["vhosts"].as_array_mut().expect("a list");
    vhosts.extend(lent.iter().map(|name| json!({"name": name})));
    let permission = |user: &str, vhost: &str, [configure, write, read]: [&str; 3]| json!({"user": user, "vhost": vhost, "configure": configure, "write": write, "read": read});
    let mut permissions: Vec<Value> = lent.iter().map(|vhost| permission(ADMIN, vhost, [".*"; 3])).collect();
    permissions.push(permission(ADMIN, "trainyard", [".*"; 3]));
    for (user, rights) in ROLES {
        permissions.push(permission(user, "trainyard", rights));
    }
    all["permissions"] = permissions.into();
    all.to_string()
}

/// Least privilege: user, what it may configure, write, read. deploy/rabbitmq/README.md says the same.
pub const ROLES: [(&str, [&str; 3]); 3] = [
    ("dispatcher", ["^$", r"^trainyard(\.delay\.9)?$", "^$"]),
    (
        "worker",
        ["^$", r"^trainyard(\.delay\.9|\.dead)?$", r"^trainyard\.(cpu|gpu|inf1)$"],
    ),
    ("reader", ["^$", "^$", "^$"]),
];

/// A running node. It ends when this process does, however that ends.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    tls_port: u16,
    certificates: String,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    free: Mutex<Vec<String>>,
    gate: Arc<RwLock<()>>,
}

/// A virtual host of its own, empty, with the queues of this version. Others run beside it.
#[derive(Debug)]
pub struct Vhost {
    broker: &'static Broker,
    name: String,
    _others_may: OwnedRwLockReadGuard<()>,
}

/// The node without other tests. One that fails leaves it running, and as it was.
#[derive(Debug)]
pub struct Alone {
    broker: &'static Broker,
    _nobody_else: OwnedRwLockWriteGuard<()>,
}

impl Alone {
    /// The virtual host that only these tests use, empty, with the queues of this version.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn url(&self) -> String {
        self.broker.empty("alone").await;
        let url = self.broker.url(ADMIN, "alone");
        setup(&url).await.expect("the queues");
        // What queues there are is on disk up to two seconds later only (Erlang's disk_log), and where the data of a
        // quorum queue lies up to half a second (Ra's names.dets). A node that is killed before may come back with a queue of
        // the test before, whose data is gone.
        let sync = "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()].";
        self.broker.ctl(&["eval", sync]).await;
        url
    }

    /// The node.
    #[must_use]
    pub fn broker(&self) -> &'static Broker {
        self.broker
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Started anew, it has the settings of its file again.
            for request in ["stop", "start"] {
                let _ = self.broker.ask_now(request);
            }
        }
    }
}

impl Broker {
    /// The node of this test binary, started by the first test that asks. `broker` is `CARGO_BIN_EXE_broker`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn get(broker: &str) -> &'static Self {
        static BROKER: OnceLock<Broker> = OnceLock::new();
        BROKER.get_or_init(|| Self::start_new(broker).expect("a RabbitMQ node"))
    }

    fn start_new(broker: &str) -> Result<Self> {
        let mut child = Command::new(Path::new(broker))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the tests; the node goes when they are gone.
            .process_group(0)
            .spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let ready = line(&mut stdout)?;
        let port = |name: &str| anyhow::Ok(u16::try_from(ready[name].as_u64().context("no port")?)?);
        Ok(Self {
            port: port("port")?,
            tls_port: port("tls_port")?,
            certificates: ready["certificates"].as_str().context("no certificates")?.to_owned(),
            pipes: Mutex::new((stdin, stdout)),
            free: Mutex::new((0..VHOSTS).map(|number| format!("test{number}")).collect()),
            gate: Arc::default(),
        })
    }

    /// A URL of this node.
    #[must_use]
    pub fn url(&self, user: &str, vhost: &str) -> String {
        self.url_at(user, vhost, self.address())
    }

    /// A URL of this node at another address: that of a proxy.
    #[must_use]
    pub fn url_at(&self, user: &str, vhost: &str, address: SocketAddr) -> String {
        format!("amqp://{user}:{PASSWORD}@{address}/{vhost}")
    }

    /// Where it listens, for a proxy in front of it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A URL over TLS, without certificates; the node wants one of its own authority from every client.
    #[must_use]
    pub fn tls_url(&self, user: &str, vhost: &str) -> String {
        format!("amqps://{user}:{PASSWORD}@localhost:{}/{vhost}", self.tls_port)
    }

    /// `authority.pem`, `client.pem` or `client.key`.
    #[must_use]
    pub fn certificate(&self, name: &str) -> String {
        format!("{}/{name}", self.certificates)
    }

    /// Kills the node, or starts it again with its data; `rabbitmqctl` for the rest. Only for who has it alone.
    ///
    /// # Panics
    /// If the node does not do it.
    pub async fn ask(&'static self, request: String) -> Value {
        let asked = tokio::task::spawn_blocking(move || self.ask_now(&request));
        asked.await.expect("no panic").expect("an answer")
    }

    fn ask_now(&self, request: &str) -> Result<Value> {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipes.0, "{request}").and_then(|()| pipes.0.flush())?;
        line(&mut pipes.1)
    }

    /// Runs `rabbitmqctl`; what it says.
    ///
    /// # Panics
    /// If it fails.
    pub async fn ctl(&'static self, arguments: &[&str]) -> String {
        let answer = self.ask(format!("ctl {}", json!(arguments))).await;
        assert_eq!(answer["ok"], true, "rabbitmqctl {arguments:?}: {answer}");
        answer["output"].as_str().unwrap_or_default().to_owned()
    }

    /// A virtual host beside those of other tests.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn vhost(&'static self) -> Vhost {
        let others_may = self.beside_others().await;
        let name = loop {
            let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match free {
                Some(name) => break name,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let vhost = Vhost {
            broker: self,
            name,
            _others_may: others_may,
        };
        self.empty(&vhost.name).await;
        setup(&vhost.url()).await.expect("the queues");
        vhost
    }

    /// The node beside other tests, for those that need no virtual host of their own: while this is held, nobody stops
    /// the node or raises an alarm in it.
    pub async fn beside_others(&'static self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.gate).read_owned().await
    }

    /// The node without other tests, for those that stop or change it.
    pub async fn alone(&'static self) -> Alone {
        Alone {
            broker: self,
            _nobody_else: Arc::clone(&self.gate).write_owned().await,
        }
    }

    /// A plain AMQP channel, for what the queue itself does not do.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn channel(&self, vhost: &str) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url(ADMIN, vhost), ConnectionProperties::default())
            .await
            .expect("a connection");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }

    /// Nothing of the test before, not even what is still in a dead connection's hands: work queues go as a whole.
    async fn empty(&self, vhost: &str) {
        let (_connection, channel) = self.channel(vhost).await;
        for accelerator in Accelerator::ALL {
            let queue = topology::work_queue(accelerator);
            let options = QueueDeleteOptions::default();
            channel
                .queue_delete(queue.as_str().into(), options)
                .await
                .expect("deletes");
        }
        let parked = |bit| Accelerator::ALL.map(|accelerator| topology::delay_queue(accelerator, bit));
        let dead = Accelerator::ALL.map(topology::dead_queue);
        for queue in (0..topology::DELAYS).flat_map(parked).chain(dead) {
            let options = QueuePurgeOptions::default();
            // The first test in a virtual host finds none.
            if channel.queue_purge(queue.as_str().into(), options).await.is_err() {
                return;
            }
        }
    }
}

impl Vhost {
    /// With all permissions.
    #[must_use]
    pub fn url(&self) -> String {
        self.broker.url(ADMIN, &self.name)
    }

    /// The same, with another server's address: that of a proxy.
    #[must_use]
    pub fn url_at(&self, address: SocketAddr) -> String {
        self.broker.url_at(ADMIN, &self.name, address)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A queue with this visibility.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn queue(&self, visibility: Duration) -> RabbitQueue {
        let limits = Limits {
            visibility,
            ..Limits::default()
        };
        RabbitQueue::connect(&self.url(), limits).await.expect("a queue")
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        self.broker
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name);
    }
}

fn line(stdout: &mut impl BufRead) -> Result<Value> {
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    serde_json::from_str(&line)
        .with_context(|| format!("the broker said {line:?}; is it installed? scripts/setup.sh judges"))
}
