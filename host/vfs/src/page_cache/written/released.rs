//! What a written file has in place of its module's file when that was let go.
//!
//! Neighbours: `written` (puts it there). No locks.

use rustix::io::Errno;

use super::{ChangeTimes, ContentSink};
use crate::attributes::{Attributes, Timestamp};
use crate::page_cache::Stamp;

/// Nobody takes what is written; nothing leads to the file any more.
pub(super) struct Released;

impl ContentSink for Released {
    fn write(&self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::NOENT)
    }

    fn set_size(&self, _: u64) -> Result<(), Errno> {
        Err(Errno::NOENT)
    }

    fn reserve(&self, _: u64, _: u64) -> Result<(), Errno> {
        Err(Errno::NOENT)
    }

    fn stored_bytes(&self) -> Result<u64, Errno> {
        Ok(u64::MAX) // all of it
    }

    fn allocate(&self, _: i32, _: u64, _: u64) -> Result<Attributes, Errno> {
        Err(Errno::NOENT)
    }

    fn set_times(&self, _: Timestamp, _: Timestamp, _: bool) -> Result<(), Errno> {
        Err(Errno::NOENT)
    }

    fn times(&self) -> Result<ChangeTimes, Errno> {
        Err(Errno::NOENT)
    }

    fn synchronize(&self, _: bool) -> Result<(), Errno> {
        Err(Errno::NOENT)
    }

    fn has_name(&self) -> bool {
        false
    }

    fn settled(&self) -> Option<Stamp> {
        None
    }
}
