//! What only a store on S3 can meet: the faults of a network and of a busy server, parts, wrong bytes.

mod binaries;
mod conditional_writes;
mod copies;
mod discipline;
mod looks;
mod place;
mod sweep;
mod transfers;
mod wrong_bytes;
