//! The seccomp program: emitted from a list of actions per system call number, installed by the launcher's child.
//!
//! The number is decided before any argument is loaded, so the kernel's per-call allow cache applies to every call
//! that is let through (kernel/seccomp.c, seccomp_cache_prepare). A notified call whose sixth argument equals the
//! view's cookie passes: the launcher and injected calls use that.

use crate::last_errno;
use rustix::io::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// What the filter does with one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterAction {
    /// The kernel does it; the supervisor never hears of it.
    Allow,
    /// The supervisor is notified, unless the sixth argument is the cookie.
    Notify,
    /// Notified when the low 32 bits of this argument equal one of the values; otherwise allowed.
    NotifyIfAny(u8, [u32; 2]),
    /// Notified when the low 32 bits of this argument are none of the three values; otherwise allowed.
    NotifyUnlessAny(u8, [u32; 3]),
    /// Notified when the low 32 bits of this argument equal one of the first two values, or lie between the last two, both
    /// included; otherwise allowed.
    NotifyIfAnyOrBetween(u8, [u32; 2], [u32; 2]),
    /// Refused with this error number.
    Errno(i32),
}

/// A complete program, ready to install.
#[derive(Debug, Clone)]
pub struct FilterProgram(Vec<libc::sock_filter>);

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_GREATER_THAN: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const ALLOW: u32 = 0x7fff_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ERRNO: u32 = 0x0005_0000;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const X32_BIT: u32 = 0x4000_0000;

fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Byte offset of the low half of argument `index` in `struct seccomp_data` (little endian).
fn argument_low(index: u8) -> u32 {
    16 + 8 * u32::from(index)
}

fn notify_unless_cookie(cookie: u64) -> Vec<libc::sock_filter> {
    vec![
        statement(LOAD, argument_low(5)),
        branch(JUMP_EQUAL, cookie as u32, 0, 3),
        statement(LOAD, argument_low(5) + 4),
        branch(JUMP_EQUAL, (cookie >> 32) as u32, 0, 1),
        statement(RETURN, ALLOW),
        statement(RETURN, NOTIFY),
    ]
}

fn leaf(action: FilterAction, cookie: u64) -> Vec<libc::sock_filter> {
    match action {
        FilterAction::Allow => vec![statement(RETURN, ALLOW)],
        FilterAction::Notify => notify_unless_cookie(cookie),
        FilterAction::NotifyIfAny(index, [a, b]) => vec![
            statement(LOAD, argument_low(index)),
            branch(JUMP_EQUAL, a, 1, 0),
            branch(JUMP_EQUAL, b, 0, 1),
            statement(RETURN, NOTIFY),
            statement(RETURN, ALLOW),
        ],
        FilterAction::NotifyUnlessAny(index, [a, b, c]) => vec![
            statement(LOAD, argument_low(index)),
            branch(JUMP_EQUAL, a, 3, 0),
            branch(JUMP_EQUAL, b, 2, 0),
            branch(JUMP_EQUAL, c, 1, 0),
            statement(RETURN, NOTIFY),
            statement(RETURN, ALLOW),
        ],
        FilterAction::NotifyIfAnyOrBetween(index, [a, b], [first, last]) => vec![
            statement(LOAD, argument_low(index)),
            branch(JUMP_EQUAL, a, 3, 0),
            branch(JUMP_EQUAL, b, 2, 0),
            branch(JUMP_GREATER_EQUAL, first, 0, 2),
            branch(JUMP_GREATER_THAN, last, 1, 0),
            statement(RETURN, NOTIFY),
            statement(RETURN, ALLOW),
        ],
        FilterAction::Errno(errno) => vec![statement(RETURN, ERRNO | errno as u32)],
    }
}

/// A decision tree over runs of numbers with equal actions.
fn tree(runs: &[(u32, FilterAction)], cookie: u64) -> Vec<libc::sock_filter> {
    match runs {
        [] => vec![statement(RETURN, ERRNO | libc::ENOSYS as u32)],
        [(_, action)] => leaf(*action, cookie),
        _ => {
            let (left, right) = runs.split_at(runs.len() / 2);
            let left_code = tree(left, cookie);
            let mut code = vec![
                branch(JUMP_GREATER_EQUAL, right[0].0, 0, 1),
                statement(JUMP, left_code.len() as u32),
            ];
            code.extend(left_code);
            code.extend(tree(right, cookie));
            code
        }
    }
}

