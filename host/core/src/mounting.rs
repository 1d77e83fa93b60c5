//! Changing a namespace: from a mount as it was asked for to a mount in the table, and back.
//!
//! mount(2) in a tracee, the command line and the control socket all end here. A source is opened through the VFS, so
//! an image may itself lie on a mount.
//!
//! | Module   | Responsibility                                          |
//! |----------|---------------------------------------------------------|
//! | `source` | what is mounted: opens images, directories, tmpfs       |
//! | `image`  | an image as a source, with its lock                     |
//! | `point`  | mount points that do not exist                          |
//! | `end`    | what was written is brought to safety                   |
//!
//! Neighbours: `syscall::mount`, `handler`, `supervisor` (callers); `control::modules` (opens filesystems).

mod end;
mod image;
mod point;
mod source;

pub use end::{end, synchronize_all};
pub use source::kernel_filesystem;

use crate::control::options::MountOptions;
use crate::control::protocol::{LogLevel, MountKind, MountSpec, Refusal};
use crate::task::Task;
use crate::view::{Backed, View};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::host_ops;
use view_vfs::mount_table::{Mount, MountFlags, Namespace, NewMount, Root};
use view_vfs::object::Dentry;
use view_vfs::place::Place;
use view_vfs::procfs;
use view_vfs::resolver::{Found, Walk, WalkContext, WalkFlags};

/// How often, and after what time, unmounting looks again whether a mount is still in use: that the last user of a
/// directory has left it is heard of a moment later.
const BUSY_RETRIES: u32 = 10;
const BUSY_WAIT: Duration = Duration::from_millis(5);

/// Walks for a process that is not in a call of the view.
struct ViewWalk<'v> {
    view: &'v View,
    /// Whose /proc/self.
    process: u32,
}

impl WalkContext for ViewWalk<'_> {
    fn process_id(&self) -> u32 {
        self.process
    }
    fn thread_id(&self) -> u32 {
        self.process
    }
    fn place_of(&self, device: u64, inode: u64) -> Option<Place> {
        Some(self.view.backings.find(Identity { device, inode })?.place())
    }
    fn may_search(&self, _: &Place) -> Result<(), Errno> {
        Ok(())
    }
}

/// Who asks for a mount, and in which namespace.
struct Request<'r> {
    view: &'r View,
    namespace: &'r Namespace,
    caller: &'r dyn WalkContext,
    /// Binds take the mounts below their source along.
    is_recursive: bool,
}

impl Request<'_> {
    /// Resolves an absolute path.
    fn resolve(&self, path: &[u8], flags: WalkFlags) -> Result<Found, Errno> {
        let table = self.namespace.table();
        let start = table.root().root_place();
        let mut found = Walk::new(table, self.caller, flags, &start).run(&start, path)?;
        if let Some(errno) = found.kernel_error {
            return Err(errno);
        }
        // A link below /proc that the kernel would follow: here its object is wanted.
        if let Some(Place::Host { path, .. }) = &mut found.place
            && procfs::is_magic_link(path)
            && let Ok(target) = host_ops::read_link(path)
            && target.starts_with(b"/")
        {
            *path = target;
        }
        Ok(found)
    }

    /// Resolves a path that must exist.
    fn existing(&self, path: &[u8]) -> Result<Place, Refusal> {
        self.resolve(path, WalkFlags::FOLLOW)
            .and_then(Found::existing)
            .map_err(Refusal::from_errno)
    }
}

/// The mount whose root an absolute path names, for `process`.
pub fn mount_at(
    view: &View,
    namespace: &Namespace,
    process: u32,
    path: &[u8],
) -> Result<Option<Arc<Mount>>, Errno> {
    let request = Request {
        view,
        namespace,
        caller: &ViewWalk { view, process },
        is_recursive: true,
    };
    Ok(request
        .resolve(path, WalkFlags::FOLLOW)?
        .place
        .and_then(rooted_at))
}

fn rooted_at(place: Place) -> Option<Arc<Mount>> {
    (place.is_mount_root() && place.mount().point().is_some()).then(|| place.mount().clone())
}

