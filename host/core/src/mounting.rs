//! Changing a namespace: from a mount as it was asked for to a mount in the table, and back.
//!
//! mount(2) in a tracee, the command line and the control socket all end here. A source is opened through the VFS, so
//! an image may itself lie on a mount.
//!
//! Neighbours: `syscall::mount`, `handler`, `supervisor` (callers); `control::modules` (opens filesystems).

use crate::control::modules::{ModuleSource, OpenModule, SourceKind};
use crate::control::options::MountOptions;
use crate::control::protocol::{LogLevel, MountKind, MountSpec, Refusal};
use crate::task::Task;
use crate::view::{Backed, View};
use fuse_compat::BlockSource;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use view_vfs::attributes::Kind;
use view_vfs::credentials::Credentials;
use view_vfs::host_ops;
use view_vfs::mount_table::{Mount, MountFlags, MountTable, Namespace, NewMount, Root};
use view_vfs::object::{Dentry, Instance, InstanceOptions, Opened};
use view_vfs::permission::Caller;
use view_vfs::place::Place;
use view_vfs::resolver::{Found, Last, Walk, WalkContext, WalkFlags};

/// Walks on behalf of the view itself: nobody's /proc/self.
struct ViewWalk<'v>(&'v View);

impl WalkContext for ViewWalk<'_> {
    fn process_id(&self) -> u32 {
        std::process::id()
    }
    fn thread_id(&self) -> u32 {
        std::process::id()
    }
    fn place_of(&self, device: u64, inode: u64) -> Option<Place> {
        let identity = view_vfs::attributes::Identity { device, inode };
        Some(self.0.backings.find(identity)?.place())
    }
    fn may_search(&self, _: &Place) -> Result<(), Errno> {
        Ok(())
    }
}

/// Resolves an absolute path of a namespace.
pub fn resolve(
    view: &View,
    namespace: &Namespace,
    path: &[u8],
    flags: WalkFlags,
) -> Result<Found, Errno> {
    let table = namespace.table();
    let start = table.root().root_place();
    let found = Walk::new(table, &ViewWalk(view), flags, &start).run(&start, path)?;
    match found.kernel_error {
        Some(errno) => Err(errno),
        None => Ok(found),
    }
}

/// The mount whose root a path of the task names.
pub fn existing_mount(task: &Task<'_>, target: &[u8]) -> Option<Arc<Mount>> {
    let place = task
        .walk(libc::AT_FDCWD, target, WalkFlags::FOLLOW)
        .ok()?
        .place?;
    (place.is_mount_root() && place.mount().point().is_some()).then(|| place.mount().clone())
}

/// Can the module of this mount not write at all?
pub fn is_read_only_module(mount: &Arc<Mount>) -> bool {
    matches!(mount.root(), Root::Node(dentry) if dentry.instance().is_read_only())
}

/// Carries out a mount(2) of a tracee.
pub fn mount_for(task: &Task<'_>, spec: &MountSpec) -> Result<(), Refusal> {
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
    mount(task.view, &task.namespace, &spec)
}

/// Carries out a mount.
pub fn mount(view: &View, namespace: &Arc<Namespace>, spec: &MountSpec) -> Result<(), Refusal> {
    let options = MountOptions::parse(&spec.options)?;
    let target = spec.target.as_os_str().as_bytes();
    let found = resolve(
        view,
        namespace,
        target,
        WalkFlags {
            follow: true,
            parent: true,
            ..WalkFlags::FOLLOW
        },
    );
    let covered = match &found {
        Ok(found) => found.place.clone(),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(Refusal::from_errno(*errno)),
    };
    let made = match spec.kind {
        MountKind::Filesystem => open_filesystem(view, namespace, spec, &options)?,
        MountKind::Tmpfs => open_tmpfs(view, &options)?,
        MountKind::Bind => open_bind(view, namespace, spec, &options)?,
        MountKind::Hide => open_hidden(view, covered.as_ref())?,
        MountKind::ReadOnly => {
            let place = covered
                .clone()
                .ok_or_else(|| Refusal::from_errno(Errno::NOENT))?;
            Made {
                root: root_of(place),
                flags: MountFlags {
                    read_only: true,
                    ..flags_of(&options)
                },
                filesystem: "bind".into(),
                options: String::new(),
            }
        }
    };
    let root_is_directory = match &made.root {
        Root::Node(dentry) => dentry.kind() == Kind::Directory,
        Root::Host(path) => host_ops::attributes(path)
            .map_err(Refusal::from_errno)?
            .is_directory(),
    };
    let (point, adds_name) = match covered {
        Some(place) => {
            let is_directory = place.kind().map_err(Refusal::from_errno)? == Kind::Directory;
            if is_directory != root_is_directory {
                let errno = if root_is_directory {
                    Errno::NOTDIR
                } else {
                    Errno::ISDIR
                };
                return Err(Refusal::from_errno(errno));
            }
            (place, false)
        }
        None => missing_point(view, namespace, found, target)?,
    };
    if let Place::Node { dentry, .. } = &point {
        dentry.add_mount();
    }
    namespace.add(Mount::new(NewMount {
        point: Some(point),
        root: made.root,
        flags: made.flags,
        source: spec.source.as_bytes().to_vec(),
        filesystem: made.filesystem,
        options: made.options,
        is_scaffold: false,
        adds_name,
    }));
    view.say(
        LogLevel::Info,
        &format!(
            "mounted {} on {}",
            Path::new(&spec.source).display(),
            spec.target.display()
        ),
    );
    Ok(())
}

