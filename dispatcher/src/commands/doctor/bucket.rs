//! The checks of a store on S3, after it has kept its conditional writes.

use super::Check;
use super::checks::{check, warning};
use crate::site::Yard;
use shared::store::s3::{Asked, Copies, Inspection, inspect};

/// A clock that is further away than this is worth a word: ages of objects decide what is swept. S3 itself refuses
/// requests from 15 minutes on.
const CLOCKS: i64 = 60;

/// Clock, versioning, uploads, copies; nothing for other stores.
pub(super) async fn checks(yard: &Yard) -> Vec<Check> {
    if yard.fleet.store_url.scheme() != "s3" {
        return Vec::new();
    }
    match inspect(yard.fleet.store_url.expose(), &yard.fleet.aws).await {
        Ok(found) => found_in(found),
        Err(error) => vec![check("bucket", Err(error.into()))],
    }
}

fn found_in(found: Inspection) -> Vec<Check> {
    vec![
        clock(found.ahead_s),
        versioning(found.versioning),
        uploads(found.uploads),
        check(
            "bucket parts",
            found.parts.map(|()| "an upload of parts overwrites nothing".into()),
        ),
        copies(found.copies),
    ]
}

fn clock(ahead_s: Option<i64>) -> Check {
    const WHAT: &str = "bucket clock";
    match ahead_s {
        None => warning(
            WHAT,
            "the server does not tell its time; uploads that nobody completes are never swept",
        ),
        Some(ahead) if ahead.abs() > CLOCKS => warning(
            WHAT,
            format!(
                "the server's clock is {ahead:+} s from this machine's: set it (NTP); beyond 15 minutes S3 refuses everything"
            ),
        ),
        Some(ahead) => check(WHAT, Ok(format!("{ahead:+} s from this machine's"))),
    }
}

fn versioning(answer: anyhow::Result<Asked<bool>>) -> Check {
    const WHAT: &str = "bucket versioning";
    match answer {
        Ok(Asked::Told(true)) => warning(
            WHAT,
            "on: every state of a job that was replaced and every swept object is kept and paid for; a lifecycle rule for old versions below trainyard/ ends that",
        ),
        Ok(Asked::Told(false)) => check(WHAT, Ok("off, or suspended".into())),
        Ok(Asked::NotAllowed) => check(
            WHAT,
            Ok("must not be asked for with these keys (s3:GetBucketVersioning)".into()),
        ),
        Err(error) => warning(WHAT, format!("it does not say: {error:#}")),
    }
}

fn uploads(answer: anyhow::Result<Asked<usize>>) -> Check {
    const WHAT: &str = "bucket uploads";
    match answer {
        Ok(Asked::Told(count)) => check(
            WHAT,
            Ok(format!("{count} under way or left; what is older than a day is swept")),
        ),
        Ok(Asked::NotAllowed) => warning(
            WHAT,
            "must not be listed with these keys (s3:ListBucketMultipartUploads, deploy/iam): what dead workers leave is swept only by a lifecycle rule",
        ),
        Err(error) => warning(WHAT, format!("they cannot be listed: {error:#}")),
    }
}

fn copies(copies: Copies) -> Check {
    const WHAT: &str = "bucket copies";
    check(
        WHAT,
        Ok(match copies {
            Copies::Conditional => "by CopyObject".into(),
            Copies::ByConditionalWrites => {
                "by uploads of parts that the server copies: it is not AWS's, and may not look at conditions of CopyObject".into()
            }
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told() {
        for (ahead, verdict) in [
            (Some(0), Verdict::Ok),
            (Some(-60), Verdict::Ok),
            (Some(61), Verdict::Warning),
            (Some(-3600), Verdict::Warning),
            (None, Verdict::Warning),
        ] {
            assert_eq!(clock(ahead).verdict, verdict, "{ahead:?}");
        }
        assert!(clock(Some(-90)).found.contains("-90 s"));
    }

    #[test]
    fn what_keys_do_not_allow_is_named_with_its_permission() {
        assert_eq!(uploads(Ok(Asked::NotAllowed)).verdict, Verdict::Warning);
        assert!(
            uploads(Ok(Asked::NotAllowed))
                .found
                .contains("s3:ListBucketMultipartUploads")
        );
        assert!(
            versioning(Ok(Asked::NotAllowed))
                .found
                .contains("s3:GetBucketVersioning")
        );
        assert_eq!(versioning(Ok(Asked::Told(true))).verdict, Verdict::Warning);
        assert_eq!(versioning(Err(anyhow::anyhow!("no"))).verdict, Verdict::Warning);
    }
}
