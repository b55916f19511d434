//! `dispatcher setup`: what the fleet's queue needs, once.

use crate::cli::Format;
use crate::failure::Failure;
use crate::out;
use crate::site::Site;
use shared::exit::ExitCode;
use shared::queue::rabbitmq::topology::Topology;
use shared::queue::{Found, Made, rabbitmq, sqs};
use shared::settings::Variables;

/// Make what the RabbitMQ or SQS of TRAINYARD_QUEUE_URL needs; repeating it changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only print what would be made: for SQS a CloudFormation template, else what `rabbitmqctl import_definitions` reads;
    /// connects to nothing.
    #[arg(long)]
    pub print_definitions: bool,
    /// The virtual host of the printed definitions of a RabbitMQ.
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
/// Exit 64 for bad settings, 69 for a queue that cannot be reached, refuses it, or is there with other arguments.
pub(crate) async fn execute(site: &Site, args: Args) -> Result<ExitCode, Failure> {
    let fleet = site.fleet(&Variables::new())?;
    let (url, scheme) = (fleet.queue_url.expose(), fleet.queue_url.scheme());
    if args.print_definitions {
        let definitions = match scheme {
            "sqs" => sqs::definitions(url)?,
            _ => Topology::expected().definitions(&args.vhost),
        };
        out::print(definitions.trim_end())?;
        return Ok(ExitCode::Ok);
    }
    let made = match scheme {
        "amqp" | "amqps" => rabbitmq::setup(url).await?,
        "sqs" => sqs::setup(url, &fleet.aws).await?,
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
