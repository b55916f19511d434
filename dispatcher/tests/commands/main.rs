//! The binary as scripts use it: exit codes, text, JSON, over a directory store and an embedded queue.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod existing_jobs;
mod machine;
mod output;
mod publishing;
mod usage;
