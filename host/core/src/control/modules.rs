//! The registry through which the core opens filesystem modules without depending on one.
//!
//! The `view` command implements [`Modules`] with the modules it was built with; the core opens the
//! source of a mount through the VFS and asks the registry for a filesystem over it. So any module
//! can sit on any other, and the core depends on none.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use fuse_compat::{BlockSource, Filesystem};

use super::options::MountOptions;
use super::protocol::Refusal;

/// What a filesystem type is made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// Nothing: the source is only a label (tmpfs).
    None,
    /// A regular file or block device, read by offset.
    Image,
    /// A host file or directory.
    HostPath,
}

/// One filesystem type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Name as in `-t NAME` and in /proc/filesystems.
    pub name: &'static str,
    /// What it is made over.
    pub source: SourceKind,
    /// Can it write to its source? If not, an image is opened read-only, whatever the options say.
    pub can_write: bool,
    /// One line for listings.
    pub about: &'static str,
}

/// The opened source of a mount.
pub enum ModuleSource<'a> {
    /// None is needed.
    None,
    /// The bytes of an image, opened through the VFS.
    Image {
        /// The bytes.
        source: Arc<dyn BlockSource>,
        /// Whether writes can succeed; if not, the mount is read-only.
        writable: bool,
    },
    /// A host file or directory: an O_PATH descriptor and the path it was found at.
    HostPath {
        /// The object.
        object: OwnedFd,
        /// Its path, for messages and mount tables.
        path: &'a Path,
    },
}

/// A request to open a module.
pub struct OpenModule<'a> {
    /// Filesystem type; `None` asks for a probe (only sensible for an image).
    pub filesystem: Option<&'a str>,
    /// Source as the user wrote it, for messages.
    pub source_name: &'a OsStr,
    /// The opened source.
    pub source: ModuleSource<'a>,
    /// All options of the mount.
    pub options: &'a MountOptions,
    /// Where a module says that its source is damaged or degraded: one line a call, no newline.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A filesystem ready to be initialised and mounted.
pub struct OpenedModule {
    /// The module.
    pub filesystem: Box<dyn Filesystem>,
    /// The type it turned out to be (`ext3` after a probe).
    pub name: String,
    /// Whether the mount must be read-only whatever the options say.
    pub is_read_only: bool,
}

/// The filesystem types this program was built with.
pub trait Modules: Send + Sync {
    /// Opens a filesystem over a source.
    ///
    /// Errors: `ENODEV` for a type that is not known, `EINVAL` for a bad option or a source that is
    /// not of that type (a hint then says what was found), `EUCLEAN` for a damaged source, and
    /// whatever reading the source returns.
    fn open(&self, request: OpenModule<'_>) -> Result<OpenedModule, Refusal>;

    /// All types, in the order in which they are shown.
    fn types(&self) -> &'static [ModuleInfo];

    /// The type of that name.
    fn find(&self, name: &str) -> Option<ModuleInfo> {
        self.types()
            .iter()
            .find(|module| module.name == name)
            .copied()
    }
}