struct Made {
    root: Root,
    flags: MountFlags,
    filesystem: String,
    options: String,
}

fn root_of(place: Place) -> Root {
    match place {
        Place::Host { path, .. } => Root::Host(path),
        Place::Node { dentry, .. } => Root::Node(dentry),
    }
}

fn flags_of(options: &MountOptions) -> MountFlags {
    MountFlags {
        read_only: options.read_only == Some(true),
        no_suid: options.nosuid,
        no_dev: options.nodev,
        no_exec: options.noexec,
        default_permissions: options.default_permissions,
    }
}

/// The f_type of statfs(2) for filesystems that Linux has too (linux/magic.h).
fn statfs_type(name: &str) -> i64 {
    match name {
        "ext2" | "ext3" | "ext4" => 0xef53,
        "tmpfs" => 0x0102_1994,
        _ => 0x6573_5546, // FUSE_SUPER_MAGIC
    }
}

fn open_filesystem(
    view: &View,
    namespace: &Namespace,
    spec: &MountSpec,
    options: &MountOptions,
) -> Result<Made, Refusal> {
    let wanted = spec.filesystem.as_deref();
    let source_kind = match wanted {
        Some(name) => {
            view.modules
                .find(name)
                .ok_or_else(|| {
                    let known: Vec<&str> = view
                        .modules
                        .types()
                        .iter()
                        .map(|module| module.name)
                        .collect();
                    Refusal::new(libc::ENODEV, format!("unknown filesystem type `{name}`"))
                        .with_hint(format!("known types: {}", known.join(", ")))
                })?
                .source
        }
        None => SourceKind::Image,
    };
    let source = match source_kind {
        SourceKind::None => ModuleSource::None,
        SourceKind::Image => {
            let file = open_source(view, namespace, spec.source.as_bytes())?;
            ModuleSource::Image {
                source: Arc::new(file) as Arc<dyn BlockSource>,
                writable: false,
            }
        }
        SourceKind::HostPath => {
            let found = resolve(view, namespace, spec.source.as_bytes(), WalkFlags::FOLLOW)
                .map_err(Refusal::from_errno)?;
            let place = found.existing().map_err(Refusal::from_errno)?;
            let path = place
                .host_path()
                .ok_or_else(|| Refusal::new(libc::EINVAL, "the source is not on the host"))?;
            let object = host_ops::open_path(path).map_err(Refusal::from_errno)?;
            return open_module(
                view,
                spec,
                options,
                ModuleSource::HostPath {
                    object,
                    path: Path::new(&spec.source),
                },
            );
        }
    };
    open_module(view, spec, options, source)
}

fn open_module(
    view: &View,
    spec: &MountSpec,
    options: &MountOptions,
    source: ModuleSource<'_>,
) -> Result<Made, Refusal> {
    let level = view.log_level;
    let name = Path::new(&spec.source).display().to_string();
    let log: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(move |line: &str| {
        if level >= LogLevel::Warn {
            crate::say(&format!("{name}: {line}"));
        }
    });
    let opened = view.modules.open(OpenModule {
        filesystem: spec.filesystem.as_deref(),
        source_name: &spec.source,
        source,
        options,
        log,
    })?;
    let is_image = !matches!(opened.name.as_str(), "tmpfs" | "bind");
    let instance = Instance::new(
        opened.filesystem,
        InstanceOptions {
            kind_name: opened.name.clone(),
            is_read_only: opened.is_read_only,
            is_immutable: opened.is_read_only && is_image,
            // Only the view changes an image or a tmpfs, so what is missing stays missing until it makes it.
            negative_ttl: if opened.name == "bind" {
                Duration::ZERO
            } else {
                Duration::from_secs(3600)
            },
            statfs_type: statfs_type(&opened.name),
            ..InstanceOptions::default()
        },
        view.page_cache.clone(),
    )
    .map_err(Refusal::from_errno)?;
    let mut flags = flags_of(options);
    flags.read_only |= opened.is_read_only;
    // Devices of an image are nobody's to open, as for every mount of an unprivileged user.
    flags.no_dev = true;
    flags.no_suid = true;
    if opened.name == "tmpfs" {
        flags.default_permissions = true;
    }
    Ok(Made {
        root: Root::Node(instance.root()),
        flags,
        filesystem: opened.name,
        options: options.rest_text(),
    })
}

