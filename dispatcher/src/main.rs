//! The `dispatcher` binary.
fn main() {}
