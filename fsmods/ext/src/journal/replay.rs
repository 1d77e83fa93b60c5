//! The three passes of recovery: where the log ends, which blocks it revokes, which it writes.

use std::collections::HashMap;

use super::Replay;
use super::log::{Event, Log, place};
use super::wire::JournalSuperblock;
use crate::blocks::{Blocks, JournalCopy, Overlay};
use crate::error::{Error, MountError, Place, Problem};
use crate::geometry::Geometry;
use crate::inode::Inode;

/// Transaction numbers wrap around: `a` is later than `b` when the way from `b` is the shorter one.
fn is_later(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

/// Replays the journal into an overlay.
///
/// # Errors
/// The journal's superblock or a block of a committed transaction is damaged.
pub(super) fn replay(
    blocks: &Blocks,
    geometry: &Geometry,
    inode: &Inode,
) -> Result<Replay, MountError> {
    let failed = |error: Error| MountError::Journal(error.to_string());
    let mut first = vec![0u8; blocks.block_size()];
    let at = place(blocks, geometry, inode, 0).map_err(failed)?;
    blocks.read_raw(at, 0, &mut first).map_err(failed)?;
    let superblock =
        JournalSuperblock::parse(&first, blocks.block_size()).map_err(MountError::Journal)?;
    if superblock.end > geometry.blocks {
        return Err(MountError::Journal(format!(
            "its log of {} blocks exceeds the file system",
            superblock.end
        )));
    }
    let mut notes = Vec::new();
    if superblock.start == 0 {
        return Ok(Replay {
            overlay: Overlay::new(),
            notes,
            end: None,
            is_partial: false,
        });
    }
    let log = Log {
        blocks,
        geometry,
        inode,
        superblock,
    };
    let end = log.scan().map_err(failed)?;
    if let Some(reason) = end.reason {
        notes.push(format!("journal: the log ends early, {reason}"));
    }
    let is_partial = log.has_fast_commit(end.sequence).map_err(failed)?;
    if is_partial {
        notes.push(
            "journal: it holds fast commits, which are not replayed: the last changes before the crash are missing"
                .to_owned(),
        );
    }
    let mut revoked: HashMap<u64, u32> = HashMap::new();
    log.visit(end.sequence, &mut |event| {
        if let Event::Revoke { sequence, blocks } = event {
            for block in blocks {
                let last = revoked.entry(*block).or_insert(sequence);
                if is_later(sequence, *last) {
                    *last = sequence;
                }
            }
        }
        Ok(())
    })
    .map_err(failed)?;
    let overlay = copies(&log, end.sequence, &revoked).map_err(failed)?;
    let transactions = end.sequence.wrapping_sub(superblock.sequence);
    notes.push(format!(
        "journal: {transactions} transactions with {} blocks replayed in memory, the image is not changed",
        overlay.len()
    ));
    Ok(Replay {
        overlay,
        notes,
        end: Some(end.sequence),
        is_partial,
    })
}

/// The newest copy of every block that no later transaction revoked.
fn copies(log: &Log<'_>, end: u32, revoked: &HashMap<u64, u32>) -> Result<Overlay, Error> {
    let bad = |detail: String| Err(Error::Corrupt(Problem::new(Place::Journal, detail)));
    let mut overlay = Overlay::new();
    let mut data = vec![0u8; log.blocks.block_size()];
    log.visit(end, &mut |event| {
        let Event::Copy { sequence, tag, at } = event else {
            return Ok(());
        };
        if revoked
            .get(&tag.block)
            .is_some_and(|revoke| !is_later(sequence, *revoke))
        {
            return Ok(());
        }
        if tag.block >= log.geometry.blocks {
            return bad(format!(
                "transaction {sequence} writes block {}, outside the file system",
                tag.block
            ));
        }
        log.blocks.read_raw(at, 0, &mut data)?;
        if !log.superblock.has_valid_copy(&tag, sequence, &data) {
            return bad(format!(
                "transaction {sequence}: the copy of block {} has a wrong checksum",
                tag.block
            ));
        }
        overlay.insert(
            tag.block,
            JournalCopy {
                at,
                is_escaped: tag.is_escaped,
            },
        );
        Ok(())
    })?;
    Ok(overlay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_numbers_wrap() {
        assert!(is_later(5, 4));
        assert!(!is_later(4, 5));
        assert!(!is_later(4, 4));
        assert!(is_later(1, u32::MAX));
        assert!(!is_later(u32::MAX, 1));
    }
}
