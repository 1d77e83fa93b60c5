//! execve(2) injected in place of the exec that was notified: another path, perhaps another argument vector.

use super::auxiliary::IdWords;
use super::data::Image;
use super::session::{Broken, Session, status_field};
use super::{Outcome, Waiting};
use rustix::io::Errno;
use view_sys::memory;
use view_sys::ptrace::Stop;

/// Key of the address of the program's name in the auxiliary vector (linux/auxvec.h).
const AT_EXECFN: u64 = 31;
/// More pointers than this cannot belong to arguments that fit (the kernel caps stack arguments at 6 MiB).
const ARGUMENT_LIMIT: usize = 1 << 20;
const POINTERS_PER_READ: usize = 512;
const POINTER_SIZE: usize = size_of::<u64>();

/// The argument vector of an injected exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecVector<'a> {
    /// The tracee's own array, at this address.
    Keep(u64),
    /// New strings (without NUL), then the tracee's own elements from index `skip` on. `original` may be null.
    Prefix {
        /// What comes first: for a script its interpreter, the optional argument, the script.
        strings: &'a [&'a [u8]],
        /// Address of the tracee's array.
        original: u64,
        /// How many of its elements are left out: 1 for a script, whose argv\[0\] is replaced.
        skip: usize,
    },
}

/// An exec to run in a tracee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InjectedExec<'a> {
    /// The path that the kernel opens, without NUL. Its base name becomes the thread's name. At least as long as
    /// `shown_path` (pad it with slashes), or the program sees this one.
    pub path: &'a [u8],
    /// The arguments.
    pub arguments: ExecVector<'a>,
    /// Address of the environment array in the tracee.
    pub environment: u64,
    /// What the new program finds as its file name (AT_EXECFN).
    pub shown_path: &'a [u8],
    /// What its auxiliary vector tells of ids, when that is not what the kernel thinks.
    pub id_words: Option<IdWords>,
}

/// Runs `exec` in the tracee. `Done(0)`: the thread has the new program; `Done(-errno)`: the program goes on with
/// that error. `then` is called before the thread goes on in either case, with the same number (to remove the name
/// that was executed, say).
pub fn inject_exec(
    target: &Waiting<'_>,
    cookie: u64,
    exec: &InjectedExec<'_>,
    then: impl FnOnce(i64),
) -> Outcome {
    let Some(process) = process_of(target.tid) else {
        return Outcome::Gone;
    };
    let mut session = match Session::attach(target, process) {
        Ok(session) => session,
        Err(outcome) => return outcome,
    };
    match operate(&mut session, cookie, exec) {
        Ok(result) => {
            if !super::session::is_restart(result) {
                then(result);
            }
            session.finish(result)
        }
        Err(Broken(Some(Stop::Exec))) => {
            show_path(&session, exec);
            if let Some(words) = exec.id_words {
                super::auxiliary::patch(&session, words);
            }
            then(0);
            session.leave()
        }
        Err(stop) => session.abandon(stop),
    }
}

fn operate(session: &mut Session, cookie: u64, exec: &InjectedExec<'_>) -> Result<i64, Broken> {
    session.block_signals()?;
    let failed = |errno: Errno| Ok(-i64::from(errno.raw_os_error()));
    let mut image = Image::default();
    let path = image.add_string(exec.path);
    let vector = match exec.arguments {
        ExecVector::Keep(_) => None,
        ExecVector::Prefix {
            strings,
            original,
            skip,
        } => {
            let tail = match read_vector(session.tid(), original) {
                Ok(tail) => tail,
                Err(errno) => return failed(errno),
            };
            let pieces: Vec<u64> = strings.iter().map(|text| image.add_string(text)).collect();
            Some(image.add_vector(&pieces, tail.get(skip..).unwrap_or(&[])))
        }
    };
    let base = match session.place(&image)? {
        Ok(base) => base,
        Err(errno) => return failed(errno),
    };
    let arguments = match (exec.arguments, vector) {
        (ExecVector::Keep(address), _) => address,
        (ExecVector::Prefix { .. }, offset) => base.wrapping_add(offset.unwrap_or(0)),
    };
    let registers = [
        base.wrapping_add(path),
        arguments,
        exec.environment,
        0,
        0,
        cookie,
    ];
    session.run(libc::SYS_execve as u64, registers)
}

/// Reads a null-terminated array of pointers; a null array is an empty one, as for execve(2).
fn read_vector(tid: u32, address: u64) -> Result<Vec<u64>, Errno> {
    let mut pointers = Vec::new();
    if address == 0 {
        return Ok(pointers);
    }
    let mut chunk = [0; POINTERS_PER_READ * POINTER_SIZE];
    while pointers.len() < ARGUMENT_LIMIT {
        let at = address.wrapping_add((pointers.len() * POINTER_SIZE) as u64);
        // Up to the page's end first: the array may be the last thing that is mapped.
        let to_border = 4096 - (at as usize % 4096);
        let want = if to_border < POINTER_SIZE {
            POINTER_SIZE
        } else {
            to_border.min(chunk.len())
        };
        let part = chunk.get_mut(..want).unwrap_or(&mut []);
        let count = memory::read(tid, at, part)?;
        let words = part.get(..count).unwrap_or(&[]).chunks_exact(POINTER_SIZE);
        if words.len() == 0 {
            return Err(Errno::FAULT);
        }
        for word in words {
            let pointer = word
                .first_chunk()
                .map_or(0, |word| u64::from_le_bytes(*word));
            if pointer == 0 {
                return Ok(pointers);
            }
            pointers.push(pointer);
        }
    }
    Err(Errno::TOOBIG)
}

/// Overwrites the file name that the kernel has put on the new program's stack. Best effort: a program that may not
/// be inspected (its file is unreadable) keeps the kernel's path.
fn show_path(session: &Session, exec: &InjectedExec<'_>) {
    let Some(room) = exec.path.len().checked_sub(exec.shown_path.len()) else {
        return;
    };
    let Ok(vector) = std::fs::read(format!("/proc/{}/auxv", session.tid())) else {
        return;
    };
    let mut words = vector
        .chunks_exact(POINTER_SIZE)
        .filter_map(<[u8]>::first_chunk::<8>);
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        if u64::from_le_bytes(*key) == AT_EXECFN {
            let mut text = exec.shown_path.to_vec();
            text.resize(text.len() + room, 0);
            let _ = session.write(u64::from_le_bytes(*value), &text);
            return;
        }
    }
}

fn process_of(tid: u32) -> Option<u32> {
    status_field(
        &std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?,
        "Tgid:",
    )
}
