//! What /proc tells of the processes that have a file open.
//!
//! Processes of other users are not seen, and need not be: whoever is overlooked makes the file count as open afterwards.
//! Reference: proc_pid_fdinfo(5), proc_pid_maps(5), proc_pid_syscall(5).

use rustix::fs::{major, minor};
use std::fs;
use view_sys::memory;
use view_vfs::attributes::Identity;

/// A descriptor of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) process: u32,
    pub(crate) number: i32,
    /// Flags of open(2), O_CLOEXEC as well.
    pub(crate) flags: i32,
    pub(crate) position: u64,
    /// The process, or this open file description, has a lock on the file. Leases are not meant.
    pub(crate) is_locked: bool,
}

/// The descriptors of this file in all processes but this one, in the order of the processes.
pub(crate) fn of(identity: Identity) -> Vec<Descriptor> {
    let own = std::process::id();
    let mut processes: Vec<u32> = numbers("/proc").collect();
    processes.sort_unstable();
    let mut found = Vec::new();
    for process in processes {
        if process == own {
            continue;
        }
        for number in numbers(&format!("/proc/{process}/fd")) {
            let link = format!("/proc/{process}/fd/{number}");
            let is_it = rustix::fs::stat(link)
                .is_ok_and(|stat| stat.st_ino == identity.inode && stat.st_dev == identity.device);
            let info = format!("/proc/{process}/fdinfo/{number}");
            if is_it
                && let Ok(text) = fs::read_to_string(info)
                && let Some((position, flags)) = parse_info(&text)
            {
                found.push(Descriptor {
                    process,
                    number: number as i32,
                    flags,
                    position,
                    is_locked: has_lock(&text),
                });
            }
        }
    }
    found
}

/// The threads of a process.
pub(crate) fn threads(process: u32) -> Vec<u32> {
    numbers(&format!("/proc/{process}/task")).collect()
}

/// The entries of a directory that are numbers.
pub(crate) fn numbers(directory: &str) -> impl Iterator<Item = u32> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Position and flags.
pub(crate) fn parse_info(text: &str) -> Option<(u64, i32)> {
    let field = |label: &str| text.lines().find_map(|line| line.strip_prefix(label));
    let position = field("pos:")?.trim().parse().ok()?;
    let flags = i32::from_str_radix(field("flags:")?.trim(), 8).ok()?;
    Some((position, flags))
}

/// Has the process the file mapped?
pub(super) fn is_mapped(process: u32, identity: Identity) -> bool {
    let device = format!(
        "{:02x}:{:02x}",
        major(identity.device),
        minor(identity.device)
    );
    let inode = identity.inode.to_string();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
    maps.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        fields.next() == Some(&device) && fields.next() == Some(&inode)
    })
}

/// Does the descriptor's information name a lock? The whole system's list of them takes the kernel 16 ms to give out.
fn has_lock(text: &str) -> bool {
    text.lines()
        .any(|line| line.starts_with("lock:") && !line.contains("LEASE"))
}

/// Can the thread be stopped where it is? One that sleeps in a call which may have done a part of its work (a write to
/// a full pipe) would end it early; those that sleep in one of these start it again as if nothing had been.
pub(crate) fn is_stoppable(thread: u32) -> bool {
    const RESTARTED: [i64; 26] = [
        libc::SYS_read,
        libc::SYS_poll,
        libc::SYS_ppoll,
        libc::SYS_select,
        libc::SYS_pselect6,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
        libc::SYS_futex,
        libc::SYS_nanosleep,
        libc::SYS_clock_nanosleep,
        libc::SYS_wait4,
        libc::SYS_waitid,
        libc::SYS_pause,
        libc::SYS_rt_sigsuspend,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_restart_syscall,
        libc::SYS_flock,
        libc::SYS_fcntl,
        libc::SYS_io_getevents,
    ];
    let stat = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    if state != Some('S') {
        return true;
    }
    let text = fs::read_to_string(format!("/proc/{thread}/syscall")).unwrap_or_default();
    match text.split_ascii_whitespace().next() {
        Some("running") => true,
        Some(number) => number
            .parse()
            .is_ok_and(|number: i64| RESTARTED.contains(&number)),
        None => false,
    }
}

/// The address of a `syscall` instruction in the process: the vDSO has one.
pub(super) fn system_call_instruction(process: u32) -> Option<u64> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let mut code = vec![0; usize::try_from(end.checked_sub(start)?).ok()?.min(1 << 16)];
    memory::read_exact(process, start, &mut code).ok()?;
    let place = code.windows(2).position(|two| two == [0x0f, 0x05])?;
    Some(start + place as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_information_is_read() {
        let text = "pos:\t4096\nflags:\t02102001\nmnt_id:\t9\nino:\t7\n";
        let flags = libc::O_CLOEXEC | libc::O_APPEND | libc::O_LARGEFILE | libc::O_WRONLY;
        // The C library says 0 for O_LARGEFILE, the kernel does not.
        assert_eq!(parse_info(text), Some((4096, flags | 0o100_000)));
        assert_eq!(parse_info("pos:\tx\n"), None);
        let lock = |kind| format!("{text}lock:\t1: {kind}  ADVISORY  WRITE 359 00:01:7 0 EOF\n");
        let locked = ["", &lock("FLOCK"), &lock("OFDLCK"), &lock("LEASE")].map(has_lock);
        assert_eq!(locked, [false, true, true, false]);
    }

    #[test]
    fn own_locks_are_seen() {
        let memory = rustix::fs::memfd_create("locked", rustix::fs::MemfdFlags::CLOEXEC);
        let file: fs::File = memory.unwrap().into();
        let read = |file: &fs::File| {
            let number = std::os::fd::AsRawFd::as_raw_fd(file);
            fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap()
        };
        assert!(!has_lock(&read(&file)));
        file.lock().unwrap();
        assert!(has_lock(&read(&file)));
    }

    #[test]
    fn this_process_has_a_vdso() {
        assert!(system_call_instruction(std::process::id()).is_some());
    }
}
