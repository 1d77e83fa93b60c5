//! Building a view and serving it to its end.
//!
//! Neighbours: `launch` (processes), `intercept` (calls), `mounting`, `control` and `handler` (the socket).

use crate::control::modules::Modules;
use crate::control::protocol::{LogLevel, MountKind, MountSpec, Refusal, ViewSpec};
use crate::control::{runtime, server};
use crate::handler::{Handler, environment, filter_for};
use crate::identity::ViewIdentity;
use crate::launch::{self, Command, EXIT_VIEW_FAILED, Event, LaunchError, Supervised};
use crate::view::{HostAbilities, View};
use crate::{housekeeping, intercept, mounting, random_u64, relocation, space, termination};
use std::ffi::OsString;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use view_vfs::mount_table::Namespace;
use view_vfs::page_cache::{PageCache, PageCacheOptions};

/// A view that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// cannot make the control socket: {0}
    #[error("cannot make the control socket: {0}")]
    Socket(std::io::Error),
    /// the processes could not be started
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// How a view is to be run.
pub struct Plan {
    /// What was asked for.
    pub spec: ViewSpec,
    /// The whole environment of the command, before the view's own variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Filesystem types.
    pub modules: Arc<dyn Modules>,
    /// Says what this host refuses, ready to be shown, when the command could not be started; forks, so it is asked before threads exist.
    pub explain: fn() -> Option<String>,
    /// Exit code when a mount of the spec fails: 125, or 32 for `view mount`.
    pub mount_failure_code: i32,
}

/// Can descriptors of other processes be looked at? The filter depends on it.
pub fn can_get_descriptors() -> bool {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|own| pidfd_getfd(&own, 2, PidfdGetfdFlags::empty()))
        // A closed stderr is no refusal.
        .map_or_else(|errno| errno == rustix::io::Errno::BADF, |_| true)
}

/// The caller's own directory, by its name: a mount on it or above it is to hold for the command too.
fn entered_again(spec: &ViewSpec) -> Option<PathBuf> {
    if spec.mounts.is_empty() {
        None
    } else {
        std::env::current_dir().ok()
    }
}

/// Does a seccomp profile refuse what a view can't do without? The quick part of `view doctor`.
fn is_refused_outright() -> bool {
    let mut byte = [0u8];
    let own = std::process::id();
    let readable = view_sys::memory::read(own, byte.as_ptr() as u64, &mut byte);
    readable.is_err() || view_sys::ptrace::is_refused()
}

