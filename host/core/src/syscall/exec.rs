//! execve(2), execveat(2).
//!
//! A program of the host whose interpreters are the host's too is Linux's affair. Otherwise the tracee executes a
//! name in the private directory that leads to the backing file, with `#!` lines already resolved, so that a script
//! sees its view path; a program whose ELF interpreter lies on a mount is executed as a copy that names the
//! interpreter's backing file.

use super::host_permission;
use super::injection;
use super::open::{open_backing, own_link};
use crate::scalpel::{self, ExecVector, InjectedExec, Outcome, elf, shebang};
use crate::task::{Answer, Object, Task};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::host_ops;
use view_vfs::permission::MAY_EXEC;
use view_vfs::place::Place;
use view_vfs::resolver::WalkFlags;

mod ids;
mod traced;

/// Interpreters that one exec may go through (fs/exec.c).
const MAX_DEPTH: usize = 5;

/// What is to be executed.
struct Program {
    place: Place,
    /// Linux would find the same by the same path.
    kernel_agrees: bool,
}

/// execve: execve(2)
pub fn execve(task: &Task<'_>) -> Result<Answer, Errno> {
    let text = task.path(0)?;
    let found = task.walk(libc::AT_FDCWD, &text, WalkFlags::FOLLOW)?;
    let kernel_agrees = found.kernel_agrees;
    if kernel_agrees && found.place.is_none() {
        return Ok(Answer::Continue);
    }
    let program = Program {
        place: found.existing()?,
        kernel_agrees,
    };
    run(task, program, text, task.argument(1), task.argument(2))
}

