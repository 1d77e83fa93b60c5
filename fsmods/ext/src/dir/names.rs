//! An index in memory for large directories that have none on disk (mke2fs -d makes such): the hash of
//! each name with the block it is in. Built at the first lookup, kept while it is used.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{find_in_block, list};
use crate::crc::crc32c;
use crate::error::Result;
use crate::inode::Inode;
use crate::volume::Volume;

/// Larger directories are scanned.
pub(super) const MAX_DIRECTORY_BYTES: u64 = 8 << 20;
/// Memory for all indexes together.
pub(crate) const CACHE_BYTES: usize = 3 << 20;

/// Hash and block of every name, sorted.
pub(crate) struct NameIndex {
    places: Vec<(u32, u32)>,
}

fn key(name: &[u8]) -> u32 {
    crc32c(!0, name)
}

fn build(volume: &Volume, dir: &Inode) -> Result<NameIndex> {
    let bits = volume.geometry.block_bits;
    let mut places = Vec::new();
    list(volume, dir, 0, &mut |entry| {
        // The cookie is where the entry ends: at most the first byte of the block after its own.
        let block = entry.next.saturating_sub(1) >> bits;
        places.push((key(entry.name), u32::try_from(block).unwrap_or(u32::MAX)));
        ControlFlow::Continue(())
    })?;
    places.sort_unstable();
    places.dedup();
    places.shrink_to_fit();
    Ok(NameIndex { places })
}

/// Looks a name up through the index.
///
/// # Errors
/// EUCLEAN when the name isn't found and part of the directory can't be read.
pub(super) fn lookup(volume: &Volume, dir: &Inode, name: &[u8]) -> Result<Option<u32>> {
    let known = volume.names.lock().get(&dir.number);
    let index = match known {
        Some(index) => index,
        None => {
            let index = Arc::new(build(volume, dir)?);
            let weight = index.places.len().saturating_mul(8).saturating_add(64);
            volume
                .names
                .lock()
                .insert(dir.number, Arc::clone(&index), weight);
            index
        }
    };
    let wanted = key(name);
    let first = index.places.partition_point(|(hash, _)| *hash < wanted);
    let candidates = index.places.get(first..).unwrap_or(&[]);
    for (_, block) in candidates.iter().take_while(|(hash, _)| *hash == wanted) {
        if let Ok(Some(found)) = find_in_block(volume, dir, u64::from(*block), name) {
            return Ok(Some(found));
        }
    }
    volume.fail_if_damaged(dir)?;
    Ok(None)
}
