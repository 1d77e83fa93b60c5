//! A small view: names below `/virtual` exist nowhere and are served from one directory, by injected calls.
//!
//! It shows how `launch` and `scalpel` are used, and the tests of both drive it. `VIEW_TEST_PLACE` is the directory,
//! `VIEW_TEST_ARGUMENTS` the command (its words separated by the character U+001F), `VIEW_TEST_MODE` what to try.

#![forbid(unsafe_code)]

use rustix::io::Errno;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use view_core::launch::{self, Event, Supervised};
use view_core::scalpel::{
    Argument, ExecVector, InjectedCall, InjectedExec, Outcome, Waiting, inject, inject_exec,
    shebang,
};
use view_sys::filter::{FilterAction, FilterProgram};
use view_sys::memory;
use view_sys::notify::{Listener, Notification};

const COOKIE: u64 = 0x7a3f_19c4_0be5_d821;
/// Receivers; fewer than block at once would be a dead-lock.
const RECEIVERS: usize = 12;

fn main() {
    let code = match std::env::var("VIEW_TEST_MODE").as_deref() {
        Ok("nested") => launch::run_nested(&command_from_environment(), |_| Ok(())).unwrap(),
        Ok("nested_refused") => {
            launch::run_nested(&command_from_environment(), |_| Err(32)).unwrap()
        }
        Ok("entered") => run_entered(),
        Ok("serve") => serve_one(),
        Ok("mount_fails") => {
            launch::run_in_new_view(&command_from_environment(), &filter(), COOKIE, |_| 32).unwrap()
        }
        _ => run_view(),
    };
    std::process::exit(code);
}

/// The command that an actor is to run.
fn command_from_environment() -> launch::Command {
    let arguments = std::env::var("VIEW_TEST_ARGUMENTS").unwrap();
    // Words that are themselves to become arguments of a nested view have the other separator.
    let separator = if arguments.contains('\u{1f}') {
        '\u{1f}'
    } else {
        '\u{1e}'
    };
    launch::Command {
        arguments: arguments.split(separator).map(Into::into).collect(),
        environment: std::env::vars_os()
            .filter(|(name, _)| !name.as_bytes().starts_with(b"VIEW_TEST_"))
            .collect(),
        directory: std::env::var_os("VIEW_TEST_DIRECTORY").map(Into::into),
    }
}

/// The filter of the tests: what carries a path of interest is notified.
fn filter() -> FilterProgram {
    let notified = [
        libc::SYS_open,
        libc::SYS_openat,
        libc::SYS_chdir,
        libc::SYS_execve,
        libc::SYS_sendmsg,
        libc::SYS_stat,
        libc::SYS_newfstatat,
    ];
    FilterProgram::new(
        1000,
        move |number| match notified.contains(&i64::from(number)) {
            true => FilterAction::Notify,
            false => FilterAction::Allow,
        },
        COOKIE,
    )
}

/// Runs the command of the environment in a view of the small supervisor; the front's exit code.
fn run_view() -> i32 {
    let place: PathBuf = std::env::var_os("VIEW_TEST_PLACE").unwrap().into();
    launch::run_in_new_view(
        &command_from_environment(),
        &filter(),
        COOKIE,
        |supervised| supervise(supervised, place),
    )
    .unwrap()
}

/// The small supervisor.
fn supervise(supervised: Supervised, place: PathBuf) -> i32 {
    std::fs::write(place.join("supervisor"), std::process::id().to_string()).unwrap();
    let started = match supervised.start() {
        Ok(started) => started,
        Err(error) => {
            eprintln!("supervisor: {error}");
            return launch::EXIT_VIEW_FAILED;
        }
    };
    std::fs::write(place.join("command"), started.command.to_string()).unwrap();
    let place = Arc::new(place);
    for _ in 0..RECEIVERS {
        let (listener, place) = (started.listener.clone(), place.clone());
        std::thread::spawn(move || receive(&listener, &place));
    }
    let reaper = started.release();
    loop {
        match reaper.next_event() {
            Event::CommandEnded { .. } => {}
            Event::AllGone | Event::ReaperLost => {
                let code = std::fs::read_to_string(place.join("exit_code"));
                return code
                    .ok()
                    .and_then(|code| code.trim().parse().ok())
                    .unwrap_or(0);
            }
        }
    }
}

