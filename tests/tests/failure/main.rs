//! Everything dies, everywhere: each step of a job, on every pair of queue and store. The short tests are part of `make
//! test`; the long ones are run by `make test-failure`.

mod chaos;
mod faults;
mod level;
mod steps;
mod zombie;

/// Of RabbitMQ's private node.
const BROKER: &str = env!("CARGO_BIN_EXE_broker");
/// Trials that run side by side; each mostly waits for a lease to end. As many as there are virtual hosts.
const LANES: usize = 6;
