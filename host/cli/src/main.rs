//! The view command.
fn main() {}
