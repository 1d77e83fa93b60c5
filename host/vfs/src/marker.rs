//! Markers: the empty directories that stand, in a tracee, for directories of the view.
//!
//! A descriptor or working directory on a mount has to be a real directory for the kernel. Each is a directory of its
//! own on a tmpfs, so its inode number tells which directory of the view is meant, and removed, so that no name can be
//! found below it: a call that slips through fails with `ENOENT`. `..` of a removed directory still leads to its
//! parent, so all lie in another removed directory.
//!
//! The kernel tells when the last user goes, be it a descriptor (also `O_PATH`) or a working directory: the dentry of a
//! removed directory is destroyed with its last reference, and an inotify watch on the inode then reports
//! `IN_DELETE_SELF`. The watch also keeps the inode, and with it the number, from being used again before that.
//!
//! Neighbours: the layer that installs descriptors in tracees; [`crate::backing`] holds what a marker stands for.
//!
//! Lock order: `Shared::table` is a leaf; the callback is called with no lock held.
//!
//! References: inotify(7), rmdir(2), open(2).

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::attributes::Identity;

/// Name of the directory in which markers are made; it is removed at once and lives as long as its descriptor.
const NEST: &str = "markers";

/// Called when nothing refers to a marker any more: no descriptor, no working directory.
pub type OnClosed = Box<dyn Fn(Identity) + Send + Sync>;

/// Makes markers and watches them.
pub struct Markers {
    shared: Arc<Shared>,
    /// Ends the event thread.
    stop: Option<OwnedFd>,
}

struct Shared {
    /// Private directory; exists by name until the end.
    directory: PathBuf,
    /// Same, open.
    base: OwnedFd,
    inotify: Option<OwnedFd>,
    names: AtomicU64,
    table: Mutex<Table>,
    on_closed: OnClosed,
}

#[derive(Default)]
struct Table {
    markers: HashMap<Identity, Marker>,
    watches: HashMap<i32, Identity>,
}

struct Marker {
    watch: Option<i32>,
    /// Without a watch the marker is kept until the end.
    _held: Option<OwnedFd>,
}

impl Markers {
    /// Makes the private directory and starts the event thread. Where inotify is refused (`EMFILE` by
    /// fs.inotify.max_user_instances), markers live until the end.
    ///
    /// # Errors
    /// When no directory can be made in /dev/shm, $XDG_RUNTIME_DIR, $TMPDIR or /tmp, or no thread.
    pub fn new(on_closed: OnClosed) -> Result<Arc<Markers>, Errno> {
        let (directory, base) = private_directory()?;
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let shared = Arc::new(Shared {
            directory,
            base,
            inotify,
            names: AtomicU64::new(0),
            table: Mutex::default(),
            on_closed,
        });
        let stop = match shared.inotify {
            Some(_) => Some(start_thread(&shared)?),
            None => None,
        };
        Ok(Arc::new(Markers { shared, stop }))
    }

    /// A new marker: a new open file description (O_RDONLY, close-on-exec on this side) and its identity.
    ///
    /// # Errors
    /// Those of mkdir(2) and open(2); `ENOSPC` at fs.inotify.max_user_watches.
    pub fn open_marker(&self) -> Result<(OwnedFd, Identity), Errno> {
        let shared = &self.shared;
        // A nest of its own for each: nothing can be made in a removed directory, and `..` must lead to a removed one.
        let nest = shared.make_directory(shared.base.as_fd())?;
        let inner = mkdirat(&nest.descriptor, NEST, Mode::RWXU).and_then(|()| {
            let opened = openat(&nest.descriptor, NEST, DIRECTORY, Mode::empty());
            let removed = unlinkat(&nest.descriptor, NEST, AtFlags::REMOVEDIR);
            removed.and(opened)
        });
        nest.remove();
        let descriptor = inner?;
        let identity = Identity::of(&descriptor)?;
        shared.watch(&descriptor, identity)?;
        Ok((descriptor, identity))
    }

