//! The supervisor's end of the control socket.
//!
//! One thread accepts; each connection gets a short-lived thread, at most [`MAX_CONNECTIONS`] of
//! them. A peer with another uid is turned away. Whatever a peer sends, the worst that happens is
//! the end of its connection: lengths are bounded, every message has a deadline, and a handler that
//! panics is caught.
//!
//! Neighbours: `wire` below, the core's [`ControlHandler`] above. Takes no lock.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::protocol::{
    EnterTicket, MountInfo, MountSpec, NamespaceInfo, Refusal, Request, Response, ViewInfo,
};
use super::wire;

/// Most connections served at once; more are closed unanswered.
pub const MAX_CONNECTIONS: usize = 32;

/// How long a peer may take to send a request or to read an answer.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Stack of a connection's thread, in bytes.
const STACK_BYTES: usize = 512 << 10;

/// Who is at the other end, by SO_PEERCRED. Its uid is the supervisor's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id in the supervisor's pid namespace.
    pub pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
}

/// What the core does for the control socket. Called from several threads at once.
pub trait ControlHandler: Send + Sync {
    /// Adds a mount to the namespace of the peer (the outermost one for a peer outside the view).
    fn mount(&self, peer: Peer, mount: MountSpec, cwd: PathBuf) -> Result<(), Refusal>;
    /// Removes a mount.
    fn unmount(&self, peer: Peer, target: PathBuf, lazy: bool, cwd: PathBuf)
    -> Result<(), Refusal>;
    /// Lists the mounts of the peer's namespace, in mount order.
    fn mounts(&self, peer: Peer) -> Result<Vec<MountInfo>, Refusal>;
    /// Says who this is.
    fn info(&self, peer: Peer) -> Result<ViewInfo, Refusal>;
    /// Gives what a filter for this view needs.
    fn prepare_enter(&self, peer: Peer) -> Result<EnterTicket, Refusal>;
    /// Takes over the connection of a process that enters: its listener comes over `socket`
    /// (`launch::handover`), which is to be kept open for as long as the process is served.
    /// Runs in a thread of its own; dropping `socket` makes the process end.
    fn enter(&self, peer: Peer, command: Vec<OsString>, socket: OwnedFd);
    /// Makes a child namespace; process `pid` becomes its root.
    ///
    /// Errors: `EPERM` when `pid` is no process of this view.
    fn new_namespace(
        &self,
        peer: Peer,
        pid: u32,
        name: String,
        mounts: Vec<MountSpec>,
        cwd: PathBuf,
    ) -> Result<NamespaceInfo, Refusal>;
    /// Ends the view.
    fn stop(&self, peer: Peer) -> Result<(), Refusal>;
}

/// Serves the socket for the life of the process, from threads of its own.
pub fn serve(
    listener: UnixListener,
    handler: Arc<dyn ControlHandler>,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name("control".into())
        .stack_size(STACK_BYTES)
        .spawn(move || accept_all(&listener, &handler))
}

fn accept_all(listener: &UnixListener, handler: &Arc<dyn ControlHandler>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(_) => {
                // EMFILE and its like pass; do not spin until then.
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if open.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
            open.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let guard = Guard(open.clone());
        let handler = handler.clone();
        // When no thread can be made, the closure is dropped, and with it the connection.
        let _ = thread::Builder::new()
            .name("control-peer".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                if let Some((peer, command)) = converse(&stream, handler.as_ref()) {
                    // An entering process may stay for long; it takes no place among requests.
                    drop(guard);
                    enter(stream, peer, command, handler.as_ref());
                }
            });
    }
}

/// Gives a connection's place back when its thread ends, however it ends.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Answers requests until the peer closes, errs, or is silent too long. A peer that enters is given
/// back with its command.
fn converse(stream: &UnixStream, handler: &dyn ControlHandler) -> Option<(Peer, Vec<OsString>)> {
    let peer = identify(stream)?;
    loop {
        let response = match wire::receive::<Request>(stream, Instant::now() + MESSAGE_TIMEOUT) {
            Ok(None) => return None,
            Ok(Some((Request::Enter { command }, _))) => {
                let done = wire::send(stream, &Response::Done, &[], soon());
                return done.ok().map(|()| (peer, command));
            }
            Ok(Some((request, _))) => {
                catch_unwind(AssertUnwindSafe(|| answer(handler, peer, request)))
                    .unwrap_or_else(|_| refused(libc::EIO, "the supervisor failed inside"))
            }
            Err(error) => {
                // A peer that can still read learns why before the connection goes.
                let why = format!("bad request: {error}");
                let _ = wire::send(stream, &refused(libc::EPROTO, why), &[], soon());
                return None;
            }
        };
        wire::send(stream, &response, &[], Instant::now() + MESSAGE_TIMEOUT).ok()?;
    }
}

/// Turns a connection over, once the entering process has sent its listener.
fn enter(stream: UnixStream, peer: Peer, command: Vec<OsString>, handler: &dyn ControlHandler) {
    let deadline = Instant::now() + MESSAGE_TIMEOUT;
    if wire::wait(stream.as_fd(), PollFlags::IN, deadline).is_ok() {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            handler.enter(peer, command, stream.into())
        }));
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

fn refused(errno: i32, why: impl Into<String>) -> Response {
    Response::Refused {
        refusal: Refusal::new(errno, why),
    }
}

/// The peer, if it is the supervisor's own user.
fn identify(stream: &UnixStream) -> Option<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(stream).ok()?;
    if credentials.uid != rustix::process::geteuid() {
        return None;
    }
    Some(Peer {
        pid: u32::try_from(credentials.pid.as_raw_pid()).ok()?,
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

fn answer(handler: &dyn ControlHandler, peer: Peer, request: Request) -> Response {
    let result = match request {
        Request::Mount { mount, cwd } => handler.mount(peer, mount, cwd).map(|()| Response::Done),
        Request::Unmount { target, lazy, cwd } => handler
            .unmount(peer, target, lazy, cwd)
            .map(|()| Response::Done),
        Request::Mounts => handler
            .mounts(peer)
            .map(|mounts| Response::Mounts { mounts }),
        Request::Info => handler.info(peer).map(|view| Response::Info { view }),
        Request::PrepareEnter => handler
            .prepare_enter(peer)
            .map(|ticket| Response::Ticket { ticket }),
        // Handled before: it ends the conversation.
        Request::Enter { .. } => Ok(Response::Done),
        Request::NewNamespace {
            pid,
            name,
            mounts,
            cwd,
        } => handler
            .new_namespace(peer, pid, name, mounts, cwd)
            .map(|namespace| Response::Namespace { namespace }),
        Request::Stop => handler.stop(peer).map(|()| Response::Done),
    };
    result.unwrap_or_else(|refusal| Response::Refused { refusal })
}
