//! What a view does for its control socket.
//!
//! Neighbours: `control::server` (calls this), `mounting`, `launch::handover` (entering processes).

use crate::control::protocol::{
    EnterTicket, MountInfo, MountSpec, NamespaceInfo, Refusal, ViewInfo,
};
use crate::control::server::{ControlHandler, Peer};
use crate::launch::handover;
use crate::mounting;
use crate::syscall::table::{FilterNeeds, filter_program};
use crate::task;
use crate::view::View;
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use view_sys::filter::FilterProgram;
use view_sys::notify::Listener;
use view_vfs::mount_table::Mount;

/// A view as its socket sees it.
pub struct Handler {
    /// The view.
    pub view: Arc<View>,
    /// Path of the socket.
    pub socket: PathBuf,
    /// First process and its arguments.
    pub command: Vec<OsString>,
    /// Its id.
    pub command_pid: u32,
    /// Seconds since the epoch.
    pub started_unix_s: u64,
    /// Processes that entered and are still served.
    pub entered: Arc<AtomicUsize>,
}

/// Environment variables that a process of the view finds.
pub fn environment(name: &str, socket: &std::path::Path) -> Vec<(OsString, OsString)> {
    vec![
        ("VIEW".into(), name.into()),
        ("VIEW_SOCKET".into(), socket.into()),
    ]
}

/// The filter of a view with this cookie, on this host.
pub fn filter_for(cookie: u64, has_identity: bool) -> FilterProgram {
    filter_program(cookie, filter_needs(has_identity))
}

/// What the filter needs on this host.
pub fn filter_needs(has_identity: bool) -> FilterNeeds {
    let can_get = crate::supervisor::can_get_descriptors();
    FilterNeeds {
        intercept_lseek: !can_get,
        has_identity,
    }
}

impl Handler {
    fn describe(&self, mount: &Arc<Mount>, root: u64) -> MountInfo {
        let flags = mount.flags();
        let mut options = flags.words();
        if flags.default_permissions {
            options.push_str(",default_permissions");
        }
        if !mount.options().is_empty() {
            options.push(',');
            options.push_str(mount.options());
        }
        MountInfo {
            id: mount.id(),
            parent: mount
                .parent()
                .map(|parent| parent.id())
                .filter(|&id| id != root)
                .unwrap_or(0),
            filesystem: mount.filesystem().to_owned(),
            source: OsString::from_vec(mount.source().to_vec()),
            target: PathBuf::from(OsString::from_vec(mount.path())),
            options,
        }
    }
}

impl ControlHandler for Handler {
    fn mount(&self, peer: Peer, mount: MountSpec, cwd: PathBuf) -> Result<(), Refusal> {
        let mut mount = mount;
        if mount.target.is_relative() {
            mount.target = cwd.join(&mount.target);
        }
        mounting::mount_by(
            &self.view,
            &self.view.namespace_of(peer.pid),
            peer.pid,
            &mount,
        )
    }

    fn unmount(
        &self,
        peer: Peer,
        target: PathBuf,
        lazy: bool,
        cwd: PathBuf,
    ) -> Result<(), Refusal> {
        let namespace = self.view.namespace_of(peer.pid);
        let target = if target.is_relative() {
            cwd.join(target)
        } else {
            target
        };
        let mount = mounting::mount_at(
            &self.view,
            &namespace,
            peer.pid,
            target.as_os_str().as_bytes(),
        )
        .map_err(Refusal::from_errno)?
        .ok_or_else(|| Refusal::new(libc::EINVAL, "not mounted"))?;
        mounting::unmount(&self.view, &namespace, &mount, lazy).map_err(|errno| {
            let refusal = Refusal::from_errno(errno);
            if errno == rustix::io::Errno::BUSY {
                refusal.with_hint("something on it is open or a working directory; `view umount -l` detaches it now")
            } else {
                refusal
            }
        })
    }

    fn mounts(&self, peer: Peer) -> Result<Vec<MountInfo>, Refusal> {
        let table = self.view.namespace_of(peer.pid).table();
        let root = table.root().id();
        Ok(table
            .mounts()
            .iter()
            .filter(|mount| !mount.is_scaffold())
            .map(|mount| self.describe(mount, root))
            .collect())
    }

