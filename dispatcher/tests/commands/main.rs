//! The binary as scripts use it: exit codes, text, JSON, over a directory store and an embedded queue.

mod existing_jobs;
mod machine;
mod output;
mod publishing;
mod usage;
