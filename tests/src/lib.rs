//! Conformance suites run over every backend, and the machine in which the binaries are tried.

pub mod hub_server;
pub mod registry;
pub mod sandbox;
pub mod tiny_model;
