//! System calls, one file per family; each function decodes arguments, asks the VFS, and encodes the result.
//!
//! | Module      | Calls                                                              |
//! |-------------|--------------------------------------------------------------------|
//! | `table`     | every number, and how far it is supported                          |
//! | `target`    | from path arguments to places                                      |
//! | `open`      | open, creat, openat, openat2                                       |
//! | `stat`      | stat, lstat, fstat, newfstatat, statx, statfs, fstatfs, access     |
//! | `name`      | mkdir, mknod, symlink, link, unlink, rmdir, rename                 |
//! | `link`      | readlink                                                           |
//! | `attribute` | chmod, chown, truncate, utimes                                     |
//! | `allocate`  | fallocate                                                          |
//! | `copy`      | copy_file_range                                                    |
//! | `flags`     | ioctl that reads and sets inode flags                              |
//! | `xattr`     | extended attributes                                                |
//! | `directory` | getdents, lseek, chdir, fchdir, getcwd                             |
//! | `exec`      | execve, execveat                                                   |
//! | `socket`    | bind, connect, getsockname, getpeername, sendto with AF_UNIX paths |
//! | `mount`     | mount, umount2                                                     |
//! | `sync`      | fsync, fdatasync, sync, syncfs, sync_file_range, msync             |
//! | `watch`     | inotify_add_watch, name_to_handle_at                               |
//! | `signal`    | rt_sigreturn: calls interrupted before they were received          |
//! | `process`   | prctl, chroot, umask                                               |
//! | `identity`    | get*id, set*id, groups, capabilities, in a view with its own ids   |
//! | `host_object` | not a call: objects of the host in such a view                     |
//! | `host_permission` | not a call: who may do what with such objects                  |
//! | `loop_device` | ioctl on loop devices, in such a view                              |
//! | `injection` | not a call: another call run in the tracee, seen as an answer      |
//!
//! To add a call: its row in `table` (which puts it into the filter), a function here or in the file of its family, its
//! line in `dispatch`, a tracee in `tests/tracees`. No locks are held from one call to another.

mod allocate;
mod attribute;
mod copy;
mod device_node;
mod directory;
mod exec;
mod flags;
mod host_object;
mod host_permission;
mod identity;
mod injection;
mod link;
mod loop_device;
mod mount;
mod name;
mod open;
mod process;
pub mod signal;
mod socket;
mod stat;
mod sync;
pub mod table;
mod target;
mod watch;
mod xattr;

use crate::task::{Answer, Task};
use rustix::io::Errno;

/// Serves one call. A process that the supervisor may not read (it executes a program that it may not read) goes
/// without the view: Linux serves it.
pub fn dispatch(task: &Task<'_>) -> Result<Answer, Errno> {
    match serve(task) {
        Err(Errno::PERM) if !task.is_readable() => Ok(Answer::Continue),
        // The supervisor has no descriptor left, and nothing has happened yet.
        Err(Errno::NFILE | Errno::MFILE) if task.view.spares_descriptors() => serve(task),
        result => result,
    }
}

