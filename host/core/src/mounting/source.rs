//! What is mounted: a filesystem of a module, a part of the view itself, or nothing to see.
//!
//! Neighbours: `control::modules` (opens filesystems), the parent module (puts the result into the table).

use super::Request;
use super::image::{self, Access};
use crate::control::modules::{ModuleSource, OpenModule, SourceKind};
use crate::control::options::MountOptions;
use crate::control::protocol::{LogLevel, MountKind, MountSpec, Refusal};
use crate::identity::ids::Ids;
use crate::view::View;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use view_vfs::attributes::Kind;
use view_vfs::credentials::Credentials;
use view_vfs::host_ops;
use view_vfs::mount_table::{MountFlags, Root};
use view_vfs::object::{AttributeChange, Dentry, Instance, InstanceOptions};
use view_vfs::permission::Caller;
use view_vfs::place::Place;

/// A mount without its point.
pub(super) struct Made {
    pub(super) root: Root,
    pub(super) flags: MountFlags,
    pub(super) filesystem: String,
    pub(super) options: String,
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

/// A filesystem of a module: of the type asked for, or of the one that knows the image.
pub(super) fn open_filesystem(
    request: &Request<'_>,
    spec: &MountSpec,
    options: &MountOptions,
) -> Result<Made, Refusal> {
    let view = request.view;
    let path = spec.source.as_bytes();
    let wanted = spec.filesystem.as_deref();
    let (source_kind, can_write) = match wanted {
        Some(name) => {
            let module = view.modules.find(name).ok_or_else(|| {
                let known: Vec<&str> = view
                    .modules
                    .types()
                    .iter()
                    .map(|module| module.name)
                    .collect();
                Refusal::new(libc::ENODEV, format!("unknown filesystem type `{name}`"))
                    .with_hint(format!("known types: {}", known.join(", ")))
            })?;
            (module.source, module.can_write)
        }
        None => {
            let types = view.modules.types().iter();
            let can_write = types
                .filter(|module| module.source == SourceKind::Image)
                .any(|module| module.can_write);
            (SourceKind::Image, can_write)
        }
    };
    let source = match source_kind {
        SourceKind::None => ModuleSource::None,
        SourceKind::Image => {
            let access = match options.read_only {
                Some(false) if can_write => Access::Write,
                // An image is only written when that was said.
                _ => Access::Read,
            };
            let image = image::open(&request.existing(path)?, access)?;
            let source = ModuleSource::Image {
                source: image.source.clone(),
                writable: image.is_writable,
            };
            let made = open_module(view, spec, options, source)?;
            if let Root::Node(root) = &made.root
                && root.instance().is_read_only()
            {
                image.only_reads();
            }
            return Ok(made);
        }
        SourceKind::HostPath => {
            let place = request.existing(path)?;
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
    // Devices of an image are nobody's to open, as for every mount of an unprivileged user; a root of the view may.
    flags.no_dev = options.nodev || view.identity.get().is_none();
    // Where ids are the view's, set-id bits and permissions of a mount mean them.
    flags.no_suid = options.nosuid || view.identity.get().is_none();
    // Who only reads an image of his own may read all of it; who writes one is asked for permission as everywhere.
    if opened.name == "tmpfs" || !flags.read_only || view.identity.get().is_some() {
        flags.default_permissions = true;
    }
    if opened.name == "tmpfs"
        && let Some(identity) = view.identity.get()
    {
        own_root(&instance.root(), identity.threads.initial(), options)?;
    }
    Ok(Made {
        root: Root::Node(instance.root()),
        flags,
        filesystem: opened.name,
        options: options.rest_text(),
    })
}

/// Gives a new tmpfs to the first user of the view, unless its options name an owner.
fn own_root(root: &Dentry, ids: &Ids, options: &MountOptions) -> Result<(), Refusal> {
    let text = options.rest_text();
    let is_named = |key: &str| text.split(',').any(|option| option.starts_with(key));
    let owner = AttributeChange::Owner {
        uid: (!is_named("uid=")).then_some(ids.user.real),
        gid: (!is_named("gid=")).then_some(ids.group.real),
    };
    let mut caller = own_caller();
    caller.credentials.is_privileged = true;
    root.set_attributes(&owner, &caller)
        .map_err(Refusal::from_errno)
}

/// The supervisor itself.
pub(super) fn own_caller() -> Caller {
    Caller {
        credentials: Credentials::current(),
        umask: 0,
        enforces_modes: false,
        mount_is_read_only: false,
    }
}

/// An empty tmpfs.
pub(super) fn open_tmpfs(view: &View, options: &MountOptions) -> Result<Made, Refusal> {
    let spec = MountSpec {
        filesystem: Some("tmpfs".into()),
        source: "tmpfs".into(),
        target: "/".into(),
        options: String::new(),
        kind: MountKind::Tmpfs,
    };
    open_module(view, &spec, options, ModuleSource::None)
}

/// What is already in the view, once more: with the options of the mount that it lies on, and more.
pub(super) fn bind(place: &Place, options: &MountOptions) -> Made {
    let flags = flags_of(options).and(place.mount().flags());
    let root = match place {
        Place::Host { path, .. } => Root::Host(path.clone()),
        Place::Node { dentry, .. } => Root::Node(dentry.clone()),
    };
    Made {
        root,
        flags,
        filesystem: "bind".into(),
        options: String::new(),
    }
}

/// Where the host has a filesystem that is the kernel's own and the same wherever it is mounted; `None` for other types.
pub fn kernel_filesystem(name: &str) -> Option<&'static str> {
    match name {
        "proc" => Some("/proc"),
        "sysfs" => Some("/sys"),
        "devtmpfs" => Some("/dev"),
        "devpts" => Some("/dev/pts"),
        "mqueue" => Some("/dev/mqueue"),
        _ => None,
    }
}

/// One of these, once more. What its own options would change is the host's to decide.
pub(super) fn kernel(spec: &MountSpec, options: &MountOptions) -> Result<Made, Refusal> {
    let name = spec.filesystem.clone().unwrap_or_default();
    let path = kernel_filesystem(&name)
        .filter(|path| Path::new(path).is_dir())
        .ok_or_else(|| Refusal::new(libc::ENODEV, format!("the host has no `{name}`")))?;
    Ok(Made {
        root: Root::Host(path.as_bytes().to_vec()),
        flags: flags_of(options),
        filesystem: name,
        options: String::new(),
    })
}

/// What stands where something is hidden: an empty directory, or an empty file.
pub(super) fn open_hidden(view: &View, covered: Option<&Place>) -> Result<Made, Refusal> {
    let place = covered.ok_or_else(|| Refusal::new(libc::ENOENT, "it does not exist"))?;
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
