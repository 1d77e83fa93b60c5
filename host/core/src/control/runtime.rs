//! The runtime directory: where the control sockets of a user's views are.
//!
//! `$XDG_RUNTIME_DIR/view`, or `/tmp/view-UID` when that variable is unset or its directory is not
//! usable. The directory is ours alone (mode 0700, our uid, not a symbolic link) or it is not used: in /tmp
//! anybody could have made it first. A socket that refuses connections belongs to a dead supervisor
//! and is removed by whoever notices.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Ending of a socket's file name.
const SUFFIX: &str = ".sock";

/// Longest path of an AF_UNIX socket without its NUL, in bytes; unix(7).
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The runtime directory, made if need be.
///
/// Errors: `PermissionDenied` when something else stands in its place.
pub fn directory() -> io::Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    if let Some(base) = given.filter(|base| base.is_absolute()) {
        let path = base.join("view");
        if base.as_os_str().len() < 64 && make_private(&path, uid).is_ok() {
            return Ok(path);
        }
    }
    let path = PathBuf::from(format!("/tmp/view-{uid}"));
    make_private(&path, uid)?;
    Ok(path)
}

/// Makes a directory of mode 0700 or checks that the one there is ours alone.
fn make_private(path: &Path, uid: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != uid {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a directory of yours", path.display()),
        ));
    }
    if found.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    // A read-only /run passes all the above; a socket could not be made there.
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Whether a name can be a view's: 1 to 32 of letters, digits, `.`, `_`, `-`, no leading `.` or `-`.
pub fn is_valid_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=32).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with(['.', '-'])
}

/// Path of the socket of the view of that name.
pub fn socket_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{SUFFIX}"))
}

/// Binds the socket of a new view, under the given name or one derived from our process id.
///
/// Errors: `InvalidInput` for a bad name, `AddrInUse` when a running view has it, else bind(2)'s.
pub fn bind(directory: &Path, name: Option<&str>) -> io::Result<(String, PathBuf, UnixListener)> {
    if let Some(name) = name {
        if !is_valid_name(name) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a name is 1 to 32 letters, digits, `.`, `_` or `-`",
            ));
        }
        return bind_name(directory, name);
    }
    let pid = std::process::id();
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for attempt in 0..100_u32 {
        let name = match attempt {
            0 => format!("v{pid}"),
            _ => format!("v{pid}-{attempt}"),
        };
        match bind_name(directory, &name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            other => return other,
        }
    }
    Err(last)
}

fn bind_name(directory: &Path, name: &str) -> io::Result<(String, PathBuf, UnixListener)> {
    let path = socket_path(directory, name);
    // Between bind(2) and listen(2) a socket looks stale: it gets its name when it is listened on.
    let unnamed = directory.join(format!(".{}", std::process::id()));
    let length = |path: &Path| path.as_os_str().as_bytes().len();
    if length(&path).max(length(&unnamed)) > MAX_SOCKET_PATH_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "path of the socket is too long",
        ));
    }
    let _ = fs::remove_file(&unnamed);
    let listener = UnixListener::bind(&unnamed)?;
    let mut linked = fs::hard_link(&unnamed, &path);
    if is_taken(&linked) && remove_if_stale(&path) {
        linked = fs::hard_link(&unnamed, &path);
    }
    let _ = fs::remove_file(&unnamed);
    match linked {
        Err(_) if is_taken(&linked) => return Err(io::ErrorKind::AddrInUse.into()),
        other => other?,
    }
    Ok((name.to_owned(), path, listener))
}

fn is_taken(linked: &io::Result<()>) -> bool {
    matches!(linked, Err(error) if error.kind() == io::ErrorKind::AlreadyExists)
}

/// Removes a socket nobody listens on. True when it is gone.
pub fn remove_if_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return false;
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).is_ok()
        }
        _ => false,
    }
}

/// Names and paths of the sockets in the directory, sorted by name.
pub fn sockets(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| name.strip_suffix(SUFFIX))
            && is_valid_name(name)
        {
            found.push((name.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("view-rt-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn directory_is_made_private_and_a_symlink_is_refused() {
        let base = scratch("private");
        let uid = rustix::process::geteuid().as_raw();
        make_private(&base, uid).unwrap();
        assert_eq!(fs::metadata(&base).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
        make_private(&base, uid).unwrap();
        assert_eq!(fs::metadata(&base).unwrap().mode() & 0o777, 0o700);

        let link = base.join("link");
        std::os::unix::fs::symlink(&base, &link).unwrap();
        assert!(make_private(&link, uid).is_err());
        assert!(make_private(&base, uid.wrapping_add(1)).is_err());
        let file = base.join("file");
        fs::write(&file, "").unwrap();
        assert!(make_private(&file, uid).is_err());
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn names() {
        for good in ["a", "build-1", "x.y_z", &"n".repeat(32)] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "\u{e9}", &"n".repeat(33)] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn stale_socket_is_replaced_and_a_live_one_is_not() {
        let base = scratch("stale");
        make_private(&base, rustix::process::geteuid().as_raw()).unwrap();
        let (_, path, listener) = bind(&base, Some("one")).unwrap();
        assert_eq!(
            bind(&base, Some("one")).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert!(!remove_if_stale(&path));
        drop(listener);
        // The file stays behind, as after SIGKILL.
        assert!(path.exists());
        let (name, _, _listener) = bind(&base, Some("one")).unwrap();
        assert_eq!(name, "one");

        let (first, _, _first_listener) = bind(&base, None).unwrap();
        let (second, _, _second_listener) = bind(&base, None).unwrap();
        assert_ne!(first, second);
        let listed: Vec<String> = sockets(&base)
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(listed, ["one".to_owned(), first, second]);
        assert!(bind(&base, Some("../x")).is_err());
        fs::remove_dir_all(&base).unwrap();
    }
}
