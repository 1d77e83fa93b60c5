//! A mounted image: the engine below the `Filesystem` adapter, with answers as `Result`s.
//!
//! Everything is immutable but the caches, so any number of threads may read at once.
//!
//! Locks: `inodes`, `names`, `damaged`, `Inode::last_run` and the block cache are leaves; none is held while
//! another is taken or the source is read. `statistics` is computed once, by the first who asks.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use fuse_compat::BlockSource;
use parking_lot::Mutex;

use crate::blocks::Blocks;
use crate::cache::ClockCache;
use crate::data::Seek;
use crate::device::Device;
use crate::dir::names::{CACHE_BYTES, NameIndex};
use crate::dir::{self, Entry};
use crate::error::{Error, MountError, Place, Problem, Result, bad_inode};
use crate::features::Variant;
use crate::geometry::{Geometry, ROOT_INODE};
use crate::inode::{Inode, Kind};
use crate::options::Options;
use crate::report::{Reporter, Sink};
use crate::statistics::{self, Statistics};
use crate::wire::superblock::{RawSuperblock, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET};
use crate::write::{Writer, mount};
use crate::{data, group, inline, journal, xattr};

/// Inodes kept parsed.
const INODE_CACHE_ENTRIES: usize = 1024;
/// Damaged directories remembered.
const MAX_DAMAGED: usize = 4096;
/// Longest target of a symbolic link (`PATH_MAX` with its zero byte).
const MAX_LINK_BYTES: u64 = 4096;

/// A mounted ext2, ext3 or ext4 image, read-only.
pub struct Volume {
    pub(crate) blocks: Blocks,
    pub(crate) geometry: Geometry,
    pub(crate) reporter: Reporter,
    pub(crate) names: Mutex<ClockCache<u32, Arc<NameIndex>>>,
    inodes: Mutex<ClockCache<u32, Arc<Inode>>>,
    damaged: Mutex<HashSet<u32>>,
    statistics: OnceLock<Statistics>,
}

/// Reads and checks the superblock at byte `at`.
fn superblock(device: &Device, at: u64) -> std::result::Result<Geometry, MountError> {
    if device.size_bytes() < at.saturating_add(SUPERBLOCK_BYTES as u64) {
        return Err(MountError::TooSmall {
            size_bytes: device.size_bytes(),
        });
    }
    let mut bytes = [0u8; SUPERBLOCK_BYTES];
    device
        .read_exact_at(&mut bytes, at)
        .map_err(MountError::Read)?;
    let raw = RawSuperblock::parse(&bytes).ok_or(MountError::TooSmall {
        size_bytes: device.size_bytes(),
    })?;
    Geometry::new(&raw, at)
}