/// One receiver: until no process is left that could notify.
fn receive(listener: &Listener, place: &Path) {
    loop {
        match listener.receive() {
            Ok(notification) => answer(listener, &notification, place),
            Err(Errno::NOENT | Errno::INTR) => {
                if is_hung_up(listener) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn is_hung_up(listener: &Listener) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let descriptor = listener.descriptor();
    let mut entry = [PollFd::new(&descriptor, PollFlags::empty())];
    poll(
        &mut entry,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )
    .is_ok_and(|count| count > 0)
}

fn answer(listener: &Listener, notification: &Notification, place: &Path) {
    let Notification {
        id,
        tid,
        number,
        arguments,
        ..
    } = *notification;
    let (path_index, flags, mode) = match i64::from(number) {
        libc::SYS_openat => (1, arguments[2], arguments[3]),
        libc::SYS_open => (0, arguments[1], arguments[2]),
        libc::SYS_chdir | libc::SYS_execve => (0, 0, 0),
        _ => {
            let _ = listener.answer_continue(id);
            return;
        }
    };
    let path = memory::read_path(tid, arguments[path_index]).unwrap_or_default();
    let Some(name) = path.strip_prefix(b"/virtual/") else {
        let _ = listener.answer_continue(id);
        return;
    };
    let real = place.join(std::ffi::OsStr::from_bytes(name));
    let real_text = [real.as_os_str().as_bytes(), b"\0"].concat();
    let target = Waiting {
        listener,
        id,
        tid,
        space: None,
    };
    let outcome = match i64::from(number) {
        libc::SYS_chdir => inject(
            &target,
            COOKIE,
            &InjectedCall {
                number: libc::SYS_chdir as u64,
                arguments: [
                    Argument::Bytes(&real_text),
                    Argument::Value(0),
                    Argument::Value(0),
                    Argument::Value(0),
                    Argument::Value(0),
                ],
                may_block: false,
            },
        ),
        libc::SYS_execve => execute(&target, &path, &real, arguments[1], arguments[2], place),
        _ => inject(
            &target,
            COOKIE,
            &InjectedCall {
                number: libc::SYS_openat as u64,
                arguments: [
                    Argument::Value(libc::AT_FDCWD as u64),
                    Argument::Bytes(&real_text),
                    Argument::Value(flags),
                    Argument::Value(mode),
                    Argument::Value(0),
                ],
                may_block: name == b"fifo",
            },
        ),
    };
    let _ = match outcome {
        Outcome::AlreadyTraced => listener.answer_error(id, libc::EPERM),
        Outcome::Refused(errno) => listener.answer_error(id, errno.raw_os_error()),
        Outcome::Done(_) | Outcome::Restarted | Outcome::Gone => Ok(()),
    };
}

/// An exec of a virtual name: a memory file with the program, reached through a link of the right name.
fn execute(
    target: &Waiting<'_>,
    shown: &[u8],
    real: &Path,
    argv: u64,
    envp: u64,
    place: &Path,
) -> Outcome {
    let Ok(mut bytes) = std::fs::read(real) else {
        let _ = target.listener.answer_error(target.id, libc::ENOENT);
        return Outcome::Done(0);
    };
    let script = shebang::parse(&bytes);
    if let Some(script) = &script {
        // Interpreters of the tests are virtual too.
        let name = script.interpreter.strip_prefix(b"/virtual/").unwrap();
        bytes = std::fs::read(place.join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    // A file without its execute bits gives EACCES by the kernel's own check of the memory file.
    let mode = if rustix::fs::access(real, rustix::fs::Access::EXEC_OK).is_ok() {
        0o700
    } else {
        0o600
    };
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let directory = place
        .join("links")
        .join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir(&directory).unwrap();
    let program = directory.join(".program");
    {
        // Not the descriptor that is executed: a file open for writing is ETXTBSY.
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .mode(mode)
            .open(&program)
            .unwrap();
        file.write_all(&bytes).unwrap();
    }
    let file = std::fs::File::open(&program).unwrap();
    let link = directory.join(real.file_name().unwrap());
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
    let magic = format!("/proc/{}/fd/{descriptor}", std::process::id());
    std::os::unix::fs::symlink(magic, &link).unwrap();
    let mut path = link.as_os_str().as_bytes().to_vec();
    while path.len() < shown.len() {
        path.insert(0, b'/');
    }
    let strings: Vec<&[u8]> = script
        .iter()
        .flat_map(|s| [Some(&s.interpreter[..]), s.argument.as_deref(), Some(shown)])
        .flatten()
        .collect();
    let arguments = match script {
        Some(_) => ExecVector::Prefix {
            strings: &strings,
            original: argv,
            skip: 1,
        },
        None => ExecVector::Keep(argv),
    };
    let exec = InjectedExec {
        path: &path,
        arguments,
        environment: envp,
        shown_path: shown,
        id_words: None,
    };
    // Before the new program runs: it might end, and this process with it.
    inject_exec(target, COOKIE, &exec, |_| {
        drop(std::fs::remove_dir_all(&directory))
    })
}

/// The command enters a view whose supervisor is another process.
fn run_entered() -> i32 {
    let place: PathBuf = std::env::var_os("VIEW_TEST_PLACE").unwrap().into();
    // The server's socket has a name a moment before it accepts.
    let connect = || std::os::unix::net::UnixStream::connect(place.join("socket"));
    let socket = (0..100)
        .find_map(|_| {
            connect()
                .inspect_err(|_| std::thread::sleep(Duration::from_millis(10)))
                .ok()
        })
        .unwrap();
    launch::run_entered(
        &command_from_environment(),
        &filter(),
        COOKIE,
        socket.into(),
    )
    .unwrap()
}

/// Serves one command that enters, until a byte comes on standard input or it is closed.
fn serve_one() -> i32 {
    let place: PathBuf = std::env::var_os("VIEW_TEST_PLACE").unwrap().into();
    let server = std::os::unix::net::UnixListener::bind(place.join("socket")).unwrap();
    let (socket, _) = server.accept().unwrap();
    let handed = launch::handover::receive(socket.as_fd()).unwrap();
    let listener = Arc::new(Listener::new(handed.listener));
    for _ in 0..RECEIVERS {
        let (listener, place) = (listener.clone(), place.clone());
        std::thread::spawn(move || receive(&listener, &place));
    }
    launch::handover::release(socket.as_fd()).unwrap();
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
    0
}
