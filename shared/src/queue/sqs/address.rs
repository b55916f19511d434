//! Which queues, of which account, held for how long.

use super::Limits;
use std::time::Duration;

/// SQS takes names of up to 80 characters; ours end with `-inf1-dead` at the longest.
const LONGEST_PREFIX: usize = 70;
const KNOWN: &str = "expected sqs://PREFIX or sqs://ACCOUNT/PREFIX, for example sqs://trainyard; region and endpoint are AWS_REGION \
                     and AWS_ENDPOINT_URL_SQS";

/// A URL that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Twelve digits, where the queues are another account's.
    pub(super) account: Option<String>,
    /// What the queues' names begin with.
    pub(super) prefix: String,
    pub(super) limits: Limits,
    /// For people.
    pub(super) shown: String,
}

impl Address {
    /// Reads `sqs://[ACCOUNT/]PREFIX?visibility=60s&hold=12h`.
    ///
    /// # Errors
    /// For people, without what could be a secret.
    pub(super) fn read(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("sqs://").ok_or(KNOWN)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(format!(
                "keys do not belong into the URL but into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; {KNOWN}"
            ));
        }
        let (account, prefix) = match path.split_once('/') {
            Some((account, prefix)) => (Some(account), prefix),
            None => (None, path),
        };
        if account.is_some_and(|account| account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(format!("an account has twelve digits; {KNOWN}"));
        }
        if prefix.contains(".fifo") {
            return Err(format!("FIFO queues cannot be used, only standard ones; {KNOWN}"));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(allowed) {
            return Err(format!(
                "a prefix is 1 to {LONGEST_PREFIX} letters, digits, '-' and '_'; {KNOWN}"
            ));
        }
        Ok(Self {
            account: account.map(str::to_owned),
            prefix: prefix.to_owned(),
            limits: limits(query)?,
            shown: crate::connect::without_credentials(url),
        })
    }
}

fn limits(query: &str) -> Result<Limits, String> {
    let mut limits = Limits::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let limit = match name {
            "visibility" => &mut limits.visibility,
            "hold" => &mut limits.hold,
            _ => return Err(format!("unknown parameter {name:?}; known are visibility, hold")),
        };
        let longest = Limits::default().hold;
        *limit = humantime::parse_duration(value)
            .ok()
            .filter(|found| found.subsec_nanos() == 0 && (Duration::from_secs(1)..=longest).contains(found))
            .ok_or_else(|| format!("{name} is a duration of whole seconds, at most 12h, for example {name}=60s"))?;
    }
    if limits.visibility > limits.hold {
        return Err("hold, the longest time of one delivery, is shorter than its visibility".to_owned());
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_prefix_and_perhaps_an_account() {
        let address = Address::read("sqs://yard").expect("an address");
        assert_eq!((address.account, address.prefix.as_str()), (None, "yard"));
        assert_eq!(address.limits.visibility, Duration::from_secs(60));
        let address = Address::read("sqs://123456789012/the_yard-2?visibility=2s&hold=1h").expect("an address");
        assert_eq!(address.account.as_deref(), Some("123456789012"));
        assert_eq!(address.prefix, "the_yard-2");
        assert_eq!(
            (address.limits.visibility, address.limits.hold),
            (Duration::from_secs(2), Duration::from_secs(3600))
        );
        assert_eq!(address.shown, "sqs://123456789012/the_yard-2");
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        let long = format!("sqs://{}", "a".repeat(71));
        for (url, said) in [
            ("sqs://", "1 to 70"),
            (long.as_str(), "1 to 70"),
            ("sqs://a b", "1 to 70"),
            ("sqs://123/yard", "twelve digits"),
            ("sqs://123456789012/yard/cpu", "1 to 70"),
            ("sqs://yard.fifo", "FIFO"),
            ("sqs://key:s3cret@yard", "AWS_SECRET_ACCESS_KEY"),
            ("sqs://yard?visibility=13h", "at most 12h"),
            ("sqs://yard?visibility=1500ms", "whole seconds"),
            ("sqs://yard?visibility=60s&hold=30s", "shorter than its visibility"),
            ("sqs://yard?region=x", "unknown parameter \"region\""),
        ] {
            let error = Address::read(url).expect_err(url);
            assert!(error.contains(said) && !error.contains("s3cret"), "{url}: {error}");
        }
    }
}
