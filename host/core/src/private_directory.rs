//! The supervisor's private directory: names that exist only while a tracee's call needs them.
//!
//! Programs being executed get a name there (so that the kernel's idea of `comm` is right), FIFOs and sockets of
//! modules get real nodes. It is mode 0700 and removed with the view.

use rustix::fs::Mode;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory; dropping it removes it.
#[derive(Debug)]
pub struct PrivateDirectory {
    path: PathBuf,
    next: AtomicU64,
}

/// A symbolic link that goes when this is dropped.
#[derive(Debug)]
pub struct TemporaryLink {
    directory: PathBuf,
    link: PathBuf,
}

impl PrivateDirectory {
    /// Makes the directory, on tmpfs where there is one.
    pub fn new() -> Result<Self, Errno> {
        let mut last = Errno::NOENT;
        for base in candidates() {
            for attempt in 0..16u64 {
                let seed = crate::random_u64() ^ attempt;
                let path = base.join(format!("view-{}-{:08x}", std::process::id(), seed as u32));
                match rustix::fs::mkdir(&path, Mode::RWXU) {
                    Ok(()) => {
                        return Ok(Self {
                            path,
                            next: AtomicU64::new(0),
                        });
                    }
                    Err(Errno::EXIST) => {}
                    Err(errno) => {
                        last = errno;
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn fresh(&self) -> PathBuf {
        self.path
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A link called `name` to `target`.
    pub fn link(&self, name: &[u8], target: &[u8]) -> Result<TemporaryLink, Errno> {
        let directory = self.fresh();
        rustix::fs::mkdir(&directory, Mode::RWXU)?;
        let name = if name.is_empty() || name.contains(&b'/') {
            b"program"
        } else {
            name
        };
        let link = directory.join(OsStr::from_bytes(name));
        let made = rustix::fs::symlink(target, &link);
        let temporary = TemporaryLink { directory, link };
        made.map(|()| temporary)
    }

    /// A name for a new node; nothing is there yet.
    pub fn node_path(&self) -> Vec<u8> {
        self.fresh().into_os_string().into_encoded_bytes()
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl TemporaryLink {
    /// Its path.
    pub fn path(&self) -> &[u8] {
        self.link.as_os_str().as_bytes()
    }
}

impl Drop for TemporaryLink {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.link);
        let _ = rustix::fs::rmdir(&self.directory);
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut all = vec![PathBuf::from("/dev/shm")];
    all.extend(
        ["XDG_RUNTIME_DIR", "TMPDIR"]
            .iter()
            .filter_map(std::env::var_os)
            .map(PathBuf::from),
    );
    all.push(PathBuf::from("/tmp"));
    all
}
