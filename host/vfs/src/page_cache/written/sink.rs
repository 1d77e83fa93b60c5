//! The module's side of a file that is written to.

use rustix::io::Errno;

use crate::attributes::{Attributes, Timestamp};
use crate::page_cache::Stamp;
use crate::page_cache::written::ChangeTimes;

/// Where the contents of a file go.
pub(crate) trait ContentSink: Send + Sync {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// Those of the module.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno>;

    /// Sets the size in bytes.
    ///
    /// # Errors
    /// Those of the module.
    fn set_size(&self, size: u64) -> Result<(), Errno>;

    /// Asks for space, without a change of the size. A module that cannot do that says nothing.
    ///
    /// # Errors
    /// Those of the module: `ENOSPC`, `EDQUOT`.
    fn reserve(&self, offset: u64, length: u64) -> Result<(), Errno>;

    /// fallocate(2); answers what the module has then.
    ///
    /// # Errors
    /// Those of the module; `ENOSYS` when it cannot do that at all.
    fn allocate(&self, mode: i32, offset: u64, length: u64) -> Result<Attributes, Errno>;

    /// Sets the times of the last change of the contents and of the inode. `drops_set_ids`: somebody wrote
    /// after the mode was set, so the set-id bits go.
    ///
    /// # Errors
    /// Those of the module.
    fn set_times(
        &self,
        modified: Timestamp,
        changed: Timestamp,
        drops_set_ids: bool,
    ) -> Result<(), Errno>;

    /// The times of the last changes.
    ///
    /// # Errors
    /// Those of the module.
    fn times(&self) -> Result<ChangeTimes, Errno>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// Those of the module.
    fn synchronize(&self, data_only: bool) -> Result<(), Errno>;

    /// Is there a name that leads to the file, or may there be one again? Without one nothing needs to be written.
    fn has_name(&self) -> bool;

    /// Bytes that the module has allocated for the file.
    ///
    /// # Errors
    /// Those of the module.
    fn stored_bytes(&self) -> Result<u64, Errno>;

    /// Everything was written and nobody writes any more: what version the module has. `None`: the contents are not
    /// to be kept.
    fn settled(&self) -> Option<Stamp>;
}
