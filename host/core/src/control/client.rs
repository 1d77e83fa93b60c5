//! The command's end of the control socket.
//!
//! A [`Connection`] asks and waits; [`running`] asks every socket in the runtime directory who it is
//! and clears away those of dead supervisors.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::protocol::{
    EnterTicket, MountInfo, MountSpec, NamespaceInfo, Refusal, Request, Response, ViewInfo,
};
use super::{runtime, wire};

/// How long an answer may take. A mount reads its source first, perhaps over a slow path.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long `running` waits for each view.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// {0}
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The supervisor closed the connection without an answer.
    #[error("the view closed the connection")]
    Closed,
    /// The supervisor answered something else than what was asked.
    #[error("the view gave an answer of another kind (another version of view?)")]
    Unexpected,
    /// The supervisor refused.
    #[error("{0}")]
    Refused(Refusal),
}

/// A connection to one supervisor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    timeout: Duration,
}

impl Connection {
    /// Connects to a socket. Errors: connect(2)'s; `ConnectionRefused` means a dead supervisor.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(path)?,
            timeout: ANSWER_TIMEOUT,
        })
    }

    /// Sends a request and waits for its answer.
    pub fn ask(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Response, ClientError> {
        let deadline = Instant::now() + self.timeout;
        wire::send(&self.stream, request, descriptors, deadline)?;
        match wire::receive(&self.stream, deadline)? {
            None => Err(ClientError::Closed),
            Some((Response::Refused { refusal }, _)) => Err(ClientError::Refused(refusal)),
            Some((response, _)) => Ok(response),
        }
    }

    fn ask_done(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ClientError> {
        match self.ask(request, descriptors)? {
            Response::Done => Ok(()),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Adds a mount.
    pub fn mount(&mut self, mount: MountSpec, cwd: PathBuf) -> Result<(), ClientError> {
        self.ask_done(&Request::Mount { mount, cwd }, &[])
    }

    /// Removes a mount; `lazy` is MNT_DETACH.
    pub fn unmount(
        &mut self,
        target: PathBuf,
        lazy: bool,
        cwd: PathBuf,
    ) -> Result<(), ClientError> {
        self.ask_done(&Request::Unmount { target, lazy, cwd }, &[])
    }

    /// Lists the mounts.
    pub fn mounts(&mut self) -> Result<Vec<MountInfo>, ClientError> {
        match self.ask(&Request::Mounts, &[])? {
            Response::Mounts { mounts } => Ok(mounts),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Asks who this is.
    pub fn info(&mut self) -> Result<ViewInfo, ClientError> {
        match self.ask(&Request::Info, &[])? {
            Response::Info { view } => Ok(view),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Asks for what a filter for this view needs.
    pub fn prepare_enter(&mut self) -> Result<EnterTicket, ClientError> {
        match self.ask(&Request::PrepareEnter, &[])? {
            Response::Ticket { ticket } => Ok(ticket),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Turns the connection over to a process that will enter: the socket for `launch::run_entered`.
    pub fn enter(mut self, command: Vec<OsString>) -> Result<OwnedFd, ClientError> {
        self.ask_done(&Request::Enter { command }, &[])?;
        Ok(self.stream.into())
    }

    /// Makes a child namespace with process `pid` as its root.
    pub fn new_namespace(
        &mut self,
        pid: u32,
        name: String,
        mounts: Vec<MountSpec>,
        cwd: PathBuf,
    ) -> Result<NamespaceInfo, ClientError> {
        match self.ask(
            &Request::NewNamespace {
                pid,
                name,
                mounts,
                cwd,
            },
            &[],
        )? {
            Response::Namespace { namespace } => Ok(namespace),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Ends the view.
    pub fn stop(&mut self) -> Result<(), ClientError> {
        self.ask_done(&Request::Stop, &[])
    }
}

/// All running views of this user: socket path and what each says of itself, by name.
///
/// Sockets that refuse connections are removed; views that do not answer in time are left out.
pub fn running() -> io::Result<Vec<(PathBuf, ViewInfo)>> {
    let mut views = Vec::new();
    for (_, path) in runtime::sockets(&runtime::directory()?)? {
        match UnixStream::connect(&path) {
            Ok(stream) => {
                let mut connection = Connection {
                    stream,
                    timeout: LIST_TIMEOUT,
                };
                if let Ok(info) = connection.info() {
                    views.push((path, info));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                runtime::remove_if_stale(&path);
            }
            Err(_) => {}
        }
    }
    Ok(views)
}

/// Connects to the running view of that name.
///
/// Errors: `NotFound` when there is none.
pub fn by_name(name: &str) -> io::Result<(PathBuf, Connection)> {
    if !runtime::is_valid_name(name) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let path = runtime::socket_path(&runtime::directory()?, name);
    match Connection::open(&path) {
        Ok(connection) => Ok((path, connection)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            runtime::remove_if_stale(&path);
            Err(io::ErrorKind::NotFound.into())
        }
        Err(error) => Err(error),
    }
}
