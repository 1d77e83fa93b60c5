//! `cargo xtask bench`: paired measurements.

use crate::Result;

/// Not written yet.
pub fn task(_arguments: &[String]) -> Result<()> {
    Err("not written yet".to_owned())
}