/// Runs a view and gives the exit code for the calling process, which must have a single thread.
pub fn run(plan: Plan) -> Result<i32, StartError> {
    if is_refused_outright()
        && let Some(reason) = (plan.explain)()
    {
        eprint!("{reason}");
        return Ok(EXIT_VIEW_FAILED);
    }
    let directory = runtime::directory().map_err(StartError::Socket)?;
    let (name, path, listener) =
        runtime::bind(&directory, plan.spec.name.as_deref()).map_err(StartError::Socket)?;
    let abilities = HostAbilities {
        can_get_descriptors: can_get_descriptors(),
        wakes_synchronously: intercept::placement::is_synchronous(&directory),
    };
    let cookie = random_u64();
    let mut variables = plan.environment.clone();
    for (key, value) in plan
        .spec
        .environment
        .iter()
        .cloned()
        .chain(environment(&name, &path))
    {
        variables.retain(|(known, _)| *known != key);
        variables.push((key, value));
    }
    let command = Command {
        arguments: plan.spec.command.clone(),
        environment: variables,
        directory: plan
            .spec
            .directory
            .clone()
            .or_else(|| entered_again(&plan.spec)),
    };
    let socket = path.clone();
    let filter = filter_for(cookie, plan.spec.identity.is_some());
    let result = launch::run_in_new_view(&command, &filter, cookie, move |supervised| {
        let code = supervise(
            &plan,
            name,
            (cookie, abilities),
            (socket.clone(), listener),
            supervised,
        );
        let _ = std::fs::remove_file(&socket);
        code
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    Ok(result?)
}

fn supervise(
    plan: &Plan,
    name: String,
    (cookie, abilities): (u64, HostAbilities),
    (socket, listener): (PathBuf, UnixListener),
    supervised: Supervised,
) -> i32 {
    // Modes of creating calls are computed here: see view-vfs, host_ops.
    rustix::process::umask(rustix::fs::Mode::empty());
    let page_cache = PageCache::new(PageCacheOptions {
        budget_bytes: plan.spec.cache_size_bytes,
        spool_directories: Vec::new(),
    });
    // Of all threads only that of `termination` takes it; this one does until the command is started.
    view_sys::process::block_signal(libc::SIGTERM);
    let made = View::new(
        name,
        cookie,
        Namespace::new(),
        page_cache,
        plan.modules.clone(),
        abilities,
        plan.spec.log_level,
    );
    view_sys::process::unblock_signal(libc::SIGTERM);
    let view = match made {
        Ok(view) => view,
        Err(errno) => {
            crate::say(&format!(
                "cannot make a private directory: {}",
                Refusal::from_errno(errno)
            ));
            return EXIT_VIEW_FAILED;
        }
    };
    if let Some(identity) = plan.spec.identity {
        let _ = view.identity.set(ViewIdentity::new(identity));
    }
    let code = serve(plan, &view, (socket, listener), supervised);
    let is_safe = mounting::end(&view);
    view.remove_private_files();
    match is_safe {
        true => code,
        false => EXIT_VIEW_FAILED,
    }
}

/// What a mount that was asked for would have done, in the words of its option.
fn attempt(mount: &MountSpec) -> String {
    let target = mount.target.display();
    match mount.kind {
        MountKind::Hide => format!("hide {target}"),
        MountKind::ReadOnly => format!("make {target} read-only"),
        _ => format!("mount {} on {target}", mount.source.display()),
    }
}

fn serve(
    plan: &Plan,
    view: &Arc<View>,
    (socket, listener): (PathBuf, UnixListener),
    supervised: Supervised,
) -> i32 {
    for mount in &plan.spec.mounts {
        if let Err(refusal) = mounting::mount(view, &view.namespace, mount) {
            crate::say(&format!("cannot {}: {refusal}", attempt(mount)));
            if let Some(hint) = &refusal.hint {
                eprintln!("  hint: {hint}");
            }
            return plan.mount_failure_code;
        }
    }
    let started = match supervised.start() {
        Ok(started) => started,
        Err(error) => {
            match (plan.explain)() {
                Some(reason) => eprint!("{reason}"),
                None => crate::say(&error.to_string()),
            }
            return EXIT_VIEW_FAILED;
        }
    };
    view_sys::process::block_signal(libc::SIGTERM);
    let entered = Arc::new(AtomicUsize::new(0));
    let handler = Handler {
        view: view.clone(),
        socket,
        command: plan.spec.command.clone(),
        command_pid: started.command,
        started_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs()),
        entered: entered.clone(),
    };
    let wait_killable = started.wait_killable;
    let calls = started.listener.clone();
    let threads = intercept::serve(view.clone(), calls, wait_killable, Box::new(|| {}))
        .and_then(|()| server::serve(listener, Arc::new(handler)).map(drop))
        .and_then(|()| relocation::start(view))
        .and_then(|()| space::start(view))
        .and_then(|()| housekeeping::start(view))
        .and_then(|()| termination::start(view));
    if let Err(error) = threads {
        crate::say(&format!("cannot start a thread: {error}"));
        return EXIT_VIEW_FAILED;
    }
    let reaper = started.release();
    while let Event::CommandEnded { code, others } = reaper.next_event() {
        view.say(
            LogLevel::Debug,
            &format!("the command ended with {code}, others left: {others}"),
        );
    }
    // Processes that entered are not the reaper's; they are served to their end.
    while entered.load(Ordering::Acquire) > 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    0
}
