//! `s3://BUCKET[/PREFIX]`.

use crate::store::Key;

/// A bucket, and the folder in it below which everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) bucket: String,
    prefix: Option<Key>,
}

impl Address {
    /// Reads what follows `s3:`.
    pub(super) fn parse(rest: &str) -> Result<Self, &'static str> {
        let rest = rest.strip_prefix("//").ok_or("a bucket comes after s3://")?;
        if rest.contains('@') {
            return Err("keys do not belong into it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile");
        }
        if rest.contains(['?', '#']) {
            return Err("it has no options");
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket(bucket) {
            return Err("a bucket is named by 3 to 63 lower-case letters, digits, dots and hyphens");
        }
        let prefix = match prefix.trim_end_matches('/') {
            "" => None,
            // Leaves room for keys: together no more than the 1,024 bytes of S3.
            prefix if prefix.len() > 100 => return Err("its prefix is longer than 100 bytes"),
            prefix => Some(Key::new(prefix).map_err(|_| "its prefix is no path of names")?),
        };
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }

    /// What S3 calls `key`.
    pub(super) fn name(&self, key: &Key) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{key}"),
            None => key.to_string(),
        }
    }

    /// The key of what S3 calls `name`; `None` for an object that is no key of ours.
    pub(super) fn key(&self, name: &str) -> Option<Key> {
        let name = match &self.prefix {
            Some(prefix) => name.strip_prefix(prefix.as_str())?.strip_prefix('/')?,
            None => name,
        };
        Key::new(name).ok()
    }

    /// What everything of ours begins with.
    pub(super) fn root(&self) -> String {
        self.prefix.as_ref().map(|it| format!("{it}/")).unwrap_or_default()
    }

    /// For people.
    pub(super) fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.root())
    }
}

/// The rules of S3 for new buckets, as far as they are about characters.
fn is_bucket(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    (3..=63).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_and_a_prefix_are_read() {
        let key = Key::new("trainyard/x").expect("a key");
        for (url, name) in [
            ("//models-dev", "trainyard/x"),
            ("//models-dev/", "trainyard/x"),
            ("//models-dev/team/a/", "team/a/trainyard/x"),
        ] {
            let address = Address::parse(url).expect(url);
            assert_eq!(address.bucket, "models-dev");
            assert_eq!(address.name(&key), name);
            assert_eq!(address.key(name), Some(key.clone()));
        }
    }

    #[test]
    fn what_is_no_bucket_is_refused() {
        for url in [
            "bucket",
            "//",
            "///x",
            "//Bucket",
            "//a",
            "//-ab",
            "//buck et",
            "//bucket/a//b",
            "//bucket/../b",
            "//key:secret@bucket",
            "//bucket?region=x",
            "//bu_cket",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn objects_outside_the_prefix_are_nobodys() {
        let address = Address::parse("//bucket/team").expect("an address");
        for name in ["team", "team/", "teams/x", "other/x", "team/a//b"] {
            assert_eq!(address.key(name), None, "{name}");
        }
    }
}
