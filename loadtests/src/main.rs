//! User journeys against a running broker.
fn main() {}
