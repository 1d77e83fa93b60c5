//! The control socket of a view: what the `view` command says to a running supervisor.
//!
//! Each supervisor listens on one AF_UNIX stream socket in the user's runtime directory. The `view`
//! command is its only intended client; anyone with another uid is turned away by SO_PEERCRED, and
//! bytes that make no sense cost the sender its connection and nothing else.
//!
//! | Module      | Responsibility                                                      |
//! |-------------|---------------------------------------------------------------------|
//! | `protocol`  | plain data: what a view and a mount are, requests and responses      |
//! | `os_text`   | operating-system strings (any bytes) as JSON                        |
//! | `options`   | the comma-separated mount options every filesystem type shares      |
//! | `modules`   | the registry trait through which the core opens filesystem modules  |
//! | `wire`      | length-prefixed JSON with attached descriptors                      |
//! | `runtime`   | the runtime directory and the socket names in it                    |
//! | `server`    | accepts, checks the peer, decodes, calls a `ControlHandler`         |
//! | `client`    | connects, asks, and lists the running views                         |
//! | `session`   | joining a running view: nesting in it, entering it                  |
//!
//! Neighbours: `host/cli` fills in the types and calls `client`; the core implements
//! [`ControlHandler`] and starts [`server::serve`]. Nothing here takes a lock.

pub mod client;
pub mod modules;
pub mod options;
pub mod os_text;
pub mod protocol;
pub mod runtime;
pub mod server;
pub mod session;
pub mod wire;

#[cfg(test)]
mod tests;

pub use modules::{ModuleInfo, ModuleSource, Modules, OpenModule, OpenedModule, SourceKind};
pub use options::MountOptions;
pub use protocol::{
    EnterTicket, LogLevel, MountInfo, MountKind, MountSpec, NamespaceInfo, Refusal, Request,
    Response, ViewInfo, ViewSpec,
};
pub use server::{ControlHandler, Peer};
