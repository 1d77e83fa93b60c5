//! Finding and executing a program as execvp(3) does, with the PATH of the environment that the program gets.

use super::{Command, EXIT_CANNOT_RUN, EXIT_NOT_FOUND};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use view_sys::process;

/// Where the C library looks when there is no PATH (confstr(3), _CS_PATH).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// What runs a file that is executable and of no known format.
const SHELL: &std::ffi::CStr = c"/bin/sh";

/// A command as execve(2) wants it. Made before the fork's delicate part, so that only system calls are left.
#[derive(Debug)]
pub(super) struct Prepared {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Prepared {
    /// `EINVAL`: a string contains a NUL.
    pub(super) fn new(command: &Command) -> Result<Self, Errno> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::INVAL);
        let arguments: Vec<CString> = command
            .arguments
            .iter()
            .map(|argument| text(argument.as_bytes()))
            .collect::<Result<_, _>>()?;
        let environment = command
            .environment
            .iter()
            .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        let path = command.environment.iter().find(|(name, _)| name == "PATH");
        let name = command
            .arguments
            .first()
            .map_or(&[][..], |name| name.as_bytes());
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
        let candidates = candidates(name, path)
            .iter()
            .map(|candidate| text(candidate))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            candidates,
            arguments,
            environment,
        })
    }

    /// Replaces the program; returns only on failure.
    pub(super) fn run(&self) -> Errno {
        let mut denied = false;
        let mut last = Errno::NOENT;
        for candidate in &self.candidates {
            last = process::exec(candidate, &self.arguments, &self.environment);
            if last == Errno::NOEXEC {
                let words = [SHELL.to_owned(), candidate.clone()];
                let rest = self.arguments.iter().skip(1).cloned();
                let arguments: Vec<CString> = words.into_iter().chain(rest).collect();
                last = process::exec(SHELL, &arguments, &self.environment);
            }
            match last {
                Errno::ACCESS => denied = true,
                Errno::NOENT | Errno::STALE | Errno::NOTDIR | Errno::NODEV | Errno::TIMEDOUT => {}
                other => return other,
            }
        }
        if denied { Errno::ACCESS } else { last }
    }
}

/// The files to try, in order.
fn candidates(name: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if name.is_empty() || name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    path.split(|&byte| byte == b':')
        .map(|directory| match directory {
            // An empty element is the working directory.
            [] => name.to_vec(),
            _ => [directory, b"/", name].concat(),
        })
        .collect()
}

/// The exit code for a program that could not be executed, as env(1) has it.
pub(super) fn exit_code(errno: Errno) -> i32 {
    if errno == Errno::NOENT {
        EXIT_NOT_FOUND
    } else {
        EXIT_CANNOT_RUN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_is_that_of_execvp() {
        let names = |name: &str, path: &str| -> Vec<String> {
            candidates(name.as_bytes(), path.as_bytes())
                .into_iter()
                .map(|candidate| String::from_utf8(candidate).unwrap())
                .collect()
        };
        assert_eq!(names("ls", "/bin:/usr/bin"), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(names("ls", ":/bin:"), ["ls", "/bin/ls", "ls"]);
        assert_eq!(names("./ls", "/bin"), ["./ls"]);
        assert_eq!(names("", "/bin"), [""]);
        assert_eq!(names("ls", ""), ["ls"]);
    }
}
