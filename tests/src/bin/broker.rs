//! A private RabbitMQ node, which ends with whoever holds its standard input: by end, panic or SIGKILL. Everything
//! that it needs (ports, node name, data, Erlang cookie and port mapper) is its own, so that several can run at once.
//!
//! Says `{"port":…, "tls_port":…, "certificates":…}` on stdout when it is ready, then answers one JSON line for each line on stdin:
//! * `stop`: kills the node (SIGKILL);  * `start`: starts it again with its data, and waits until it is ready;
//! * `ctl ["…"]`: runs `rabbitmqctl`; its output and whether it succeeded.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::certificates;
use tests::rabbitmq::definitions;

/// Longer than a node takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Node {
    folder: PathBuf,
    port: u16,
    tls_port: u16,
    environment: Vec<(&'static str, OsString)>,
    epmd: Child,
    server: Option<Child>,
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut node = Node::new(folder.path())?;
    let served = serve(&mut node);
    node.end();
    served
}

fn serve(node: &mut Node) -> Result<()> {
    node.start()?;
    say(&json!({"port": node.port, "tls_port": node.tls_port, "certificates": node.folder.join("tls")}))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("stop", _) => {
                node.stop();
                say(&json!({}))?;
            }
            ("start", _) => {
                node.start()?;
                say(&json!({}))?;
            }
            ("ctl", arguments) => say(&node.ctl(&serde_json::from_str::<Vec<String>>(arguments)?)?)?,
            (other, _) => bail!("no such request: {other}"),
        }
    }
    Ok(())
}

fn say(answer: &Value) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{answer}")?;
    stdout.flush().context("nobody listens")
}

/// Debian's scripts for everybody; those in /usr/sbin are for root and the system's own node.
fn program(name: &str) -> PathBuf {
    Path::new("/usr/lib/rabbitmq/bin").join(name)
}

/// Ports that nobody has. Not among those that the system gives to whoever asks for any (32768 and up on Linux): it
/// would give them away between their choice and their use, and while the node is stopped.
fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    const CANDIDATES: std::ops::Range<u16> = 10_000..30_000;
    // Each process begins elsewhere, so that nodes that start at once do not choose the same.
    let first = usize::try_from(std::process::id())? * COUNT % CANDIDATES.len();
    let mut free = CANDIDATES.cycle().skip(first).take(CANDIDATES.len());
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        *port = free.find(is_free).context("no port is free")?;
    }
    Ok(ports)
}

impl Node {
    fn new(folder: &Path) -> Result<Self> {
        if !program("rabbitmq-server").exists() {
            bail!("rabbitmq-server is not installed: `scripts/setup.sh judges` does that");
        }
        let [port, tls_port, distribution, mapper] = free_ports()?;
        for name in ["home", "log", "data", "tls"] {
            std::fs::create_dir(folder.join(name))?;
        }
        std::fs::write(folder.join("definitions.json"), definitions())?;
        std::fs::write(folder.join("plugins"), "[].")?;
        certificates::write(&folder.join("tls"))?;
        let tls = |name: &str| folder.join("tls").join(name).display().to_string();
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nlog.file = false\nlog.console = true\n\
             log.console.level = warning\ndisk_free_limit.absolute = 1MB\nvm_memory_high_watermark.absolute = 2GB\n\
             load_definitions = {}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n",
            folder.join("definitions.json").display(),
            tls("authority.pem"),
            tls("server.pem"),
            tls("server.key"),
        );
        std::fs::write(folder.join("rabbitmq.conf"), settings)?;
        let at = |name: &str| folder.join(name).into_os_string();
        let environment = vec![
            ("HOME", at("home")),
            ("ERL_EPMD_PORT", mapper.to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODENAME", format!("trainyard-{port}@localhost").into()),
            ("RABBITMQ_DIST_PORT", distribution.to_string().into()),
            ("RABBITMQ_MNESIA_BASE", at("data")),
            ("RABBITMQ_LOG_BASE", at("log")),
            ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
            ("RABBITMQ_FEATURE_FLAGS_FILE", at("feature-flags")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", at("config")),
            ("RABBITMQ_PID_FILE", at("pid")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            // Few threads that do not spin: a machine of tests has other work.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".into(),
            ),
        ];
        let epmd = Command::new("epmd")
            .args(["-port", &mapper.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start epmd")?;
        Ok(Self {
            folder: folder.to_owned(),
            port,
            tls_port,
            environment,
            epmd,
            server: None,
        })
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Starts the node and returns when it speaks AMQP.
    fn start(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))?;
        // A group of its own: the script waits for a child, which would survive it.
        let server = self
            .command("rabbitmq-server")
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let started = Instant::now();
        let server = self.server.insert(server);
        while !speaks(self.port) {
            if server.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.folder.join("server.log"))?;
                bail!("the node did not start:\n{log}");
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Kills the node as a power cut would.
    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // It may have ended; then there is nothing to do.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", server.id())])
            .status();
        let _ = server.wait();
    }

    fn ctl(&self, arguments: &[String]) -> Result<Value> {
        let output = self.command("rabbitmqctl").args(arguments).output()?;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(json!({"ok": output.status.success(), "output": text}))
    }

    fn end(&mut self) {
        self.stop();
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

/// Whether a broker answers the greeting of AMQP 0-9-1.
fn speaks(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut first = [0];
    let answered = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.write_all(b"AMQP\x00\x00\x09\x01"))
        .and_then(|()| stream.read_exact(&mut first));
    answered.is_ok() && first == [1]
}