    /// A marker that has a name for now, for a tracee to enter or to open with O_PATH. When the name goes and nobody
    /// came, that counts as the end of its use.
    ///
    /// # Errors
    /// As [`Markers::open_marker`].
    pub fn named_marker(&self) -> Result<NamedMarker, Errno> {
        let shared = &self.shared;
        let nest = shared.make_directory(shared.base.as_fd())?;
        let made = mkdirat(&nest.descriptor, NEST, Mode::RWXU)
            .and_then(|()| openat(&nest.descriptor, NEST, DIRECTORY, Mode::empty()))
            .and_then(|descriptor| {
                let identity = Identity::of(&descriptor)?;
                shared.watch(&descriptor, identity)?;
                Ok(identity)
            });
        let path = shared.directory.join(&nest.name).join(NEST);
        let guard = NameGuard { nest: Some(nest) };
        let identity = made?;
        Ok(NamedMarker {
            path,
            identity,
            _name: guard,
        })
    }

    /// Forgets a marker without calling back. Its number may be used again.
    pub fn release(&self, identity: Identity) {
        self.shared.forget(identity);
    }

    /// Is this the identity of a marker?
    pub fn contains(&self, identity: Identity) -> bool {
        self.shared.table.lock().markers.contains_key(&identity)
    }

    /// Number of markers in use.
    pub fn len(&self) -> usize {
        self.shared.table.lock().markers.len()
    }

    /// Is no marker in use?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The private directory.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }
}

impl Drop for Markers {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Only fails when the counter would overflow, which one write cannot do.
            let _ = rustix::io::write(&stop, &1u64.to_ne_bytes());
        }
        // Best effort: what is left is empty directories with our name on them.
        let _ = fs::remove_dir_all(&self.shared.directory);
    }
}

impl fmt::Debug for Markers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Markers")
            .field("directory", &self.shared.directory)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A marker that exists by name until this is dropped.
#[derive(Debug)]
pub struct NamedMarker {
    path: PathBuf,
    identity: Identity,
    _name: NameGuard,
}

impl NamedMarker {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What identifies it.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

#[derive(Debug)]
struct NameGuard {
    nest: Option<Nest>,
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        if let Some(nest) = self.nest.take() {
            // Fails only when it was never made.
            let _ = unlinkat(&nest.descriptor, NEST, AtFlags::REMOVEDIR);
            nest.remove();
        }
    }
}

/// Flags for opening a directory.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory around one marker.
#[derive(Debug)]
struct Nest {
    base: OwnedFd,
    name: String,
    descriptor: OwnedFd,
}

impl Nest {
    fn remove(self) {
        // Fails only when somebody put something there; the end of the view removes the rest.
        let _ = unlinkat(&self.base, self.name.as_str(), AtFlags::REMOVEDIR);
    }
}

impl Shared {
    fn make_directory(&self, base: impl AsFd) -> Result<Nest, Errno> {
        let name = format!("{:x}", self.names.fetch_add(1, Ordering::Relaxed));
        let base = base.as_fd().try_clone_to_owned().map_err(errno)?;
        mkdirat(&base, name.as_str(), Mode::RWXU)?;
        match openat(
            &base,
            name.as_str(),
            DIRECTORY | OFlags::PATH,
            Mode::empty(),
        ) {
            Ok(descriptor) => Ok(Nest {
                base,
                name,
                descriptor,
            }),
            Err(error) => {
                let _ = unlinkat(&base, name.as_str(), AtFlags::REMOVEDIR);
                Err(error)
            }
        }
    }

    /// Starts to watch a marker.
    fn watch(&self, descriptor: &OwnedFd, identity: Identity) -> Result<(), Errno> {
        let watch = self.inotify.as_ref().and_then(|inotify| {
            let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
            let flags = WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
            // ENOSPC at fs.inotify.max_user_watches.
            inotify::add_watch(inotify, path, flags).ok()
        });
        let held = match watch {
            Some(_) => None,
            None => Some(descriptor.try_clone().map_err(errno)?),
        };
        let mut table = self.table.lock();
        if let Some(watch) = watch {
            table.watches.insert(watch, identity);
        }
        table
            .markers
            .insert(identity, Marker { watch, _held: held });
        Ok(())
    }