/// execveat: execveat(2)
pub fn execveat(task: &Task<'_>) -> Result<Answer, Errno> {
    let (directory, flags) = (task.int(0), task.int(4));
    if flags & !(libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) != 0 {
        return Ok(Answer::Continue);
    }
    let text = task.path(1)?;
    let (argv, envp) = (task.argument(2), task.argument(3));
    if text.is_empty() {
        if flags & libc::AT_EMPTY_PATH == 0 {
            return Err(Errno::NOENT);
        }
        let Object::Backed(_, backed) = task.object(directory)? else {
            return Ok(Answer::Continue);
        };
        let shown = format!("/dev/fd/{directory}").into_bytes();
        let program = Program {
            place: backed.place(),
            kernel_agrees: false,
        };
        if closes_on_exec(task, directory) && is_script(task, &program)? {
            return Err(Errno::NOENT);
        }
        return run(task, program, shown, argv, envp);
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    let walk = if follow {
        WalkFlags::FOLLOW
    } else {
        WalkFlags::NO_FOLLOW
    };
    let found = task.walk(directory, &text, walk)?;
    let kernel_agrees = found.kernel_agrees;
    if kernel_agrees && found.place.is_none() {
        return Ok(Answer::Continue);
    }
    let shown = if text[0] == b'/' || directory == libc::AT_FDCWD {
        text
    } else {
        [format!("/dev/fd/{directory}/").as_bytes(), &text].concat()
    };
    let program = Program {
        place: found.existing()?,
        kernel_agrees,
    };
    if !kernel_agrees
        && shown.starts_with(b"/dev/fd/")
        && closes_on_exec(task, directory)
        && is_script(task, &program)?
    {
        return Err(Errno::NOENT);
    }
    run(task, program, shown, argv, envp)
}

/// A script named by such a descriptor could not be opened by its interpreter (BINPRM_FLAGS_PATH_INACCESSIBLE).
fn closes_on_exec(task: &Task<'_>, descriptor: i32) -> bool {
    task.descriptor_flags(descriptor)
        .is_some_and(|flags| flags & libc::O_CLOEXEC != 0)
}

/// Opens a program for the supervisor's own reading, with the checks of exec. `None`: a program of the host that may
/// be executed but not read.
fn open_program(task: &Task<'_>, program: &Program) -> Result<Option<OwnedFd>, Errno> {
    let place = &program.place;
    if place.mount().flags().no_exec {
        return Err(Errno::ACCESS);
    }
    match place {
        Place::Host { path, .. } => {
            match host_ops::attributes(path)?.kind() {
                Kind::RegularFile => {}
                Kind::Symlink => return Err(Errno::LOOP),
                _ => return Err(Errno::ACCESS),
            }
            host_ops::access(path, MAY_EXEC, true)?;
            match rustix::fs::open(
                path.as_slice(),
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            ) {
                Ok(file) => Ok(Some(file)),
                Err(Errno::ACCESS) => Ok(None),
                Err(errno) => Err(errno),
            }
        }
        Place::Node { mount, dentry } => {
            match dentry.kind() {
                Kind::RegularFile => {}
                Kind::Symlink => return Err(Errno::LOOP),
                _ => return Err(Errno::ACCESS),
            }
            let mut caller = task.asker().on(mount);
            if dentry.attributes()?.mode & 0o111 == 0 {
                return Err(Errno::ACCESS);
            }
            dentry.check_access(&caller, MAY_EXEC)?;
            caller.enforces_modes = false;
            Ok(Some(open_backing(task, place, &caller)?.descriptor))
        }
    }
}

fn head(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; shebang::HEAD_SIZE];
    let count = rustix::io::pread(file, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn is_elf(file: &OwnedFd) -> bool {
    head(file).is_ok_and(|start| start.starts_with(b"\x7fELF"))
}

fn is_script(task: &Task<'_>, program: &Program) -> Result<bool, Errno> {
    match open_program(task, program)? {
        Some(file) => Ok(head(&file)?.starts_with(b"#!")),
        None => Ok(false),
    }
}

/// A program at the end of a chain of `#!` lines.
struct Resolved {
    program: Program,
    file: Option<OwnedFd>,
    /// Replaces the first element of the argument vector, when there was a `#!` line.
    prefix: Vec<Vec<u8>>,
    /// All files of the chain are Linux's own.
    kernel_agrees: bool,
}

/// Follows `#!` lines. `None`: Linux shall say what is wrong.
fn resolve(task: &Task<'_>, program: Program, shown: &[u8]) -> Result<Option<Resolved>, Errno> {
    let mut program = program;
    let mut kernel_agrees = true;
    let mut prefix: Vec<Vec<u8>> = Vec::new();
    let mut name = shown.to_vec();
    for _ in 0..=MAX_DEPTH {
        kernel_agrees &= program.kernel_agrees;
        host_permission::check(task, Some(&program.place), MAY_EXEC)?;
        let file = match open_program(task, &program) {
            Ok(Some(file)) => file,
            Ok(None) => {
                return Ok(Some(Resolved {
                    program,
                    file: None,
                    prefix,
                    kernel_agrees,
                }));
            }
            // Unreadable, a directory, ...: Linux has the same words for it.
            Err(_) if kernel_agrees => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let start = match head(&file) {
            Ok(start) => start,
            Err(_) if kernel_agrees => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if !start.starts_with(b"#!") {
            return Ok(Some(Resolved {
                program,
                file: Some(file),
                prefix,
                kernel_agrees,
            }));
        }
        let Some(line) = shebang::parse(&start) else {
            return if kernel_agrees {
                Ok(None)
            } else {
                Err(Errno::NOEXEC)
            };
        };
        if prefix.is_empty() {
            prefix.push(name);
        }
        let mut longer = vec![line.interpreter.clone()];
        longer.extend(line.argument);
        longer.append(&mut prefix);
        prefix = longer;
        let found = task.walk(libc::AT_FDCWD, &line.interpreter, WalkFlags::FOLLOW)?;
        let agrees = found.kernel_agrees;
        if agrees && kernel_agrees && found.place.is_none() {
            return Ok(None);
        }
        name = line.interpreter;
        program = Program {
            place: found.existing()?,
            kernel_agrees: agrees,
        };
    }
    Err(Errno::LOOP)
}

fn run(
    task: &Task<'_>,
    program: Program,
    shown: Vec<u8>,
    argv: u64,
    envp: u64,
) -> Result<Answer, Errno> {
    let Some(resolved) = resolve(task, program, &shown)? else {
        return Ok(Answer::Continue);
    };
    let interpreter = match &resolved.file {
        Some(file) => elf_interpreter(task, file)?,
        None => None,
    };
    let ids = ids::ExecIds::new(task, &resolved);
    let is_for_ids = resolved.kernel_agrees && interpreter.is_none();
    if is_for_ids {
        match &ids {
            None => return Ok(Answer::Continue),
            Some(ids) if !ids.must_be_told() => {
                // Of what Linux will not execute, a shell makes a script: with the ids it had.
                if resolved.file.as_ref().is_none_or(is_elf) {
                    task.commit()?;
                    ids.adopt(task);
                }
                return Ok(Answer::Continue);
            }
            Some(_) => {}
        }
    }
    // Kept open until the exec is over: the names lead to these.
    let mut _copy = None;
    let target = match (&interpreter, &resolved.file, &resolved.program.place) {
        (Some(interpreter), Some(file), place) => {
            let copy = copy_with_interpreter(file, &interpreter.path)?;
            let stat = rustix::fs::fstat(&copy)?;
            task.view.register_file(
                Identity {
                    device: stat.st_dev,
                    inode: stat.st_ino,
                },
                place.clone(),
            );
            let link = own_link(&copy);
            _copy = Some(copy);
            link
        }
        (_, _, Place::Host { mount, path }) => {
            task.view.note_alias(path, mount);
            path.clone()
        }
        (_, Some(file), Place::Node { .. }) => own_link(file),
        (_, None, Place::Node { .. }) => return Err(Errno::ACCESS),
    };
    task.view.undumpable.lock().remove(&task.process());
    let base = shown
        .rsplit(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    let link = task.view.private.link(base, &target)?;
    let path = padded(link.path(), shown.len());
    let strings: Vec<&[u8]> = resolved.prefix.iter().map(Vec::as_slice).collect();
    let arguments = if strings.is_empty() {
        ExecVector::Keep(argv)
    } else {
        ExecVector::Prefix {
            strings: &strings,
            original: argv,
            skip: 1,
        }
    };
    let exec = InjectedExec {
        path: &path,
        arguments,
        environment: envp,
        shown_path: &shown,
        id_words: ids.as_ref().map(ids::ExecIds::words),
    };
    let mut link = Some(link);
    let outcome = scalpel::inject_exec(
        &injection::waiting(task),
        task.view.cookie,
        &exec,
        |result| {
            drop(link.take());
            if let (0, Some(ids)) = (result, &ids) {
                ids.adopt(task);
            }
        },
    );
    match (outcome, link) {
        (Outcome::AlreadyTraced, Some(link)) => {
            if let Some(ids) = &ids {
                ids.adopt(task);
            }
            if is_for_ids {
                return Ok(Answer::Continue);
            }
            traced::run(
                task,
                traced::Names {
                    link,
                    path: &path,
                    shown: &shown,
                },
                Keep {
                    _target: _copy,
                    _program: resolved.file,
                },
            )
        }
        (outcome, _) => injection::answer(outcome),
    }
}

/// What the names of an exec lead to: open until it is over.
struct Keep {
    _target: Option<OwnedFd>,
    _program: Option<OwnedFd>,
}

/// The ELF interpreter when Linux would not find it by the program's own words.
struct ForeignInterpreter {
    path: Vec<u8>,
    /// Keeps the backing file open.
    _file: Option<OwnedFd>,
}

fn elf_interpreter(task: &Task<'_>, file: &OwnedFd) -> Result<Option<ForeignInterpreter>, Errno> {
    let mut read_at = |offset: u64, buffer: &mut [u8]| rustix::io::pread(file, buffer, offset);
    let Ok(Some(header)) = elf::inspect(&mut read_at) else {
        return Ok(None);
    };
    let Some(interpreter) = header.interpreter else {
        return Ok(None);
    };
    let found = match task.walk(libc::AT_FDCWD, &interpreter.path, WalkFlags::FOLLOW) {
        Ok(found) if found.kernel_agrees => return Ok(None),
        Ok(found) => found,
        Err(errno) => return Err(errno),
    };
    let program = Program {
        place: found.existing()?,
        kernel_agrees: false,
    };
    let file = open_program(task, &program)?;
    Ok(Some(match (&program.place, file) {
        (Place::Node { .. }, Some(file)) => ForeignInterpreter {
            path: own_link(&file),
            _file: Some(file),
        },
        (Place::Host { path, .. }, _) => ForeignInterpreter {
            path: path.clone(),
            _file: None,
        },
        (Place::Node { .. }, None) => return Err(Errno::ACCESS),
    }))
}

/// A copy of the program whose PT_INTERP says `interpreter`; opened for reading only, so that it can be executed.
fn copy_with_interpreter(program: &OwnedFd, interpreter: &[u8]) -> Result<OwnedFd, Errno> {
    let mut read_at = |offset: u64, buffer: &mut [u8]| rustix::io::pread(program, buffer, offset);
    let header = elf::inspect(&mut read_at)?.ok_or(Errno::NOEXEC)?;
    let size = rustix::fs::fstat(program)?.st_size as u64;
    let copy = rustix::fs::memfd_create("program", MemfdFlags::CLOEXEC)?;
    let mut buffer = vec![0u8; 1 << 20];
    let mut offset = 0;
    loop {
        let count = rustix::io::pread(program, &mut buffer, offset)?;
        if count == 0 {
            break;
        }
        write_all_at(&copy, &buffer[..count], offset)?;
        offset += count as u64;
    }
    for patch in elf::redirect_interpreter(&header, size, interpreter)? {
        write_all_at(&copy, &patch.bytes, patch.offset)?;
    }
    rustix::fs::open(
        own_link(&copy),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn write_all_at(file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    let mut written = 0;
    while written < bytes.len() {
        let count = rustix::io::pwrite(file, &bytes[written..], offset + written as u64)?;
        if count == 0 {
            return Err(Errno::IO);
        }
        written += count;
    }
    Ok(())
}

/// The same path, at least `length` bytes long: slashes more between the last two components mean nothing.
fn padded(path: &[u8], length: usize) -> Vec<u8> {
    let cut = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    let missing = length.saturating_sub(path.len());
    [&path[..cut], &vec![b'/'; missing], &path[cut..]].concat()
}

#[cfg(test)]
mod tests {
    use super::padded;

    #[test]
    fn padding_keeps_the_name() {
        assert_eq!(padded(b"/a/b/ls", 10), b"/a/b////ls");
        assert_eq!(padded(b"/a/b/ls", 3), b"/a/b/ls");
    }
}