impl FilterProgram {
    /// Emits the program. `action(number)` is asked for 0..`end`; numbers from `end` on, foreign ABIs (i386, x32)
    /// are answered with `ENOSYS`.
    pub fn new(end: u32, action: impl Fn(u32) -> FilterAction, cookie: u64) -> Self {
        let mut runs: Vec<(u32, FilterAction)> = Vec::new();
        for number in 0..end {
            let action = action(number);
            if runs.last().is_none_or(|(_, last)| *last != action) {
                runs.push((number, action));
            }
        }
        runs.push((end, FilterAction::Errno(libc::ENOSYS)));
        runs.push((X32_BIT, FilterAction::Errno(libc::ENOSYS)));
        let mut code = vec![
            statement(LOAD, 4), // seccomp_data.arch
            branch(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
            statement(RETURN, ERRNO | libc::ENOSYS as u32),
            statement(LOAD, 0), // seccomp_data.nr
        ];
        code.extend(tree(&runs, cookie));
        Self(code)
    }

    /// Number of BPF instructions (the kernel's limit is 4096).
    pub fn instruction_count(&self) -> usize {
        self.0.len()
    }

    /// Installs the filter on the calling thread with a listener. The caller has set no_new_privs.
    /// `wait_killable`: ask for `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (kernel 5.19; `EINVAL` before).
    pub fn install(&self, wait_killable: bool) -> Result<OwnedFd, Errno> {
        const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
        let mut flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if wait_killable {
            flags |= WAIT_KILLABLE_RECV;
        }
        let program = libc::sock_fprog {
            len: self.0.len() as libc::c_ushort,
            filter: self.0.as_ptr().cast_mut(),
        };
        // WHY UNSAFE: seccomp(2) has no safe wrapper.
        // SAFETY:
        // 1. `program` points at `self.0`, `len` instructions long; the kernel copies and checks it.
        // 2. On success the result is a new descriptor that nobody else owns.
        unsafe {
            let result = libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &program as *const libc::sock_fprog,
            );
            if result < 0 {
                Err(last_errno())
            } else {
                Ok(OwnedFd::from_raw_fd(result as i32))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tiny BPF interpreter: enough to ask the program what it decides.
    fn decide(program: &FilterProgram, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            0 => number,
            4 => arch,
            _ => {
                let argument = arguments[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) {
                    argument as u32
                } else {
                    (argument >> 32) as u32
                }
            }
        };
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let i = program.0[at];
            at += 1;
            match i.code {
                LOAD => accumulator = word(i.k),
                JUMP => at += i.k as usize,
                JUMP_EQUAL => at += if accumulator == i.k { i.jt } else { i.jf } as usize,
                JUMP_GREATER_EQUAL => at += if accumulator >= i.k { i.jt } else { i.jf } as usize,
                JUMP_GREATER_THAN => at += if accumulator > i.k { i.jt } else { i.jf } as usize,
                RETURN => return i.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn sample() -> FilterProgram {
        FilterProgram::new(
            300,
            |number| match number {
                2 | 4 | 257 => FilterAction::Notify,
                44 => FilterAction::NotifyUnlessAny(5, [0, 16, 28]),
                157 => FilterAction::NotifyIfAny(0, [4, 3]),
                16 => FilterAction::NotifyIfAnyOrBetween(
                    1,
                    [0x8008_6601, 0x4008_6602],
                    [0x4c00, 0x4cff],
                ),
                200 => FilterAction::Errno(libc::EPERM),
                _ => FilterAction::Allow,
            },
            0x1234_5678_9abc_def0,
        )
    }

    #[test]
    fn every_number_gets_its_action() {
        let program = sample();
        for number in 0..300 {
            let want = match number {
                2 | 4 | 257 => NOTIFY,
                44 => NOTIFY, // addrlen 110 below
                200 => ERRNO | libc::EPERM as u32,
                _ => ALLOW,
            };
            assert_eq!(
                decide(&program, AUDIT_ARCH_X86_64, number, [0, 0, 0, 0, 0, 110]),
                want,
                "{number}"
            );
        }
        assert!(program.instruction_count() < 4096);
    }

    #[test]
    fn cookie_and_conditions() {
        let program = sample();
        let cookie = [0, 0, 0, 0, 0, 0x1234_5678_9abc_def0];
        for (request, want) in [
            (0x4bff, ALLOW),
            (0x4c00, NOTIFY),
            (0x4cff, NOTIFY),
            (0x4d00, ALLOW),
            (0x4008_6602, NOTIFY),
            (0x8008_6601, NOTIFY),
            (0x8008_6602, ALLOW),
        ] {
            let decided = decide(&program, AUDIT_ARCH_X86_64, 16, [0, request, 0, 0, 0, 0]);
            assert_eq!(decided, want, "{request:#x}");
        }
        assert_eq!(decide(&program, AUDIT_ARCH_X86_64, 257, cookie), ALLOW);
        assert_eq!(
            decide(
                &program,
                AUDIT_ARCH_X86_64,
                257,
                [0, 0, 0, 0, 0, 0x9abc_def0]
            ),
            NOTIFY
        );
        assert_eq!(
            decide(&program, AUDIT_ARCH_X86_64, 44, [0, 0, 0, 0, 0, 16]),
            ALLOW
        );
        assert_eq!(
            decide(&program, AUDIT_ARCH_X86_64, 157, [4, 0, 0, 0, 0, 0]),
            NOTIFY
        );
        assert_eq!(
            decide(&program, AUDIT_ARCH_X86_64, 157, [15, 0, 0, 0, 0, 0]),
            ALLOW
        );
    }

    #[test]
    fn unknown_numbers_and_foreign_abis_are_enosys() {
        let program = sample();
        let enosys = ERRNO | libc::ENOSYS as u32;
        assert_eq!(decide(&program, AUDIT_ARCH_X86_64, 300, [0; 6]), enosys);
        assert_eq!(decide(&program, AUDIT_ARCH_X86_64, 9999, [0; 6]), enosys);
        assert_eq!(
            decide(&program, AUDIT_ARCH_X86_64, X32_BIT | 2, [0; 6]),
            enosys
        );
        assert_eq!(
            decide(&program, AUDIT_ARCH_X86_64, u32::MAX, [0; 6]),
            enosys
        );
        assert_eq!(decide(&program, 0x4000_0003, 5, [0; 6]), enosys);
    }
}