/// The mount whose root a path of the task names.
pub fn existing_mount(task: &Task<'_>, target: &[u8]) -> Option<Arc<Mount>> {
    rooted_at(
        task.walk(libc::AT_FDCWD, target, WalkFlags::FOLLOW)
            .ok()?
            .place?,
    )
}

/// Can the module of this mount not write at all?
fn is_read_only_module(mount: &Arc<Mount>) -> bool {
    matches!(mount.root(), Root::Node(dentry) if dentry.instance().is_read_only())
}

/// Carries out a mount(2) of a tracee; a bind `is_recursive` with MS_REC.
pub fn mount_for(task: &Task<'_>, spec: &MountSpec, is_recursive: bool) -> Result<(), Refusal> {
    let absolute = |path: &Path| -> Result<std::path::PathBuf, Refusal> {
        if path.is_absolute() {
            return Ok(path.to_path_buf());
        }
        let directory = task
            .working_directory()
            .map_err(Refusal::from_errno)?
            .place
            .view_path();
        Ok(Path::new(std::ffi::OsStr::from_bytes(&directory)).join(path))
    };
    let mut spec = spec.clone();
    spec.target = absolute(&spec.target)?;
    if matches!(spec.kind, MountKind::Bind | MountKind::Filesystem) {
        spec.source = absolute(Path::new(&spec.source))?.into_os_string();
    }
    carry_out(
        &Request {
            view: task.view,
            namespace: &task.namespace,
            caller: task,
            is_recursive,
        },
        &spec,
    )
}

/// Carries out a mount that the view itself was started with.
pub fn mount(view: &View, namespace: &Namespace, spec: &MountSpec) -> Result<(), Refusal> {
    mount_by(view, namespace, std::process::id(), spec)
}

/// Carries out a mount that `process` asked for.
pub fn mount_by(
    view: &View,
    namespace: &Namespace,
    process: u32,
    spec: &MountSpec,
) -> Result<(), Refusal> {
    carry_out(
        &Request {
            view,
            namespace,
            caller: &ViewWalk { view, process },
            is_recursive: true,
        },
        spec,
    )
}

fn carry_out(request: &Request<'_>, spec: &MountSpec) -> Result<(), Refusal> {
    let options = MountOptions::parse(&spec.options)?;
    let target = spec.target.as_os_str().as_bytes();
    let found = request.resolve(
        target,
        WalkFlags {
            parent: true,
            ..WalkFlags::FOLLOW
        },
    );
    let covered = match &found {
        Ok(found) => found.place.clone(),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(Refusal::from_errno(*errno)),
    };
    let bound = match spec.kind {
        MountKind::Bind => Some(request.existing(spec.source.as_bytes())?),
        MountKind::ReadOnly => Some(
            covered
                .clone()
                .ok_or_else(|| Refusal::from_errno(Errno::NOENT))?,
        ),
        _ => None,
    };
    let mut made = match (spec.kind, &bound) {
        (MountKind::Tmpfs, _) => source::open_tmpfs(request.view, &options)?,
        (MountKind::Kernel, _) => source::kernel(spec, &options)?,
        (MountKind::Hide, _) => source::open_hidden(request.view, covered.as_ref())?,
        (_, Some(place)) => source::bind(place, &options),
        (_, None) => source::open_filesystem(request, spec, &options)?,
    };
    made.flags.read_only |= spec.kind == MountKind::ReadOnly;
    let root_is_directory = match &made.root {
        Root::Node(dentry) => dentry.kind() == Kind::Directory,
        Root::Host(path) => host_ops::attributes(path)
            .map_err(Refusal::from_errno)?
            .is_directory(),
    };
    let (point, adds_name) = match covered {
        Some(place) => {
            let is_directory = place.kind().map_err(Refusal::from_errno)? == Kind::Directory;
            match (root_is_directory, is_directory) {
                (true, false) => return Err(Refusal::from_errno(Errno::NOTDIR)),
                (false, true) => return Err(Refusal::from_errno(Errno::ISDIR)),
                _ => (place, false),
            }
        }
        None => point::missing(request, found, target)?,
    };
    let new = NewMount {
        point: Some(point),
        root: made.root,
        flags: made.flags,
        source: spec.source.as_bytes().to_vec(),
        filesystem: made.filesystem,
        options: made.options,
        is_scaffold: false,
        adds_name,
        with_mounts_of: bound.filter(|_| request.is_recursive),
    };
    request.namespace.add(new).map_err(Refusal::from_errno)?;
    let source = Path::new(&spec.source).display();
    request.view.say(
        LogLevel::Info,
        &format!("mounted {source} on {}", spec.target.display()),
    );
    Ok(())
}