impl Volume {
    /// Mounts an image. `options` is a comma-separated list (`offset=`, `sb=`, `noload`, and what mount(8)
    /// passes); `log` gets one line for each fault found in the image, now and later.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn open(
        source: Arc<dyn BlockSource>,
        options: &str,
        log: Sink,
    ) -> std::result::Result<Self, MountError> {
        Self::open_as(source, options, log, false).map(|(volume, _)| volume)
    }

    /// Mounts an image, to be written if that `may` be and is possible; a line in the log says why not.
    pub(crate) fn open_as(
        source: Arc<dyn BlockSource>,
        options: &str,
        log: Sink,
        may_write: bool,
    ) -> std::result::Result<(Self, Option<Writer>), MountError> {
        let options = Options::parse(options)?;
        let may_write = may_write
            && !options.is_read_only
            && !options.skips_journal
            && options.superblock.is_none()
            && !source.is_read_only();
        let device = Device::new(source, options.offset).map_err(MountError::Read)?;
        let place = match options.superblock {
            Some(block) => block.saturating_mul(1024),
            None => SUPERBLOCK_OFFSET,
        };
        let geometry = superblock(&device, place)?;
        let blocks = Blocks::new(device, geometry.block_size, geometry.blocks);
        let mut volume = Self {
            blocks,
            geometry,
            reporter: Reporter::new(log),
            names: Mutex::new(ClockCache::new(CACHE_BYTES)),
            inodes: Mutex::new(ClockCache::new(INODE_CACHE_ENTRIES)),
            damaged: Mutex::new(HashSet::new()),
            statistics: OnceLock::new(),
        };
        let writer = match may_write {
            true => volume.make_writable()?,
            false => None,
        };
        if writer.is_none() && !options.skips_journal {
            volume = volume.recovered(place)?;
        }
        volume.mention(options, writer.is_some());
        match volume.inode(ROOT_INODE) {
            Ok(root) if root.kind == Kind::Directory => Ok((volume, writer)),
            Ok(_) => Err(MountError::Root(Error::Corrupt(Problem::new(
                Place::Inode(ROOT_INODE),
                "is not a directory",
            )))),
            Err(error) => Err(MountError::Root(error)),
        }
    }

    /// The volume as its journal's replay leaves it.
    fn recovered(self, superblock_at: u64) -> std::result::Result<Self, MountError> {
        let replay = journal::recover(&self.blocks, &self.geometry, |number| self.inode(number))?;
        let Some(replay) = replay else {
            return Ok(self);
        };
        for note in &replay.notes {
            self.reporter.note(note);
        }
        if replay.overlay.is_empty() {
            return Ok(self);
        }
        let blocks = self.blocks.with_overlay(replay.overlay);
        // The superblock itself may be among the replayed blocks.
        let size = self.geometry.block_size as u64;
        let geometry = match blocks.get(superblock_at / size) {
            Ok(block) => {
                let from = usize::try_from(superblock_at % size).unwrap_or(0);
                let bytes =
                    crate::bytes::span(block.data(), from, from.saturating_add(SUPERBLOCK_BYTES));
                let raw = RawSuperblock::parse(bytes)
                    .ok_or(MountError::Journal("it cuts off the superblock".into()))?;
                Geometry::new(&raw, superblock_at)?
            }
            Err(error) => return Err(MountError::Journal(error.to_string())),
        };
        if geometry.block_size != self.geometry.block_size {
            return Err(MountError::Journal("it changes the block size".to_owned()));
        }
        Ok(Self {
            blocks: blocks.with_count(geometry.blocks),
            geometry,
            inodes: Mutex::new(ClockCache::new(INODE_CACHE_ENTRIES)),
            ..self
        })
    }

    /// Recovers the image and makes the volume writable; `None`, with a line in the log, when it can only be read.
    fn make_writable(&mut self) -> std::result::Result<Option<Writer>, MountError> {
        let state = mount::state(self).map_err(MountError::Root)?;
        if let Some(reason) = mount::why_read_only(&self.geometry, state) {
            self.reporter.note(&format!("mounted read-only: {reason}"));
            return Ok(None);
        }
        let Some(recovered) = mount::recover(self)? else {
            self.reporter
                .note("mounted read-only: the journal holds fast commits, which can't be replayed");
            return Ok(None);
        };
        let size_before = self.geometry.block_size;
        let (block, from) = self.superblock_place();
        let geometry = {
            let held = self.blocks.get(block).map_err(MountError::Root)?;
            let bytes =
                crate::bytes::span(held.data(), from, from.saturating_add(SUPERBLOCK_BYTES));
            let raw = RawSuperblock::parse(bytes)
                .ok_or(MountError::Journal("it cuts off the superblock".into()))?;
            Geometry::new(&raw, SUPERBLOCK_OFFSET)?
        };
        if geometry.block_size != size_before {
            return Err(MountError::Journal("it changes the block size".to_owned()));
        }
        self.geometry = geometry;
        if self.blocks.device_bytes() / (size_before as u64) < self.geometry.blocks {
            self.reporter
                .note("mounted read-only: the image is shorter than the file system");
            return Ok(None);
        }
        match mount::open(self, &recovered) {
            Ok(writer) => Ok(Some(writer)),
            Err(error) => {
                self.reporter.note(&format!("mounted read-only: {error}"));
                Ok(None)
            }
        }
    }

    /// Says what a user should know about this mount.
    fn mention(&self, options: Options, is_writable: bool) {
        if options.wants_write && !is_writable {
            self.reporter.note("mounted read-only");
        }
        if self.geometry.has_error_mark {
            self.reporter
                .note("the image is marked as having errors: e2fsck(8) is recommended");
        }
        let held = self.blocks.device_bytes() / self.geometry.block_size as u64;
        if held < self.geometry.blocks {
            let detail = format!(
                "is the last one in the image, the file system has {}",
                self.geometry.blocks
            );
            self.reporter
                .report(&Problem::new(Place::Block(held.saturating_sub(1)), detail));
        }
    }

    /// `ext2`, `ext3` or `ext4`: the oldest that can have what this image has.
    pub fn type_name(&self) -> &'static str {
        match self.geometry.features.variant() {
            Variant::Ext2 => "ext2",
            Variant::Ext3 => "ext3",
            Variant::Ext4 => "ext4",
        }
    }

    /// The volume's label; may be empty.
    pub fn label(&self) -> String {
        let bytes = self
            .geometry
            .label
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or(&[]);
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Bytes in a block.
    pub fn block_size(&self) -> u32 {
        u32::try_from(self.geometry.block_size).unwrap_or(u32::MAX)
    }

    /// The root directory.
    ///
    /// # Errors
    /// As [`Volume::inode`].
    pub fn root(&self) -> Result<Arc<Inode>> {
        self.inode(ROOT_INODE)
    }

    /// An inode by number.
    ///
    /// # Errors
    /// EUCLEAN when it does not exist or contradicts itself, EIO when it can't be read.
    pub fn inode(&self, number: u32) -> Result<Arc<Inode>> {
        if let Some(inode) = self.inodes.lock().get(&number) {
            return Ok(inode);
        }
        let (group, block, inside) = Inode::place(&self.geometry, number)?;
        let descriptor = group::descriptor(&self.blocks, &self.geometry, group)?;
        let ahead = self.geometry.inode_table_blocks().saturating_sub(block);
        let held = self
            .blocks
            .get_ahead(descriptor.inode_table.saturating_add(block), ahead)?;
        let bytes = crate::bytes::span(
            held.data(),
            inside,
            inside.saturating_add(self.geometry.inode_size),
        );
        let inode = Inode::new(&self.geometry, number, bytes)?;
        self.inodes.lock().insert(number, Arc::clone(&inode), 1);
        Ok(inode)
    }

    /// An inode that a directory names.
    ///
    /// # Errors
    /// As [`Volume::inode`]; EUCLEAN for inodes that no directory may name.
    pub fn named_inode(&self, number: u32) -> Result<Arc<Inode>> {
        if number != ROOT_INODE && number < self.geometry.first_inode {
            return bad_inode(number, "is reserved but a directory names it");
        }
        let inode = self.inode(number)?;
        if inode.links == 0 {
            return bad_inode(number, "is deleted but a directory names it");
        }
        if inode.is_xattr_value() {
            return bad_inode(number, "holds an xattr value but a directory names it");
        }
        Ok(inode)
    }

    /// Looks `name` up in a directory; `None` when it isn't there.
    ///
    /// # Errors
    /// ENOTDIR, ENAMETOOLONG, EUCLEAN, EIO.
    pub fn lookup(&self, directory: &Inode, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match dir::lookup(self, directory, name)? {
            Some(number) => self.named_inode(number).map(Some),
            None => Ok(None),
        }
    }

    /// Calls `visit` for each entry of a directory after `cookie` (0 for all; then [`Entry::next`]), until
    /// it breaks. Damaged parts are skipped and logged; [`Volume::fail_if_damaged`] tells afterwards.
    ///
    /// # Errors
    /// ENOTDIR.
    pub fn list(
        &self,
        directory: &Inode,
        cookie: u64,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        dir::list(self, directory, cookie, visit)
    }

    /// Reads a file from `offset` on. Fills `buf` unless the file ends before.
    ///
    /// # Errors
    /// EUCLEAN, EIO.
    pub fn read(&self, inode: &Inode, offset: u64, buf: &mut [u8]) -> Result<usize> {
        data::read(&self.blocks, &self.geometry, inode, offset, buf)
    }

    /// The next data or hole at or after `offset`, lseek(2).
    ///
    /// # Errors
    /// ENXIO, EUCLEAN, EIO.
    pub fn seek(&self, inode: &Inode, offset: u64, what: Seek) -> Result<u64> {
        data::seek(&self.blocks, &self.geometry, inode, offset, what)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// EINVAL when it isn't one, EUCLEAN, EIO.
    pub fn read_link(&self, inode: &Inode) -> Result<Vec<u8>> {
        if inode.kind != Kind::Symlink {
            return Err(Error::Refused(libc::EINVAL));
        }
        if inode.size == 0 || inode.size > MAX_LINK_BYTES.min(self.geometry.block_size as u64) {
            return bad_inode(
                inode.number,
                format!("symbolic link has a size of {} bytes", inode.size),
            );
        }
        let size = usize::try_from(inode.size).unwrap_or(0);
        let is_inside = !inode.has_inline_data() && self.is_fast_link(inode);
        let mut target = match inode.block.get(..size) {
            Some(target) if is_inside => target.to_vec(),
            _ if inode.has_inline_data() => inline::content(&self.geometry, inode)?.into_owned(),
            _ => {
                let mut target = vec![0; size];
                self.read(inode, 0, &mut target)?;
                target
            }
        };
        if let Some(end) = target.iter().position(|byte| *byte == 0) {
            target.truncate(end);
        }
        if target.is_empty() {
            return bad_inode(inode.number, "symbolic link is empty");
        }
        Ok(target)
    }

    /// A link has its target in `i_block` when it uses no blocks but that of its attributes.
    pub(crate) fn is_fast_link(&self, inode: &Inode) -> bool {
        let attributes = match inode.xattr_block {
            0 => 0,
            _ => (self.geometry.block_size as u64 / 512) << self.geometry.cluster_bits,
        };
        inode.sectors <= attributes && inode.size < inode.block.len() as u64
    }

    /// The names of an inode's extended attributes, each followed by a zero byte.
    ///
    /// # Errors
    /// EUCLEAN, EIO.
    pub fn list_xattrs(&self, inode: &Inode) -> Result<Vec<u8>> {
        xattr::list(self, inode)
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP, EINVAL, E2BIG, EUCLEAN, EIO.
    pub fn xattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        xattr::get(self, inode, name)
    }

    /// Space and inodes, as the kernel counts them.
    pub fn statistics(&self) -> Statistics {
        *self.statistics.get_or_init(|| {
            let journal = match self.geometry.journal_inode {
                0 => 0,
                number => self
                    .inode(number)
                    .map_or(0, |inode| inode.size >> self.geometry.block_bits),
            };
            statistics::compute(&self.blocks, &self.geometry, journal)
        })
    }

    /// The block of the superblock, and the byte inside it.
    pub(crate) fn superblock_place(&self) -> (u64, usize) {
        let size = self.geometry.block_size as u64;
        let inside = usize::try_from(SUPERBLOCK_OFFSET % size).unwrap_or(0);
        (SUPERBLOCK_OFFSET / size, inside)
    }

    /// An inode has changed to this.
    pub(crate) fn remember_inode(&self, inode: Arc<Inode>) {
        self.inodes.lock().insert(inode.number, inode, 1);
    }

    /// Forgets a parsed inode that has changed.
    pub(crate) fn forget_inode(&self, number: u32) {
        self.inodes.lock().remove(&number);
    }

    /// Forgets what was known about the names in a directory.
    pub(crate) fn forget_directory(&self, number: u32) {
        self.names.lock().remove(&number);
        self.forget_damage(number);
    }

    /// Forgets that damage has been met in a directory.
    pub(crate) fn forget_damage(&self, number: u32) {
        self.damaged.lock().remove(&number);
    }

    /// Forgets all parsed inodes and what was known about names.
    pub(crate) fn forget_inodes(&self) {
        *self.inodes.lock() = ClockCache::new(INODE_CACHE_ENTRIES);
        *self.names.lock() = ClockCache::new(CACHE_BYTES);
    }

    /// Logs a fault in a directory and remembers that the directory has one.
    pub(crate) fn note_damage(&self, directory: &Inode, error: Error) {
        drop(self.reporter.told(error));
        let mut damaged = self.damaged.lock();
        if damaged.len() >= MAX_DAMAGED {
            damaged.clear();
        }
        damaged.insert(directory.number);
    }

    /// Fails when damage has been met in the directory.
    ///
    /// # Errors
    /// EUCLEAN.
    pub fn fail_if_damaged(&self, directory: &Inode) -> Result<()> {
        match self.damaged.lock().contains(&directory.number) {
            true => bad_inode(
                directory.number,
                "directory is damaged, part of it is not shown",
            ),
            false => Ok(()),
        }
    }

    /// Logs the fault behind an error and passes it on.
    pub(crate) fn told(&self, error: Error) -> Error {
        self.reporter.told(error)
    }
}
