//! What travels beside a body: attributes of a message, its delay, and the digest that says it arrived whole.

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use md5::{Digest, Md5};
use std::collections::HashMap;
use std::time::Duration;

/// Deliveries before this message, when one was put back by being published again.
pub(super) const DELIVERIES: &str = "trainyard-deliveries";
/// Milliseconds that are left of a delay longer than SQS's.
pub(super) const LATER: &str = "trainyard-later-ms";
/// Why a dead letter is dead.
pub(super) const REASON: &str = "trainyard-reason";

/// SQS's longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// What anybody could write into [`LATER`] is believed up to SQS's retention.
const LATEST: Duration = Duration::from_secs(14 * 24 * 3600);
/// Characters of a reason.
const REASON_LENGTH: usize = 1000;

/// What travels beside the body.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) deliveries: u32,
    /// What is left of the delay when the message arrives: whoever receives it sends it on.
    pub(super) later: Duration,
    pub(super) reason: Option<String>,
}

impl Envelope {
    pub(super) fn attributes(&self) -> HashMap<String, MessageAttributeValue> {
        let mut all = HashMap::new();
        let mut put = |name: &str, kind: &str, value: String| {
            let value = MessageAttributeValue::builder().data_type(kind).string_value(value);
            // The builder only misses a data type.
            all.extend(value.build().ok().map(|value| (name.to_owned(), value)));
        };
        if self.deliveries > 0 {
            put(DELIVERIES, "Number", self.deliveries.to_string());
        }
        if !self.later.is_zero() {
            put(LATER, "Number", self.later.as_millis().to_string());
        }
        if let Some(reason) = self.reason.as_deref().map(printable).filter(|text| !text.is_empty()) {
            put(REASON, "String", reason);
        }
        all
    }

    /// Of a message that came; whatever anybody wrote into it.
    pub(super) fn of(message: &Message) -> Self {
        let number = |name: &str| message.message_attributes()?.get(name)?.string_value()?.parse().ok();
        let deliveries: u64 = number(DELIVERIES).unwrap_or_default();
        let later = Duration::from_millis(number(LATER).unwrap_or_default());
        Self {
            deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
            later: later.min(LATEST),
            reason: None,
        }
    }
}

/// How often SQS says that it gave the message to somebody, this time included.
pub(super) fn receives(message: &Message) -> u32 {
    let counts = message.attributes();
    let count = counts.and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Seconds that SQS shall hide a message, never less than `delay`, and what is left then.
pub(super) fn split(delay: Duration) -> (i32, Duration) {
    let here = delay.min(LONGEST_DELAY);
    let seconds = here.as_secs() + u64::from(here.subsec_nanos() > 0);
    (i32::try_from(seconds).unwrap_or(900), delay - here)
}

/// As SQS tells it of a body.
pub(super) fn digest(body: &str) -> String {
    hex::encode(Md5::digest(body.as_bytes()))
}

/// As SQS tells it of attributes: sorted by name, each name, type and value with its length before it.
pub(super) fn digest_of(attributes: &HashMap<String, MessageAttributeValue>) -> Option<String> {
    const TEXT: u8 = 1;
    if attributes.is_empty() {
        return None;
    }
    let mut names: Vec<&String> = attributes.keys().collect();
    names.sort();
    let mut all = Md5::new();
    let mut part = |text: &str, mark: &[u8]| {
        all.update(mark);
        all.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.update(text.as_bytes());
    };
    for name in names {
        let value = &attributes[name];
        part(name, &[]);
        part(value.data_type(), &[]);
        part(value.string_value().unwrap_or_default(), &[TEXT]);
    }
    Some(hex::encode(all.finalize()))
}

/// SQS refuses control characters but for tab and line ends.
fn printable(text: &str) -> String {
    let allowed = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    let allowed = text
        .chars()
        .filter(|c| allowed(c) && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    allowed.take(REASON_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_never_shortened_and_the_rest_travels_along() {
        let of = |millis| split(Duration::from_millis(millis));
        assert_eq!(of(0), (0, Duration::ZERO));
        assert_eq!(of(1), (1, Duration::ZERO));
        assert_eq!(of(1500), (2, Duration::ZERO));
        assert_eq!(of(900_000), (900, Duration::ZERO));
        assert_eq!(of(900_001), (900, Duration::from_millis(1)));
        assert_eq!(of(5_000_000), (900, Duration::from_secs(4100)));
    }

    #[test]
    fn what_anybody_wrote_is_read_without_trust() {
        let message = |deliveries: &str, later: &str| {
            let value = |text: &str| {
                let value = MessageAttributeValue::builder().data_type("String").string_value(text);
                value.build().expect("a value")
            };
            Message::builder()
                .message_attributes(DELIVERIES, value(deliveries))
                .message_attributes(LATER, value(later))
                .build()
        };
        let read = |deliveries, later| {
            let envelope = Envelope::of(&message(deliveries, later));
            (envelope.deliveries, envelope.later)
        };
        assert_eq!(read("3", "1500"), (3, Duration::from_millis(1500)));
        assert_eq!(read("-3", "1e9"), (0, Duration::ZERO));
        assert_eq!(read("18446744073709551615", "18446744073709551615"), (u32::MAX, LATEST));
        assert_eq!(Envelope::of(&Message::builder().build()), Envelope::default());
    }

    #[test]
    fn reasons_are_what_sqs_takes() {
        assert_eq!(printable("a\0b\u{1b}[2Jc\n"), "ab[2Jc\n");
        assert_eq!(printable(&"é".repeat(2000)).chars().count(), REASON_LENGTH);
        let empty = Envelope {
            reason: Some("\0".into()),
            ..Envelope::default()
        };
        assert!(empty.attributes().is_empty(), "SQS refuses an empty value");
    }
}
