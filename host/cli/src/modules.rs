//! The filesystem modules this program has. No other crate of the program depends on one.
//!
//! To add a module: one row in [`TYPES`], one arm in [`Registry::open`].

use std::path::Path;
use std::sync::Arc;

use fuse_compat::BlockSource;
use view_bind::Bind;
use view_core::control::protocol::Refusal;
use view_core::control::{
    ModuleInfo, ModuleSource, Modules, MountOptions, OpenModule, OpenedModule, SourceKind,
};
use view_ext::{Ext, MountError, Probe};
use view_tmpfs::Tmpfs;

/// The types, as `-t` has them.
pub const TYPES: &[ModuleInfo] = &[
    ModuleInfo {
        name: "ext2",
        source: SourceKind::Image,
        can_write: true,
        about: "ext2 image, read-only unless `rw`",
    },
    ModuleInfo {
        name: "ext3",
        source: SourceKind::Image,
        can_write: true,
        about: "ext3 image, read-only unless `rw`",
    },
    ModuleInfo {
        name: "ext4",
        source: SourceKind::Image,
        can_write: true,
        about: "ext4 image, read-only unless `rw`",
    },
    ModuleInfo {
        name: "tmpfs",
        source: SourceKind::None,
        can_write: true,
        about: "files in memory",
    },
    ModuleInfo {
        name: "bind",
        source: SourceKind::HostPath,
        can_write: true,
        about: "a host file or directory",
    },
];

/// Most partitions named in a hint.
const MAX_PARTITIONS_SHOWN: usize = 8;

/// Opens the modules of [`TYPES`].
#[derive(Debug, Clone, Copy)]
pub struct Registry;

impl Modules for Registry {
    fn open(&self, request: OpenModule<'_>) -> Result<OpenedModule, Refusal> {
        let options = request.options;
        match (request.filesystem, request.source) {
            (None | Some("ext2" | "ext3" | "ext4"), ModuleSource::Image { source, .. }) => {
                open_ext(source, options, request.log)
            }
            (Some("tmpfs"), _) => open_tmpfs(options),
            (None | Some("bind"), ModuleSource::HostPath { path, .. }) => open_bind(path, options),
            (Some(name), _) if self.find(name).is_none() => {
                let names: Vec<&str> = TYPES.iter().map(|info| info.name).collect();
                Err(
                    Refusal::new(libc::ENODEV, format!("unknown filesystem type `{name}`"))
                        .with_hint(format!("view has {}", names.join(", "))),
                )
            }
            _ => Err(Refusal::new(
                libc::EINVAL,
                "the source is not what this type is made over",
            )),
        }
    }

    fn types(&self) -> &'static [ModuleInfo] {
        TYPES
    }
}

/// Opens an ext2, ext3 or ext4 image. As with the kernel's ext4, the three names are one driver; the
/// mount is shown under the name of what the image is.
fn open_ext(
    source: Arc<dyn BlockSource>,
    options: &MountOptions,
    log: Arc<dyn Fn(&str) + Send + Sync>,
) -> Result<OpenedModule, Refusal> {
    let access = if options.read_only == Some(false) {
        "rw"
    } else {
        "ro"
    };
    let words = format!(
        "{access},offset={},{}",
        options.offset_bytes,
        options.rest_text()
    );
    match Ext::open(source.clone(), &words, Box::new(move |line| log(line))) {
        Ok(ext) => {
            let name = ext.volume().type_name().to_owned();
            let is_read_only = !ext.is_writable();
            Ok(OpenedModule {
                filesystem: Box::new(ext),
                name,
                is_read_only,
            })
        }
        Err(error) => Err(explain_ext(&error, source.as_ref(), options.offset_bytes)),
    }
}

/// Says what an image is when it is no ext filesystem.
fn explain_ext(error: &MountError, source: &dyn BlockSource, offset_bytes: u64) -> Refusal {
    let refusal = Refusal::new(error.errno(), error.to_string());
    let is_something_else = matches!(
        error,
        MountError::BadMagic { .. } | MountError::TooSmall { .. }
    );
    if !is_something_else || offset_bytes != 0 {
        return refusal;
    }
    match view_ext::probe(source) {
        Probe::Partitioned(list) => {
            let lines: Vec<&str> = list.lines().map(str::trim).collect();
            let shown = lines.iter().take(1 + MAX_PARTITIONS_SHOWN).copied();
            let mut hint: String = shown.collect::<Vec<_>>().join("; ").replacen(":;", ":", 1);
            if lines.len() > 1 + MAX_PARTITIONS_SHOWN {
                hint.push_str("; ...");
            }
            Refusal::new(refusal.errno, "found a partition table, not a filesystem").with_hint(hint)
        }
        Probe::Other(what) => refusal.with_hint(format!("the source is {what}")),
        Probe::Ext2 | Probe::Ext3 | Probe::Ext4 => refusal,
    }
}