/// Takes a mount away. `EBUSY` while something of it is open or a working directory, unless `lazy`. What was written
/// is written back before; if that fails the mount stays and this is the error, unless `lazy`.
pub fn unmount(
    view: &View,
    namespace: &Namespace,
    mount: &Arc<Mount>,
    lazy: bool,
) -> Result<(), Errno> {
    let mut retries = 0;
    let removed = loop {
        if !lazy {
            view.collect();
            if let Root::Node(root) = mount.root()
                && !is_busy(view, mount)
            {
                end::synchronize(view, root.instance())?;
            }
        }
        match namespace.remove(mount, lazy, |mount| is_busy(view, mount)) {
            Err(Errno::BUSY) if retries < BUSY_RETRIES => {
                retries += 1;
                std::thread::sleep(BUSY_WAIT);
            }
            result => break result?,
        }
    };
    detach_unused(view, &removed);
    Ok(())
}

/// Lets the instances of mounts go that are in no namespace any more; what is still open of them goes on working.
pub fn detach_unused(view: &View, removed: &[Arc<Mount>]) {
    for mount in removed {
        if let Root::Node(root) = mount.root()
            && !is_used(view, root)
        {
            root.instance().detach();
        }
    }
}

fn is_busy(view: &View, mount: &Arc<Mount>) -> bool {
    let mut busy = false;
    view.backings.retain(|_, backed| {
        let place = backed.place();
        let counts = match &**backed {
            Backed::File(place) => place.kind() == Ok(Kind::RegularFile),
            Backed::Marker(_) => true,
        };
        busy |= counts && place.mount().id() == mount.id();
        true
    });
    busy
}

/// Makes a mount read-only, or writable again, and changes its other flags. `EBUSY` when it would become read-only and a
/// file of it is open for writing, or open without a name; `EROFS` when its module can't write.
pub fn remount(view: &View, mount: &Arc<Mount>, flags: MountFlags) -> Result<(), Errno> {
    if !flags.read_only && is_read_only_module(mount) {
        return Err(Errno::ROFS);
    }
    if flags.read_only && !mount.flags().read_only {
        let mut retries = 0;
        view.collect();
        while is_written(view, mount) {
            if retries == BUSY_RETRIES {
                return Err(Errno::BUSY);
            }
            retries += 1;
            std::thread::sleep(BUSY_WAIT);
        }
        if let Root::Node(root) = mount.root() {
            end::synchronize(view, root.instance())?;
        }
    }
    mount.set_flags(flags);
    Ok(())
}

fn is_written(view: &View, mount: &Arc<Mount>) -> bool {
    let mut is_written = false;
    view.backings.retain(|identity, backed| {
        if let Backed::File(Place::Node { mount: on, dentry }) = &**backed
            && !is_written
            && on.id() == mount.id()
            && dentry.kind() == Kind::RegularFile
        {
            is_written = dentry.is_written_elsewhere(identity)
                || dentry
                    .attributes()
                    .is_ok_and(|attributes| attributes.links == 0);
        }
        true
    });
    is_written
}

/// Is the instance mounted in any namespace?
fn is_used(view: &View, root: &Arc<Dentry>) -> bool {
    view.all_namespaces().iter().any(|namespace| {
        namespace
            .table()
            .mounts()
            .iter()
            .any(|mount| match mount.root() {
                Root::Node(other) => Arc::ptr_eq(other.instance(), root.instance()),
                Root::Host(_) => false,
            })
    })
}