    fn forget(&self, identity: Identity) {
        let marker = {
            let mut table = self.table.lock();
            let marker = table.markers.remove(&identity);
            if let Some(watch) = marker.as_ref().and_then(|marker| marker.watch) {
                table.watches.remove(&watch);
            }
            marker
        };
        let watch = marker.as_ref().and_then(|marker| marker.watch);
        if let (Some(inotify), Some(watch)) = (&self.inotify, watch) {
            // Fails only when the kernel has removed the watch already.
            let _ = inotify::remove_watch(inotify, watch);
        }
        drop(marker);
    }

    /// The last user of a watched marker went. The kernel removes the watch itself.
    fn gone(&self, watch: i32) {
        let identity = {
            let mut table = self.table.lock();
            let Some(identity) = table.watches.remove(&watch) else {
                return;
            };
            table.markers.remove(&identity);
            identity
        };
        (self.on_closed)(identity);
    }
}

/// Start of the name of a private directory.
const PREFIX: &str = ".view-markers-";
/// A directory that is this old and not locked was left behind by a supervisor that was killed.
const LEFT_BEHIND_AGE: Duration = Duration::from_secs(60);

/// A directory of our own, 0700, with an unguessable name, open and locked as long as it is in use.
fn private_directory() -> Result<(PathBuf, OwnedFd), Errno> {
    let candidates = ["XDG_RUNTIME_DIR", "TMPDIR"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let mut last_error = Errno::NOENT;
    let candidates = std::iter::once(PathBuf::from("/dev/shm")).chain(candidates);
    for base in candidates.chain([PathBuf::from("/tmp")]) {
        remove_left_behind(&base);
        let mut random = [0u8; 8];
        fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut random))
            .map_err(errno)?;
        let name = format!(
            "{PREFIX}{}-{:016x}",
            std::process::id(),
            u64::from_ne_bytes(random)
        );
        let path = base.join(name);
        let made = fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(errno)
            .and_then(|()| rustix::fs::open(&path, DIRECTORY, Mode::empty()));
        match made {
            Ok(opened) => {
                // Fails only where there are no locks; then nobody else removes anything either.
                let _ = flock(&opened, FlockOperation::NonBlockingLockExclusive);
                return Ok((path, opened));
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// Removes what supervisors that were killed have left in `base`. Best effort.
fn remove_left_behind(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let is_candidate = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes())
            && entry.metadata().is_ok_and(|metadata| {
                metadata.is_dir()
                    && metadata.uid() == rustix::process::geteuid().as_raw()
                    && metadata
                        .modified()
                        .ok()
                        .and_then(|time| time.elapsed().ok())
                        .is_some_and(|age| age >= LEFT_BEHIND_AGE)
            });
        if !is_candidate {
            continue;
        }
        let path = entry.path();
        if let Ok(opened) = rustix::fs::open(&path, DIRECTORY, Mode::empty())
            && flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Starts the thread that reads the events. It ends when the returned descriptor is written to.
fn start_thread(shared: &Arc<Shared>) -> Result<OwnedFd, Errno> {
    let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
    let stopped = stop.try_clone().map_err(errno)?;
    let shared = Arc::downgrade(shared);
    std::thread::Builder::new()
        .name("view-markers".to_owned())
        .stack_size(256 * 1024)
        .spawn(move || read_events(&shared, &stopped))
        .map_err(errno)?;
    Ok(stop)
}

fn read_events(shared: &Weak<Shared>, stopped: &OwnedFd) {
    let Some(inotify) = shared
        .upgrade()
        .and_then(|shared| shared.inotify.as_ref()?.try_clone().ok())
    else {
        return;
    };
    let mut buffer = [MaybeUninit::uninit(); 4096];
    loop {
        let mut waiting = [
            PollFd::new(&inotify, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let [_, stop] = &waiting;
        if !stop.revents().is_empty() {
            return;
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut reader = inotify::Reader::new(&inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            // An overflowed queue loses events; the markers of these stay until the end.
            if event.events().contains(ReadFlags::DELETE_SELF) {
                shared.gone(event.wd());
            }
        }
    }
}

#[cfg(test)]
mod tests;