fn serve(task: &Task<'_>) -> Result<Answer, Errno> {
    let number = i64::from(task.call.number);
    if number == libc::SYS_rt_sigreturn {
        return signal::sigreturn(task);
    }
    signal::note_received(task);
    task.view.callers.goes_on(task.call.tid);
    if let Some(own) = task.view.identity.get()
        && let Some(answer) = identity::serve(task, own)
    {
        return answer;
    }
    match number {
        libc::SYS_mount => return mount::mount(task),
        libc::SYS_umount2 => return mount::umount(task),
        libc::SYS_prctl => return process::prctl(task),
        libc::SYS_umask => return process::umask(task),
        _ if task.view.is_idle() => return Ok(Answer::Continue),
        libc::SYS_execve | libc::SYS_execveat if task.call.tid != task.process() => {
            task.view.callers.changes_umask(task.call.tid);
        }
        _ => {}
    }
    match number {
        libc::SYS_ioctl => match task.unsigned(1) {
            flags::GET_FLAGS | flags::SET_FLAGS => flags::ioctl(task),
            _ => loop_device::ioctl(task),
        },
        libc::SYS_copy_file_range => copy::copy_file_range(task),
        libc::SYS_open => open::open(task),
        libc::SYS_creat => open::creat(task),
        libc::SYS_openat => open::openat(task),
        libc::SYS_openat2 => open::openat2(task),
        libc::SYS_stat => stat::stat(task),
        libc::SYS_lstat => stat::lstat(task),
        libc::SYS_fstat => stat::fstat(task),
        libc::SYS_newfstatat => stat::newfstatat(task),
        libc::SYS_statx => stat::statx(task),
        libc::SYS_statfs => stat::statfs(task),
        libc::SYS_fstatfs => stat::fstatfs(task),
        libc::SYS_access => stat::access(task),
        libc::SYS_faccessat => stat::faccessat(task),
        libc::SYS_faccessat2 => stat::faccessat2(task),
        libc::SYS_mkdir => name::mkdir(task, libc::AT_FDCWD, 0),
        libc::SYS_mkdirat => name::mkdir(task, task.int(0), 1),
        libc::SYS_mknod => name::mknod(task, libc::AT_FDCWD, 0),
        libc::SYS_mknodat => name::mknod(task, task.int(0), 1),
        libc::SYS_symlink => name::symlink(task, libc::AT_FDCWD, 1),
        libc::SYS_symlinkat => name::symlink(task, task.int(1), 2),
        libc::SYS_link => name::link(task),
        libc::SYS_linkat => name::linkat(task),
        libc::SYS_unlink => name::unlink(task, libc::AT_FDCWD, 0),
        libc::SYS_rmdir => name::rmdir(task, libc::AT_FDCWD, 0),
        libc::SYS_unlinkat => name::unlinkat(task),
        libc::SYS_rename => name::rename(task, libc::AT_FDCWD, 0, libc::AT_FDCWD, 1, 0),
        libc::SYS_renameat => name::rename(task, task.int(0), 1, task.int(2), 3, 0),
        libc::SYS_renameat2 => name::rename(task, task.int(0), 1, task.int(2), 3, task.unsigned(4)),
        libc::SYS_readlink => link::readlink(task, libc::AT_FDCWD, 0),
        libc::SYS_readlinkat => link::readlink(task, task.int(0), 1),
        libc::SYS_chmod => attribute::chmod(task, libc::AT_FDCWD, 0, 0),
        libc::SYS_fchmodat => attribute::chmod(task, task.int(0), 1, 0),
        libc::SYS_fchmodat2 => attribute::chmod(task, task.int(0), 1, task.int(3)),
        libc::SYS_fchmod => attribute::fchmod(task),
        libc::SYS_chown => attribute::chown(task, libc::AT_FDCWD, 0, 0),
        libc::SYS_lchown => attribute::chown(task, libc::AT_FDCWD, 0, libc::AT_SYMLINK_NOFOLLOW),
        libc::SYS_fchownat => attribute::chown(task, task.int(0), 1, task.int(4)),
        libc::SYS_fchown => attribute::fchown(task),
        libc::SYS_truncate => attribute::truncate(task),
        libc::SYS_fallocate => allocate::fallocate(task),
        libc::SYS_utime => attribute::utime(task),
        libc::SYS_utimes => attribute::utimes(task, libc::AT_FDCWD, 0),
        libc::SYS_futimesat => attribute::utimes(task, task.int(0), 1),
        libc::SYS_utimensat => attribute::utimensat(task),
        libc::SYS_getxattr => xattr::get(task, true),
        libc::SYS_lgetxattr => xattr::get(task, false),
        libc::SYS_fgetxattr => xattr::fget(task),
        libc::SYS_listxattr => xattr::list(task, true),
        libc::SYS_llistxattr => xattr::list(task, false),
        libc::SYS_flistxattr => xattr::flist(task),
        libc::SYS_setxattr => xattr::set(task, true),
        libc::SYS_lsetxattr => xattr::set(task, false),
        libc::SYS_fsetxattr => xattr::fset(task),
        libc::SYS_removexattr => xattr::remove(task, true),
        libc::SYS_lremovexattr => xattr::remove(task, false),
        libc::SYS_fremovexattr => xattr::fremove(task),
        xattr::SYS_SETXATTRAT => xattr::setat(task),
        xattr::SYS_GETXATTRAT => xattr::getat(task),
        xattr::SYS_LISTXATTRAT => xattr::listat(task),
        xattr::SYS_REMOVEXATTRAT => xattr::removeat(task),
        libc::SYS_getdents => directory::getdents(task, false),
        libc::SYS_getdents64 => directory::getdents(task, true),
        libc::SYS_lseek => directory::lseek(task),
        libc::SYS_chdir => directory::chdir(task),
        libc::SYS_fchdir => directory::fchdir(task),
        libc::SYS_getcwd => directory::getcwd(task),
        libc::SYS_execve => exec::execve(task),
        libc::SYS_execveat => exec::execveat(task),
        libc::SYS_bind => socket::bind(task),
        libc::SYS_connect => socket::connect(task),
        libc::SYS_sendto => socket::sendto(task),
        libc::SYS_getsockname | libc::SYS_getpeername => socket::name(task),
        libc::SYS_inotify_add_watch => watch::inotify_add_watch(task),
        libc::SYS_name_to_handle_at => watch::name_to_handle_at(task),
        libc::SYS_fsync => sync::fsync(task, false),
        libc::SYS_fdatasync => sync::fsync(task, true),
        libc::SYS_sync => sync::sync(task),
        libc::SYS_syncfs => sync::syncfs(task),
        libc::SYS_sync_file_range => sync::sync_file_range(task),
        libc::SYS_msync => sync::msync(task),
        libc::SYS_chroot => process::chroot(task),
        _ => Ok(Answer::Continue),
    }
}