/// Opens an image by its path in the view.
fn open_source(view: &View, namespace: &Namespace, path: &[u8]) -> Result<File, Refusal> {
    let found = resolve(view, namespace, path, WalkFlags::FOLLOW).map_err(Refusal::from_errno)?;
    let place = found.existing().map_err(Refusal::from_errno)?;
    if place.kind().map_err(Refusal::from_errno)? == Kind::Directory {
        return Err(
            Refusal::new(libc::ENOTBLK, "the source is a directory, not an image")
                .with_hint("use -v SRC:DST for a directory of the host"),
        );
    }
    let descriptor: OwnedFd = match &place {
        Place::Host { path, .. } => {
            host_ops::open(path, libc::O_RDONLY, 0, 0).map_err(Refusal::from_errno)?
        }
        Place::Node { dentry, .. } => {
            match dentry
                .open(libc::O_RDONLY, &place.view_path(), &own_caller())
                .map_err(Refusal::from_errno)?
            {
                Opened::File(file) => file.descriptor,
                _ => {
                    return Err(Refusal::new(
                        libc::EINVAL,
                        "the source is not a regular file",
                    ));
                }
            }
        }
    };
    Ok(File::from(descriptor))
}

fn own_caller() -> Caller {
    Caller {
        credentials: Credentials::current(),
        umask: 0,
        enforces_modes: false,
        mount_is_read_only: false,
    }
}

fn open_tmpfs(view: &View, options: &MountOptions) -> Result<Made, Refusal> {
    let spec = MountSpec {
        filesystem: Some("tmpfs".into()),
        source: "tmpfs".into(),
        target: "/".into(),
        options: String::new(),
        kind: MountKind::Tmpfs,
    };
    open_module(view, &spec, options, ModuleSource::None)
}

fn open_bind(
    view: &View,
    namespace: &Namespace,
    spec: &MountSpec,
    options: &MountOptions,
) -> Result<Made, Refusal> {
    let found = resolve(view, namespace, spec.source.as_bytes(), WalkFlags::FOLLOW)
        .map_err(Refusal::from_errno)?;
    let place = found.existing().map_err(Refusal::from_errno)?;
    let mut flags = flags_of(options);
    if let Place::Node { mount, .. } = &place {
        let under = mount.flags();
        flags.read_only |= under.read_only;
        flags.default_permissions |= under.default_permissions;
    }
    Ok(Made {
        root: root_of(place),
        flags,
        filesystem: "bind".into(),
        options: String::new(),
    })
}

/// What stands where something is hidden: an empty directory, or an empty file.
fn open_hidden(view: &View, covered: Option<&Place>) -> Result<Made, Refusal> {
    let place = covered.ok_or_else(|| Refusal::new(libc::ENOENT, "there is nothing to hide"))?;
    let is_directory = place.kind().map_err(Refusal::from_errno)? == Kind::Directory;
    let mut made = open_tmpfs(view, &MountOptions::default())?;
    if !is_directory && let Root::Node(root) = &made.root {
        root.create_node(b"hidden", libc::S_IFREG, 0, false, &own_caller())
            .map_err(Refusal::from_errno)?;
        made.root = Root::Node(root.lookup(b"hidden").map_err(Refusal::from_errno)?);
    }
    made.flags.read_only = true;
    made.filesystem = "hide".into();
    Ok(made)
}

