//! `dispatcher setup`: what the fleet's broker needs, once.

use crate::cli::Format;
use crate::failure::Failure;
use crate::out;
use crate::site::Site;
use shared::exit::ExitCode;
use shared::queue::rabbitmq::topology::Topology;
use shared::queue::rabbitmq::{self, Found, Made};
use shared::settings::Variables;

/// Declare exchanges and queues on the RabbitMQ of TRAINYARD_QUEUE_URL; repeating it changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only print what would be declared, as `rabbitmqctl import_definitions` reads it; connects to nothing.
    #[arg(long)]
    pub print_definitions: bool,
    /// The virtual host of the printed definitions.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "trainyard",
        requires = "print_definitions"
    )]
    pub vhost: String,
}

/// Declares, or prints.
///
/// # Errors
/// Exit 64 for bad settings, 69 for a broker that cannot be reached, refuses it, or has a queue of other arguments.
pub(crate) async fn execute(site: &Site, args: Args) -> Result<ExitCode, Failure> {
    if args.print_definitions {
        out::print(Topology::expected().definitions(&args.vhost).trim_end())?;
        return Ok(ExitCode::Ok);
    }
    let fleet = site.fleet(&Variables::new())?;
    let made = match fleet.queue_url.scheme() {
        "amqp" | "amqps" => rabbitmq::setup(fleet.queue_url.expose()).await?,
        _ => Vec::new(),
    };
    let of = |found: Found| -> Vec<&str> {
        let those = made.iter().filter(move |part| part.found == found);
        those.map(|part: &Made| part.what.as_str()).collect()
    };
    let (new, old) = (of(Found::Made), of(Found::ThereAlready));
    match site.format {
        Format::Json => out::document(&serde_json::json!({"made": new, "there_already": old}))?,
        Format::Text if made.is_empty() => out::print(&format!("{} needs no set-up", fleet.queue_url))?,
        Format::Text => {
            for part in &new {
                out::print(&format!("made {part}"))?;
            }
            let there = format!("{} made, {} there already", new.len(), old.len());
            out::print(&format!("{}: {there}", fleet.queue_url))?;
        }
    }
    Ok(ExitCode::Ok)
}
