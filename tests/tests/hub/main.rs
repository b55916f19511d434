//! Models of the hub, against the tests' own hub server, which in turn is checked with Python's `huggingface_hub`.

mod bench;
mod eviction;
mod fetch;
mod offline;
mod processes;
mod python;
mod resolve;
mod server_faults;
