//! The checks of SQS, after the queue has answered.

use super::Check;
use super::checks::{check, warning};
use crate::site::Yard;
use anyhow::anyhow;
use shared::queue::sqs::{Difference, inspect};

/// Attributes one by one, and sending; nothing for other queues, or where SQS was not reached.
pub(super) async fn checks(yard: &Yard) -> Vec<Check> {
    if yard.fleet.queue_url.scheme() != "sqs" || yard.queue().await.is_err() {
        return Vec::new();
    }
    match inspect(yard.fleet.queue_url.expose(), &yard.fleet.aws).await {
        Ok(inspection) => {
            let mut all = attributes(inspection.differences);
            all.push(sending(&inspection.no_sending));
            all
        }
        Err(error) => vec![check("sqs", Err(error.into()))],
    }
}

fn attributes(differences: Vec<Difference>) -> Vec<Check> {
    const WHAT: &str = "sqs attributes";
    if differences.is_empty() {
        let fine = "all as dispatcher setup makes them; what is received 1000 times goes to the dead letters, and all is kept for \
                    14 days";
        return vec![check(WHAT, Ok(fine.into()))];
    }
    let one = |difference: Difference| {
        let text = format!("{}; {}", difference.found, difference.remedy);
        match difference.is_harmful {
            true => check(WHAT, Err(anyhow!(text))),
            false => warning(WHAT, text),
        }
    };
    differences.into_iter().map(one).collect()
}

fn sending(refused: &[String]) -> Check {
    const WHAT: &str = "sqs sending";
    match refused {
        [] => check(WHAT, Ok("allowed, to all queues and their dead letters".into())),
        [..] => warning(
            WHAT,
            format!(
                "these credentials may not send to {} (deploy/iam/sqs.md): a dispatcher needs all but the dead letters, a worker \
                 all, a reader none",
                refused.join(", ")
            ),
        ),
    }
}