fn open_tmpfs(options: &MountOptions) -> Result<OpenedModule, Refusal> {
    let tmpfs = Tmpfs::new(&options.rest_text())
        .map_err(|error| Refusal::new(libc::EINVAL, error.to_string()))?;
    let is_read_only = options.read_only == Some(true);
    Ok(OpenedModule {
        filesystem: Box::new(tmpfs),
        name: "tmpfs".into(),
        is_read_only,
    })
}

fn open_bind(path: &Path, options: &MountOptions) -> Result<OpenedModule, Refusal> {
    if let Some((name, _)) = options.rest.first() {
        return Err(Refusal::new(
            libc::EINVAL,
            format!("bind: unknown option `{name}`"),
        ));
    }
    let bind = Bind::new(path).map_err(|error| {
        Refusal::from_errno(
            rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO),
        )
    })?;
    Ok(OpenedModule {
        filesystem: Box::new(bind),
        name: "bind".into(),
        is_read_only: options.read_only == Some(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fuse_compat::MemorySource;
    use std::ffi::OsStr;

    fn open(
        filesystem: Option<&str>,
        image: Vec<u8>,
        options: &str,
    ) -> Result<OpenedModule, Refusal> {
        let source = Arc::new(MemorySource::new(image));
        Registry.open(OpenModule {
            filesystem,
            source_name: OsStr::new("disk.img"),
            source: ModuleSource::Image {
                source,
                writable: false,
            },
            options: &MountOptions::parse(options).unwrap(),
            log: Arc::new(|_| ()),
        })
    }

    fn small() -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images/small.ext4");
        std::fs::read(path).unwrap()
    }

    #[test]
    fn an_image_is_opened_under_its_own_type_also_at_an_offset() {
        for filesystem in [None, Some("ext4"), Some("ext2")] {
            let opened = open(filesystem, small(), "ro").unwrap();
            assert_eq!((opened.name.as_str(), opened.is_read_only), ("ext4", true));
        }
        let shifted = [vec![0; 1 << 20], small()].concat();
        assert!(open(None, shifted.clone(), "").is_err());
        assert_eq!(open(None, shifted, "offset=1M").unwrap().name, "ext4");
    }

    #[test]
    fn a_partitioned_image_says_where_its_partitions_are() {
        let mut disk = [vec![0; 1 << 20], small()].concat();
        disk[446 + 4] = 0x83;
        disk[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
        disk[446 + 12..446 + 16].copy_from_slice(&512_u32.to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let refusal = open(None, disk, "").err().unwrap();
        assert_eq!(refusal.why, "found a partition table, not a filesystem");
        let hint = refusal.hint.unwrap();
        assert!(
            hint.contains("offset=1048576") && hint.contains("ext4"),
            "{hint}"
        );
        assert!(!hint.contains('\n'), "{hint}");
    }

    #[test]
    fn other_sources_are_named_and_bad_options_refused() {
        let mut squashfs = vec![0; 1 << 16];
        squashfs[..4].copy_from_slice(b"hsqs");
        let refusal = open(None, squashfs, "").err().unwrap();
        assert!(refusal.hint.unwrap().contains("squashfs"));
        assert_eq!(
            open(None, small(), "no-such-option").err().unwrap().errno,
            libc::EINVAL
        );
        assert_eq!(
            open(Some("ntfs"), small(), "").err().unwrap().errno,
            libc::ENODEV
        );
        assert_eq!(open(None, vec![], "").err().unwrap().errno, libc::EINVAL);
    }

    #[test]
    fn bind_is_opened_over_a_host_path() {
        let open = |path: &str, options: &str| {
            let object = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
            Registry.open(OpenModule {
                filesystem: Some("bind"),
                source_name: OsStr::new(path),
                source: ModuleSource::HostPath {
                    object: object.unwrap(),
                    path: Path::new(path),
                },
                options: &MountOptions::parse(options).unwrap(),
                log: Arc::new(|_| ()),
            })
        };
        assert!(open("/", "ro").unwrap().is_read_only);
        assert_eq!(open("/nonexistent", "").err().unwrap().errno, libc::ENOENT);
        assert_eq!(open("/", "size=1").err().unwrap().errno, libc::EINVAL);
    }

    #[test]
    fn tmpfs_takes_its_options() {
        let open = |options: &str| {
            Registry.open(OpenModule {
                filesystem: Some("tmpfs"),
                source_name: OsStr::new("tmpfs"),
                source: ModuleSource::None,
                options: &MountOptions::parse(options).unwrap(),
                log: Arc::new(|_| ()),
            })
        };
        assert_eq!(open("size=1M,mode=700,noexec").unwrap().name, "tmpfs");
        assert_eq!(open("size=lots").err().unwrap().errno, libc::EINVAL);
    }
}