    fn info(&self, _: Peer) -> Result<ViewInfo, Refusal> {
        Ok(ViewInfo {
            name: self.view.name.clone(),
            supervisor_pid: std::process::id(),
            command_pid: self.command_pid,
            command: self.command.clone(),
            started_unix_s: self.started_unix_s,
            processes: count_processes(),
            mounts: self
                .view
                .namespace
                .table()
                .mounts()
                .iter()
                .filter(|mount| !mount.is_scaffold())
                .count() as u32,
        })
    }

    fn prepare_enter(&self, _: Peer) -> Result<EnterTicket, Refusal> {
        Ok(EnterTicket {
            name: self.view.name.clone(),
            cookie: self.view.cookie,
            has_identity: self.view.identity.get().is_some(),
            environment: environment(&self.view.name, &self.socket),
        })
    }

    fn enter(&self, _: Peer, _: Vec<OsString>, socket: OwnedFd) {
        let handed = match handover::receive(socket.as_fd()) {
            Ok(handed) => handed,
            Err(errno) => {
                self.view.say(
                    crate::control::protocol::LogLevel::Debug,
                    &format!("nobody entered: {errno}"),
                );
                return;
            }
        };
        self.entered.fetch_add(1, Ordering::AcqRel);
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let served = crate::intercept::serve(
            self.view.clone(),
            Arc::new(Listener::new(handed.listener)),
            handed.wait_killable,
            Box::new(move || {
                let _ = ended.send(());
            }),
        );
        if served.is_ok() && handover::release(socket.as_fd()).is_ok() {
            let _ = end.recv();
            // Closing our end kills what is left: only once its reaper has told its front how the command ended.
            wait_for(&socket, PollFlags::empty());
        }
        self.entered.fetch_sub(1, Ordering::AcqRel);
    }

    fn new_namespace(
        &self,
        peer: Peer,
        pid: u32,
        name: String,
        mounts: Vec<MountSpec>,
        _: PathBuf,
    ) -> Result<NamespaceInfo, Refusal> {
        let _ = name;
        if pid != peer.pid && task::parent_of(pid) != Some(peer.pid) {
            return Err(Refusal::from_errno(rustix::io::Errno::PERM));
        }
        let namespace = self.view.namespace_of(peer.pid).child();
        for mount in &mounts {
            mounting::mount_by(&self.view, &namespace, peer.pid, mount).map_err(|refusal| {
                Refusal {
                    why: format!(
                        "cannot mount {} on {}: {}",
                        mount.source.display(),
                        mount.target.display(),
                        refusal.why
                    ),
                    ..refusal
                }
            })?;
        }
        let id = namespace.id();
        self.view.add_namespace(pid, namespace);
        forget_when_gone(&self.view, pid);
        Ok(NamespaceInfo {
            id,
            environment: environment(&self.view.name, &self.socket),
        })
    }

    fn stop(&self, _: Peer) -> Result<(), Refusal> {
        crate::launch::kill_all_processes();
        Ok(())
    }
}

/// Takes the mounts of a child namespace away as soon as the process at its root has ended. Without a thread, or the
/// descriptor for it, that is left to `housekeeping`.
fn forget_when_gone(view: &Arc<View>, process: u32) {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let Some(Ok(process)) =
        Pid::from_raw(process as i32).map(|id| pidfd_open(id, PidfdFlags::empty()))
    else {
        return;
    };
    let view = Arc::downgrade(view);
    let _ = std::thread::Builder::new()
        .name("namespace".into())
        .stack_size(128 * 1024)
        .spawn(move || {
            wait_for(&process, PollFlags::IN);
            if let Some(view) = view.upgrade() {
                mounting::detach_unused(&view, &view.forget_namespaces());
            }
        });
}

/// Waits for an event; that the other end has hung up is always one.
fn wait_for(descriptor: &OwnedFd, event: PollFlags) {
    let mut entry = [PollFd::new(descriptor, event)];
    let _ = rustix::io::retry_on_intr(|| poll(&mut entry, None));
}

/// Processes of the view: all below the supervisor but the reaper.
fn count_processes() -> u32 {
    let supervisor = std::process::id();
    crate::launch::processes_below(supervisor).saturating_sub(1)
}
