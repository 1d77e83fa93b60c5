//! Names come into a directory, leave it, or lead elsewhere.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::edit::{Edit, FLAG_INDEX, FLAG_INLINE_DATA};
use super::entries::{self, Target};
use super::{Op, refuse};
use crate::blocks::Block;
use crate::bytes::{le16, le32, put, put32, span};
use crate::crc::crc32c;
use crate::dir::block;
use crate::dir::names::{self, NameIndex};
use crate::error::{Result, bad_inode};
use crate::features::{INCOMPAT_FILETYPE, INCOMPAT_LARGEDIR};
use crate::inline;
use crate::inode::Kind;
use crate::map::Content;
use crate::map::extents::Extent;

const COMPAT_DIR_INDEX: u32 = 0x20;
const TAIL_BYTES: usize = 12;
/// Where the list in the root and in a node of a hash tree starts.
pub(crate) const ROOT_LIST_AT: usize = 32;
pub(crate) const NODE_LIST_AT: usize = 8;

/// A directory's block.
pub(crate) struct Place {
    /// Its number in the directory.
    pub(crate) number: u64,
    /// Its number in the image.
    pub(crate) at: u64,
    pub(crate) block: Arc<Block>,
}

/// Turns what is wrong with a block's entries into an error.
pub(crate) fn sound<T>(
    dir: &Edit,
    number: u64,
    result: std::result::Result<T, String>,
) -> Result<T> {
    result.or_else(|detail| bad_inode(dir.number, format!("directory block {number} {detail}")))
}

/// The type byte of a kind.
pub(crate) fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => 1,
        Kind::Directory => 2,
        Kind::CharacterDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

