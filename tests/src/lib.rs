//! Conformance suites run over every backend, and the machine in which the binaries are tried.

pub mod aws;
pub mod base_model;
pub mod certificates;
pub mod exploration;
pub mod fleet;
pub mod http_faults;
pub mod hub_server;
pub mod imds;
pub mod kubernetes;
pub mod proxy;
pub mod python;
pub mod queue_suite;
pub mod rabbitmq;
pub mod registry;
pub mod rivals;
pub mod s3_faults;
pub mod sandbox;
pub mod sqs;
pub mod store_suite;
pub mod tiny_model;
pub mod workflow;
pub mod yard;