/// A mount point that does not exist: it appears in its parent's listing. If more than one component is missing, a
/// scaffold holds the others.
fn missing_point(
    view: &View,
    namespace: &Arc<Namespace>,
    found: Result<Found, Errno>,
    target: &[u8],
) -> Result<(Place, bool), Refusal> {
    if let Ok(found) = &found
        && let (Some(parent), Last::Name) = (&found.parent, found.last)
    {
        return match parent {
            Place::Host { mount, path } => {
                let mut whole = path.clone();
                if whole != b"/" {
                    whole.push(b'/');
                }
                whole.extend_from_slice(&found.name);
                Ok((
                    Place::Host {
                        mount: mount.clone(),
                        path: whole,
                    },
                    true,
                ))
            }
            Place::Node { mount, dentry } => {
                let made = dentry
                    .create_directory(&found.name, 0o755, &own_caller())
                    .map_err(|errno| {
                        Refusal::from_errno(errno).with_hint("make the mount point first")
                    })?;
                Ok((
                    Place::Node {
                        mount: mount.clone(),
                        dentry: made,
                    },
                    false,
                ))
            }
        };
    }
    // The deepest ancestor that exists.
    let components: Vec<&[u8]> = target
        .split(|&byte| byte == b'/')
        .filter(|one| !one.is_empty())
        .collect();
    for depth in (0..components.len().saturating_sub(1)).rev() {
        let prefix = [b"/", components[..depth].join(&b'/').as_slice()].concat();
        let Ok(ancestor) = resolve(view, namespace, &prefix, WalkFlags::FOLLOW) else {
            continue;
        };
        let Some(place) = ancestor.place else {
            continue;
        };
        let rest = &components[depth..];
        if let Place::Node { mount, dentry } = &place {
            let mut at = dentry.clone();
            for name in rest {
                at = at
                    .create_directory(name, 0o755, &own_caller())
                    .map_err(Refusal::from_errno)?;
            }
            return Ok((
                Place::Node {
                    mount: mount.clone(),
                    dentry: at,
                },
                false,
            ));
        }
        let Place::Host { mount, path } = &place else {
            continue;
        };
        let mut point = path.clone();
        if point != b"/" {
            point.push(b'/');
        }
        point.extend_from_slice(rest[0]);
        return scaffold(
            view,
            namespace,
            Place::Host {
                mount: mount.clone(),
                path: point,
            },
            &rest[1..],
        );
    }
    Err(Refusal::from_errno(Errno::NOENT))
}

fn scaffold(
    view: &View,
    namespace: &Arc<Namespace>,
    point: Place,
    below: &[&[u8]],
) -> Result<(Place, bool), Refusal> {
    let made = open_tmpfs(view, &MountOptions::default())?;
    let Root::Node(root) = &made.root else {
        return Err(Refusal::from_errno(Errno::IO));
    };
    let mut at: Arc<Dentry> = root.clone();
    for name in below {
        at = at
            .create_directory(name, 0o755, &own_caller())
            .map_err(Refusal::from_errno)?;
    }
    let mount = Mount::new(NewMount {
        point: Some(point),
        root: made.root,
        flags: MountFlags {
            read_only: true,
            ..made.flags
        },
        source: b"none".to_vec(),
        filesystem: "tmpfs".into(),
        options: String::new(),
        is_scaffold: true,
        adds_name: true,
    });
    namespace.add(mount.clone());
    Ok((Place::Node { mount, dentry: at }, false))
}

/// Takes a mount away. `EBUSY` while something of it is open or a working directory, unless `lazy`.
pub fn unmount(
    view: &View,
    namespace: &Namespace,
    mount: &Arc<Mount>,
    lazy: bool,
) -> Result<(), Errno> {
    if !lazy {
        view.collect();
    }
    let removed = namespace.remove(mount, lazy, |mount| is_busy(view, mount))?;
    for mount in &removed {
        if let Some(Place::Node { dentry, .. }) = mount.point() {
            dentry.remove_mount();
        }
        if let Root::Node(root) = mount.root()
            && !is_used(view, root)
        {
            root.instance().detach();
        }
    }
    Ok(())
}

fn is_busy(view: &View, mount: &Arc<Mount>) -> bool {
    let mut busy = false;
    view.backings.retain(|_, backed| {
        busy |= match &**backed {
            Backed::File(place @ Place::Node { .. }) => {
                place.mount().id() == mount.id() && place.kind() == Ok(Kind::RegularFile)
            }
            other => other.place().mount().id() == mount.id() && matches!(other, Backed::Marker(_)),
        };
        true
    });
    busy
}

/// Is the instance mounted elsewhere, in any namespace?
fn is_used(view: &View, root: &Arc<Dentry>) -> bool {
    let uses = |table: &MountTable| {
        table.mounts().iter().any(|mount| match mount.root() {
            Root::Node(other) => Arc::ptr_eq(other.instance(), root.instance()),
            Root::Host(_) => false,
        })
    };
    view.all_namespaces()
        .iter()
        .any(|namespace| uses(&namespace.table()))
}