impl Op<'_> {
    /// The type byte that an entry gets.
    pub(crate) fn entry_kind(&self, kind: Kind) -> u8 {
        match self.volume.geometry.features.incompat(INCOMPAT_FILETYPE) {
            true => kind_byte(kind),
            false => 0,
        }
    }

    /// Where entries have to end in a block.
    pub(crate) fn entries_end(&self) -> usize {
        let size = self.volume.geometry.block_size;
        match self.volume.geometry.has_checksums() {
            true => size.saturating_sub(TAIL_BYTES),
            false => size,
        }
    }

    pub(crate) fn is_indexed(&self, dir: &Edit) -> bool {
        dir.flags() & FLAG_INDEX != 0 && self.volume.geometry.features.compat(COMPAT_DIR_INDEX)
    }

    /// Blocks of a directory.
    pub(crate) fn directory_blocks(&self, dir: &Edit) -> u64 {
        dir.size() >> self.volume.geometry.block_bits
    }

    /// A checked block of a directory; `None` for a hole.
    pub(crate) fn directory_block(&self, dir: &Edit, number: u64) -> Result<Option<Place>> {
        let Content::Data(at) = self.run_of(dir, number)?.content else {
            return Ok(None);
        };
        let block = self.volume.blocks.get(at)?;
        if self.volume.geometry.has_checksums() {
            let inode = dir.inode(self.volume)?;
            block::check(&inode, &block, number, at, self.is_indexed(dir))?;
        }
        Ok(Some(Place { number, at, block }))
    }

    /// Puts a changed block of a directory back, with its checksum.
    pub(crate) fn put_directory_block(
        &self,
        dir: &Edit,
        number: u64,
        at: u64,
        mut bytes: Vec<u8>,
    ) -> Result<()> {
        if self.volume.geometry.has_checksums() {
            let looks_like_node =
                le32(&bytes, 0) == 0 && block::record_length(&bytes, 0) == bytes.len();
            match (self.is_indexed(dir), number) {
                (true, 0) => seal_node(dir.seed, &mut bytes, ROOT_LIST_AT),
                (true, _) if looks_like_node => seal_node(dir.seed, &mut bytes, NODE_LIST_AT),
                _ => seal_leaf(dir.seed, &mut bytes),
            }
        }
        let is_root = self.is_indexed(dir) && number == 0;
        let mark = block::mark(dir.number, is_root);
        let blocks = &self.volume.blocks;
        blocks.replace_checked(at, bytes.into(), mark)
    }

    /// Adds a block at a directory's end; its content follows by [`Op::put_directory_block`].
    ///
    /// # Errors
    /// ENOSPC.
    pub(crate) fn append_directory_block(&mut self, dir: &mut Edit) -> Result<(u64, u64)> {
        let number = self.directory_blocks(dir);
        let size = dir
            .size()
            .saturating_add(self.volume.geometry.block_size as u64);
        let is_wide = self.volume.geometry.features.incompat(INCOMPAT_LARGEDIR);
        if size > u64::from(u32::MAX) && !is_wide {
            return refuse(libc::ENOSPC);
        }
        let (at, count) = self.allocate_for(dir, number, 1)?;
        self.insert(
            dir,
            Extent {
                start: number,
                count,
                at,
                is_unwritten: false,
            },
        )?;
        dir.set_size(size);
        Ok((number, at))
    }

    /// Adds a name that is not there.
    ///
    /// # Errors
    /// ENOSPC, faults of the directory.
    pub(crate) fn add_name(&mut self, dir: &mut Edit, target: Target<'_>) -> Result<()> {
        self.make_directory_plain(dir)?;
        dir.modified();
        self.volume.forget_damage(dir.number);
        if self.is_indexed(dir) {
            self.volume.forget_directory(dir.number);
            return self.add_indexed(dir, target);
        }
        // Without the feature an index would no longer be true.
        dir.set_flags(dir.flags() & !FLAG_INDEX);
        let blocks = self.directory_blocks(dir);
        let need = entries::needed(target.name);
        let index = self.names_of(dir)?;
        let start = index
            .as_ref()
            .map_or(0, |index| index.first_with_room(need));
        let came = |number| match &index {
            Some(index) if index.came(target.name, need, number) => {}
            _ => self.volume.forget_directory(dir.number),
        };
        for number in start..blocks {
            let Some(place) = self.directory_block(dir, number)? else {
                continue;
            };
            let mut bytes = place.block.data().to_vec();
            if sound(
                dir,
                number,
                entries::insert(&mut bytes, self.entries_end(), target),
            )? {
                came(number);
                return self.put_directory_block(dir, number, place.at, bytes);
            }
        }
        if blocks == 1 && self.volume.geometry.features.compat(COMPAT_DIR_INDEX) {
            self.volume.forget_directory(dir.number);
            self.make_index(dir)?;
            return self.add_indexed(dir, target);
        }
        came(blocks);
        let (number, at) = self.append_directory_block(dir)?;
        let list = [(target.inode, target.kind, target.name.to_vec())];
        let bytes = entries::pack(self.volume.geometry.block_size, self.entries_end(), &list);
        self.put_directory_block(dir, number, at, bytes)
    }

    /// The index in memory of a directory that has none on disk, if it is large.
    fn names_of(&self, dir: &Edit) -> Result<Option<Arc<NameIndex>>> {
        names::index_of(self.volume, &*dir.inode(self.volume)?)
    }

    /// The block that holds a name.
    fn find_name(&self, dir: &Edit, name: &[u8]) -> Result<Option<Place>> {
        if self.is_indexed(dir) && name != b"." && name != b".." {
            return self.find_indexed(dir, name);
        }
        let size = self.volume.geometry.block_size;
        let known = self.names_of(dir)?;
        for number in known.map_or(Vec::new(), |index| index.blocks_of(name)) {
            if let Some(place) = self.directory_block(dir, number)?
                && sound(dir, number, entries::has(place.block.data(), size, name))?
            {
                return Ok(Some(place));
            }
        }
        for number in 0..self.directory_blocks(dir) {
            let Some(place) = self.directory_block(dir, number)? else {
                continue;
            };
            if sound(dir, number, entries::has(place.block.data(), size, name))? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Removes a name; answers the inode it led to.
    ///
    /// # Errors
    /// ENOENT, faults of the directory.
    pub(crate) fn remove_name(&mut self, dir: &mut Edit, name: &[u8]) -> Result<u32> {
        self.make_directory_plain(dir)?;
        let Some(place) = self.find_name(dir, name)? else {
            return refuse(libc::ENOENT);
        };
        let mut bytes = place.block.data().to_vec();
        let end = self.entries_end();
        let Some(inode) = sound(dir, place.number, entries::remove(&mut bytes, end, name))? else {
            return refuse(libc::ENOENT);
        };
        if !self.is_indexed(dir)
            && let Some(index) = self.names_of(dir)?
        {
            index.went(place.number);
        }
        self.put_directory_block(dir, place.number, place.at, bytes)?;
        dir.modified();
        Ok(inode)
    }

    /// Lets a name lead elsewhere; answers where it led.
    ///
    /// # Errors
    /// ENOENT, faults of the directory.
    pub(crate) fn replace_name(&mut self, dir: &mut Edit, target: Target<'_>) -> Result<u32> {
        self.make_directory_plain(dir)?;
        let Some(place) = self.find_name(dir, target.name)? else {
            return refuse(libc::ENOENT);
        };
        let mut bytes = place.block.data().to_vec();
        let size = self.volume.geometry.block_size;
        let Some(inode) = sound(
            dir,
            place.number,
            entries::replace(&mut bytes, size, target),
        )?
        else {
            return refuse(libc::ENOENT);
        };
        self.put_directory_block(dir, place.number, place.at, bytes)?;
        self.volume.forget_damage(dir.number);
        dir.modified();
        Ok(inode)
    }

    /// Fills a new directory with `.` and `..`.
    ///
    /// # Errors
    /// ENOSPC.
    pub(crate) fn fill_new_directory(&mut self, dir: &mut Edit, parent: u32) -> Result<()> {
        let kind = self.entry_kind(Kind::Directory);
        let list = [
            (dir.number, kind, b".".to_vec()),
            (parent, kind, b"..".to_vec()),
        ];
        let (number, at) = self.append_directory_block(dir)?;
        let bytes = entries::pack(self.volume.geometry.block_size, self.entries_end(), &list);
        self.put_directory_block(dir, number, at, bytes)
    }

    /// Moves a directory that lies in its inode to a block.
    ///
    /// # Errors
    /// ENOSPC, faults of the directory.
    pub(crate) fn make_directory_plain(&mut self, dir: &mut Edit) -> Result<()> {
        if dir.flags() & FLAG_INLINE_DATA == 0 {
            return Ok(());
        }
        let inode = dir.inode(self.volume)?;
        let kind = self.entry_kind(Kind::Directory);
        let mut list = vec![
            (dir.number, kind, b".".to_vec()),
            (le32(&inode.block, 0), kind, b"..".to_vec()),
        ];
        let (head, rest) = inline::parts(&self.volume.geometry, &inode)?;
        for part in [span(head, 4, head.len()), rest] {
            for entry in block::entries(part) {
                let entry = sound(dir, 0, entry)?;
                if entry.inode != 0 {
                    list.push((entry.inode, entry.kind, entry.name.to_vec()));
                }
            }
        }
        let need: usize = list.iter().map(|(_, _, name)| entries::needed(name)).sum();
        if need > self.entries_end() {
            return bad_inode(dir.number, "has more names inside the inode than fit");
        }
        self.drop_inline_value(dir)?;
        dir.set_flags(dir.flags() & !FLAG_INLINE_DATA);
        dir.set_size(0);
        dir.set_block(0, &[0; 60]);
        dir.make_extents();
        let (number, at) = self.append_directory_block(dir)?;
        let bytes = entries::pack(self.volume.geometry.block_size, self.entries_end(), &list);
        self.put_directory_block(dir, number, at, bytes)?;
        self.volume.forget_directory(dir.number);
        Ok(())
    }

    /// Whether a directory has no names but its own.
    ///
    /// # Errors
    /// Faults of the directory.
    pub(crate) fn is_empty_directory(&self, number: u32) -> Result<bool> {
        let inode = self.volume.inode(number)?;
        let mut is_empty = true;
        self.volume.list(&inode, 0, &mut |entry| {
            if entry.name == b"." || entry.name == b".." {
                return ControlFlow::Continue(());
            }
            is_empty = false;
            ControlFlow::Break(())
        })?;
        self.volume.fail_if_damaged(&inode)?;
        Ok(is_empty)
    }
}

/// Puts the tail with the checksum at the end of a leaf.
fn seal_leaf(seed: u32, bytes: &mut [u8]) {
    let Some(tail) = bytes.len().checked_sub(TAIL_BYTES) else {
        return;
    };
    let sum = crc32c(seed, span(bytes, 0, tail));
    put(bytes, tail, &[0, 0, 0, 0, TAIL_BYTES as u8, 0, 0, 0xde]);
    put32(bytes, tail.saturating_add(8), sum);
}

/// Puts the checksum behind the list of a node, whose list starts at `start`.
fn seal_node(seed: u32, bytes: &mut [u8], start: usize) {
    let limit = usize::from(le16(bytes, start));
    let count = usize::from(le16(bytes, start.saturating_add(2)));
    let tail = start.saturating_add(limit.saturating_mul(8));
    let used = start.saturating_add(count.saturating_mul(8));
    put32(bytes, tail, 0);
    let sum = crc32c(seed, span(bytes, 0, used));
    let sum = crc32c(sum, &[0; 8]);
    put32(bytes, tail.saturating_add(4), sum);
}
