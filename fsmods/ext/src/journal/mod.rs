//! The journal (JBD2): what an unclean image would look like after its replay, without writing to it.
//!
//! | Module    | Responsibility                                                      |
//! |-----------|---------------------------------------------------------------------|
//! | `wire`    | the journal's superblock, headers, tags and revoke records          |
//! | `log`     | walks the transactions and finds where the log ends                 |
//! | `commit`  | writes transactions, and empties the log                    |
//! | `replay`  | the three passes, which end in the [`Overlay`] of blocks            |
//!
//! The overlay holds only where the newest copy of a block lies, so its size is that of the log's tags.
//!
//! References: the kernel's Documentation/filesystems/ext4/journal.rst, fs/jbd2/recovery.c for behaviour.

mod commit;
mod log;
mod replay;
mod wire;

use crate::blocks::{Blocks, Overlay};
use crate::error::MountError;
use crate::features::{COMPAT_HAS_JOURNAL, INCOMPAT_RECOVER};
use crate::geometry::Geometry;
use crate::inode::{Inode, Kind};

pub(crate) use commit::Writer;
pub(crate) use wire::MAGIC;

/// What the replay found.
pub(crate) struct Replay {
    pub(crate) overlay: Overlay,
    /// Lines for the log.
    pub(crate) notes: Vec<String>,
    /// The first transaction that the log does not hold; `None` when the log was empty.
    pub(crate) end: Option<u32>,
    /// Something in the log was not replayed.
    pub(crate) is_partial: bool,
}

/// Replays the journal in memory, if the file system has one and needs it.
///
/// # Errors
/// The journal is on another device, or its log can't be trusted.
pub(crate) fn recover(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: impl FnOnce(u32) -> crate::error::Result<std::sync::Arc<Inode>>,
) -> Result<Option<Replay>, MountError> {
    if !geometry.features.compat(COMPAT_HAS_JOURNAL) {
        return match geometry.features.incompat(INCOMPAT_RECOVER) {
            true => Err(MountError::Journal(
                "the file system needs recovery but has no journal".to_owned(),
            )),
            false => Ok(None),
        };
    }
    if geometry.journal_inode == 0 {
        return Err(MountError::ExternalJournal {
            uuid: uuid_text(&geometry.journal_uuid),
        });
    }
    if !geometry.features.incompat(INCOMPAT_RECOVER) {
        return Ok(None);
    }
    let journal =
        inode(geometry.journal_inode).map_err(|error| MountError::Journal(error.to_string()))?;
    if journal.kind != Kind::Regular || journal.has_inline_data() {
        return Err(MountError::Journal(format!(
            "inode {} is not a journal",
            journal.number
        )));
    }
    replay::replay(blocks, geometry, &journal).map(Some)
}

/// A UUID as text.
pub(crate) fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
