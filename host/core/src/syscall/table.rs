//! Every system call of x86-64 and what a view does with it. The seccomp filter and docs/compat.md are made from it.
//!
//! The numbers and names are Linux 6.18's (arch/x86/entry/syscalls/syscall_64.tbl). A number that is not here is
//! answered with `ENOSYS`.

use super::{flags, loop_device};
use Support::{Intercepted, Native, Partial, Refused};
use view_sys::filter::{FilterAction, FilterProgram};

/// How a view treats one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Linux executes it; the supervisor never hears of it.
    Native,
    /// The view answers it, or lets Linux execute it when nothing of the view is concerned.
    Intercepted,
    /// As the words say: not every case is as on Linux.
    Partial(&'static str),
    /// Refused with this error number, because of this.
    Refused(i32, &'static str),
}

/// Number, name, support; in order of the number.
#[rustfmt::skip]
pub const TABLE: &[(u32, &str, Support)] = &[
    (0, "read", Native),
    (1, "write", Native),
    (2, "open", Partial("O_SYNC and O_DSYNC on a mount: write(2) returns before the data is durable; it is written back and flushed at once after that")),
    (3, "close", Native),
    (4, "stat", Intercepted),
    (5, "fstat", Intercepted),
    (6, "lstat", Intercepted),
    (7, "poll", Native),
    (8, "lseek", Partial("native; on hosts that refuse pidfd_getfd it is intercepted for directories")),
    (9, "mmap", Native),
    (10, "mprotect", Native),
    (11, "munmap", Native),
    (12, "brk", Native),
    (13, "rt_sigaction", Native),
    (14, "rt_sigprocmask", Native),
    (15, "rt_sigreturn", Intercepted),
    (16, "ioctl", Partial("native; FS_IOC_GETFLAGS and FS_IOC_SETFLAGS are intercepted")),
    (17, "pread64", Native),
    (18, "pwrite64", Native),
    (19, "readv", Native),
    (20, "writev", Native),
    (21, "access", Intercepted),
    (22, "pipe", Native),
    (23, "select", Native),
    (24, "sched_yield", Native),
    (25, "mremap", Native),
    (26, "msync", Partial("MS_SYNC is intercepted; MS_ASYNC does nothing, as on Linux")),
    (27, "mincore", Native),
    (28, "madvise", Native),
    (29, "shmget", Native),
    (30, "shmat", Native),
    (31, "shmctl", Native),
    (32, "dup", Native),
    (33, "dup2", Native),
    (34, "pause", Native),
    (35, "nanosleep", Native),
    (36, "getitimer", Native),
    (37, "alarm", Native),
    (38, "setitimer", Native),
    (39, "getpid", Native),
    (40, "sendfile", Native),
    (41, "socket", Native),
    (42, "connect", Partial("AF_UNIX paths on a mount; other families go straight to Linux")),
    (43, "accept", Partial("native: an AF_UNIX peer address on a mount is told as the host knows it")),
    (44, "sendto", Partial("AF_UNIX datagram addresses on a mount; other families are never intercepted")),
    (45, "recvfrom", Native),
    (46, "sendmsg", Partial("not intercepted: a datagram address that lies on a mount is not found")),
    (47, "recvmsg", Native),
    (48, "shutdown", Native),
    (49, "bind", Partial("AF_UNIX paths on a mount; other families go straight to Linux")),
    (50, "listen", Native),
    (51, "getsockname", Partial("the path of an AF_UNIX socket bound on a mount is told as the view knows it")),
    (52, "getpeername", Partial("the path of an AF_UNIX socket bound on a mount is told as the view knows it")),
    (53, "socketpair", Native),
    (54, "setsockopt", Native),
    (55, "getsockopt", Native),
    (56, "clone", Native),
    (57, "fork", Native),
    (58, "vfork", Native),
    (59, "execve", Intercepted),
    (60, "exit", Native),
    (61, "wait4", Native),
    (62, "kill", Native),
    (63, "uname", Native),
    (64, "semget", Native),
    (65, "semop", Native),
    (66, "semctl", Native),
    (67, "shmdt", Native),
    (68, "msgget", Native),
    (69, "msgsnd", Native),
    (70, "msgrcv", Native),
    (71, "msgctl", Native),
    (72, "fcntl", Native),
    (73, "flock", Native),
    (74, "fsync", Intercepted),
    (75, "fdatasync", Intercepted),
    (76, "truncate", Intercepted),
    (77, "ftruncate", Native),
    (78, "getdents", Intercepted),
    (79, "getcwd", Intercepted),
    (80, "chdir", Intercepted),
    (81, "fchdir", Intercepted),
    (82, "rename", Intercepted),
    (83, "mkdir", Intercepted),
    (84, "rmdir", Intercepted),
    (85, "creat", Intercepted),
    (86, "link", Intercepted),
    (87, "unlink", Intercepted),
    (88, "symlink", Intercepted),
    (89, "readlink", Intercepted),
    (90, "chmod", Intercepted),
    (91, "fchmod", Intercepted),
    (92, "chown", Intercepted),
    (93, "fchown", Intercepted),
    (94, "lchown", Intercepted),
    (95, "umask", Intercepted),
    (96, "gettimeofday", Native),
    (97, "getrlimit", Native),
    (98, "getrusage", Native),
    (99, "sysinfo", Native),
    (100, "times", Native),
    (101, "ptrace", Native),
    (102, "getuid", Native),
    (103, "syslog", Native),
    (104, "getgid", Native),
    (105, "setuid", Native),
    (106, "setgid", Native),
    (107, "geteuid", Native),
    (108, "getegid", Native),
    (109, "setpgid", Native),
    (110, "getppid", Native),
    (111, "getpgrp", Native),
    (112, "setsid", Native),
    (113, "setreuid", Native),
    (114, "setregid", Native),
    (115, "getgroups", Native),
    (116, "setgroups", Native),
    (117, "setresuid", Native),
    (118, "getresuid", Native),
    (119, "setresgid", Native),
    (120, "getresgid", Native),
    (121, "getpgid", Native),
    (122, "setfsuid", Native),
    (123, "setfsgid", Native),
    (124, "getsid", Native),
    (125, "capget", Native),
    (126, "capset", Native),
    (127, "rt_sigpending", Native),
    (128, "rt_sigtimedwait", Native),
    (129, "rt_sigqueueinfo", Native),
    (130, "rt_sigsuspend", Native),
    (131, "sigaltstack", Native),
    (132, "utime", Intercepted),
    (133, "mknod", Intercepted),
    (134, "uselib", Refused(libc::ENOSYS, "as on current kernels")),
    (135, "personality", Native),
    (136, "ustat", Native),
    (137, "statfs", Intercepted),
    (138, "fstatfs", Intercepted),
    (139, "sysfs", Native),
    (140, "getpriority", Native),
    (141, "setpriority", Native),
    (142, "sched_setparam", Native),
    (143, "sched_getparam", Native),
    (144, "sched_setscheduler", Native),
    (145, "sched_getscheduler", Native),
    (146, "sched_get_priority_max", Native),
    (147, "sched_get_priority_min", Native),
    (148, "sched_rr_get_interval", Native),
    (149, "mlock", Native),
    (150, "munlock", Native),
    (151, "mlockall", Native),
    (152, "munlockall", Native),
    (153, "vhangup", Native),
    (154, "modify_ldt", Native),
    (155, "pivot_root", Refused(libc::EPERM, "needs a privilege natively")),
    (156, "_sysctl", Native),
    (157, "prctl", Partial("PR_SET_DUMPABLE 0 is accepted and not carried out: the view must be able to read its tracees")),
    (158, "arch_prctl", Native),
    (159, "adjtimex", Native),
    (160, "setrlimit", Native),
    (161, "chroot", Intercepted),
    (162, "sync", Intercepted),
    (163, "acct", Native),
    (164, "settimeofday", Native),
    (165, "mount", Intercepted),
    (166, "umount2", Intercepted),
    (167, "swapon", Native),
    (168, "swapoff", Native),
    (169, "reboot", Native),
    (170, "sethostname", Native),
    (171, "setdomainname", Native),
    (172, "iopl", Native),
    (173, "ioperm", Native),
    (174, "create_module", Native),
    (175, "init_module", Native),
    (176, "delete_module", Native),
    (177, "get_kernel_syms", Native),
    (178, "query_module", Native),
    (179, "quotactl", Native),
    (180, "nfsservctl", Native),
    (181, "getpmsg", Native),
    (182, "putpmsg", Native),
    (183, "afs_syscall", Native),
    (184, "tuxcall", Native),
    (185, "security", Native),
    (186, "gettid", Native),
    (187, "readahead", Native),
    (188, "setxattr", Intercepted),
    (189, "lsetxattr", Intercepted),
    (190, "fsetxattr", Intercepted),
    (191, "getxattr", Intercepted),
    (192, "lgetxattr", Intercepted),
    (193, "fgetxattr", Intercepted),
    (194, "listxattr", Intercepted),
    (195, "llistxattr", Intercepted),
    (196, "flistxattr", Intercepted),
    (197, "removexattr", Intercepted),
    (198, "lremovexattr", Intercepted),
    (199, "fremovexattr", Intercepted),
    (200, "tkill", Native),
    (201, "time", Native),
    (202, "futex", Native),
    (203, "sched_setaffinity", Native),
    (204, "sched_getaffinity", Native),
    (205, "set_thread_area", Native),
    (206, "io_setup", Native),
    (207, "io_destroy", Native),
    (208, "io_getevents", Native),
    (209, "io_submit", Native),
    (210, "io_cancel", Native),
    (211, "get_thread_area", Native),
    (212, "lookup_dcookie", Native),
    (213, "epoll_create", Native),
    (214, "epoll_ctl_old", Native),
    (215, "epoll_wait_old", Native),
    (216, "remap_file_pages", Native),
    (217, "getdents64", Intercepted),
    (218, "set_tid_address", Native),
    (219, "restart_syscall", Native),
    (220, "semtimedop", Native),
    (221, "fadvise64", Native),
    (222, "timer_create", Native),
    (223, "timer_settime", Native),
    (224, "timer_gettime", Native),
    (225, "timer_getoverrun", Native),
    (226, "timer_delete", Native),
    (227, "clock_settime", Native),
    (228, "clock_gettime", Native),
    (229, "clock_getres", Native),
    (230, "clock_nanosleep", Native),
    (231, "exit_group", Native),
    (232, "epoll_wait", Native),
    (233, "epoll_ctl", Native),
    (234, "tgkill", Native),
    (235, "utimes", Intercepted),
    (236, "vserver", Native),
    (237, "mbind", Native),
    (238, "set_mempolicy", Native),
    (239, "get_mempolicy", Native),
    (240, "mq_open", Native),
    (241, "mq_unlink", Native),
    (242, "mq_timedsend", Native),
    (243, "mq_timedreceive", Native),
    (244, "mq_notify", Native),
    (245, "mq_getsetattr", Native),
    (246, "kexec_load", Native),
    (247, "waitid", Native),
    (248, "add_key", Native),
    (249, "request_key", Native),
    (250, "keyctl", Native),
    (251, "ioprio_set", Native),
    (252, "ioprio_get", Native),
    (253, "inotify_init", Native),
    (254, "inotify_add_watch", Partial("regular files of a mount are watched; directories of a mount are refused with EOPNOTSUPP")),
    (255, "inotify_rm_watch", Native),
    (256, "migrate_pages", Native),
    (257, "openat", Partial("O_SYNC and O_DSYNC: see open")),
    (258, "mkdirat", Intercepted),
    (259, "mknodat", Intercepted),
    (260, "fchownat", Intercepted),
    (261, "futimesat", Intercepted),
    (262, "newfstatat", Intercepted),
    (263, "unlinkat", Intercepted),
    (264, "renameat", Intercepted),
    (265, "linkat", Intercepted),
    (266, "symlinkat", Intercepted),
    (267, "readlinkat", Intercepted),
    (268, "fchmodat", Intercepted),
    (269, "faccessat", Intercepted),
    (270, "pselect6", Native),
    (271, "ppoll", Native),
    (272, "unshare", Native),
    (273, "set_robust_list", Native),
    (274, "get_robust_list", Native),
    (275, "splice", Native),
    (276, "tee", Native),
    (277, "sync_file_range", Intercepted),
    (278, "vmsplice", Native),
    (279, "move_pages", Native),
    (280, "utimensat", Intercepted),
    (281, "epoll_pwait", Native),
    (282, "signalfd", Native),
    (283, "timerfd_create", Native),
    (284, "eventfd", Native),
    (285, "fallocate", Intercepted),
    (286, "timerfd_settime", Native),
    (287, "timerfd_gettime", Native),
    (288, "accept4", Partial("native: an AF_UNIX peer address on a mount is told as the host knows it")),
    (289, "signalfd4", Native),
    (290, "eventfd2", Native),
    (291, "epoll_create1", Native),
    (292, "dup3", Native),
    (293, "pipe2", Native),
    (294, "inotify_init1", Native),
    (295, "preadv", Native),
    (296, "pwritev", Native),
    (297, "rt_tgsigqueueinfo", Native),
    (298, "perf_event_open", Native),
    (299, "recvmmsg", Native),
    (300, "fanotify_init", Native),
    (301, "fanotify_mark", Partial("native, needs a privilege; marks on a mount see the backing file")),
    (302, "prlimit64", Native),
    (303, "name_to_handle_at", Intercepted),
    (304, "open_by_handle_at", Refused(libc::EPERM, "needs a privilege natively")),
    (305, "clock_adjtime", Native),
    (306, "syncfs", Intercepted),
    (307, "sendmmsg", Native),
    (308, "setns", Native),
    (309, "getcpu", Native),
    (310, "process_vm_readv", Native),
    (311, "process_vm_writev", Native),
    (312, "kcmp", Native),
    (313, "finit_module", Native),
    (314, "sched_setattr", Native),
    (315, "sched_getattr", Native),
    (316, "renameat2", Intercepted),
    (317, "seccomp", Native),
    (318, "getrandom", Native),
    (319, "memfd_create", Native),
    (320, "kexec_file_load", Native),
    (321, "bpf", Native),
    (322, "execveat", Intercepted),
    (323, "userfaultfd", Native),
    (324, "membarrier", Native),
    (325, "mlock2", Native),
    (326, "copy_file_range", Intercepted),
    (327, "preadv2", Native),
    (328, "pwritev2", Native),
    (329, "pkey_mprotect", Native),
    (330, "pkey_alloc", Native),
    (331, "pkey_free", Native),
    (332, "statx", Intercepted),
    (333, "io_pgetevents", Native),
    (334, "rseq", Native),
    (335, "uretprobe", Native),
    (424, "pidfd_send_signal", Native),
    (425, "io_uring_setup", Refused(libc::ENOSYS, "would go around the view; programs fall back")),
    (426, "io_uring_enter", Refused(libc::ENOSYS, "see io_uring_setup")),
    (427, "io_uring_register", Refused(libc::ENOSYS, "see io_uring_setup")),
    (428, "open_tree", Refused(libc::ENOSYS, "mount(2) serves; callers fall back")),
    (429, "move_mount", Refused(libc::ENOSYS, "see open_tree")),
    (430, "fsopen", Refused(libc::ENOSYS, "see open_tree")),
    (431, "fsconfig", Refused(libc::ENOSYS, "see open_tree")),
    (432, "fsmount", Refused(libc::ENOSYS, "see open_tree")),
    (433, "fspick", Refused(libc::ENOSYS, "see open_tree")),
    (434, "pidfd_open", Native),
    (435, "clone3", Native),
    (436, "close_range", Native),
    (437, "openat2", Partial("O_SYNC and O_DSYNC: see open")),
    (438, "pidfd_getfd", Native),
    (439, "faccessat2", Intercepted),
    (440, "process_madvise", Native),
    (441, "epoll_pwait2", Native),
    (442, "mount_setattr", Refused(libc::ENOSYS, "see open_tree")),
    (443, "quotactl_fd", Native),
    (444, "landlock_create_ruleset", Native),
    (445, "landlock_add_rule", Native),
    (446, "landlock_restrict_self", Native),
    (447, "memfd_secret", Native),
    (448, "process_mrelease", Native),
    (449, "futex_waitv", Native),
    (450, "set_mempolicy_home_node", Native),
    (451, "cachestat", Native),
    (452, "fchmodat2", Intercepted),
    (453, "map_shadow_stack", Native),
    (454, "futex_wake", Native),
    (455, "futex_wait", Native),
    (456, "futex_requeue", Native),
    (457, "statmount", Refused(libc::ENOSYS, "/proc/self/mountinfo tells the mounts")),
    (458, "listmount", Refused(libc::ENOSYS, "/proc/self/mountinfo tells the mounts")),
    (459, "lsm_get_self_attr", Native),
    (460, "lsm_set_self_attr", Native),
    (461, "lsm_list_modules", Native),
    (462, "mseal", Native),
    (463, "setxattrat", Intercepted),
    (464, "getxattrat", Intercepted),
    (465, "listxattrat", Intercepted),
    (466, "removexattrat", Intercepted),
    (467, "open_tree_attr", Refused(libc::ENOSYS, "see open_tree")),
    (468, "file_getattr", Refused(libc::ENOSYS, "new in Linux 6.17; callers fall back")),
    (469, "file_setattr", Refused(libc::ENOSYS, "new in Linux 6.17; callers fall back")),
];

/// What the filter must know of the host.
#[derive(Debug, Clone, Copy)]
pub struct FilterNeeds {
    /// pidfd_getfd(2) is refused here, so the position of an open directory is kept by the view.
    pub intercept_lseek: bool,
    /// The view has ids of its own.
    pub has_identity: bool,
}

/// The seccomp action for one number.
fn action(number: u32, needs: FilterNeeds) -> FilterAction {
    let Ok(at) = TABLE.binary_search_by_key(&number, |row| row.0) else {
        return FilterAction::Errno(libc::ENOSYS);
    };
    if needs.has_identity && super::identity::CALLS.contains(&i64::from(number)) {
        return FilterAction::Notify;
    }
    if needs.has_identity && i64::from(number) == libc::SYS_ioctl {
        let between = [loop_device::FIRST_IOCTL, loop_device::LAST_IOCTL];
        return FilterAction::NotifyIfAnyOrBetween(
            1,
            [flags::GET_FLAGS, flags::SET_FLAGS],
            between,
        );
    }
    match TABLE[at].2 {
        Native => FilterAction::Allow,
        Intercepted => FilterAction::Notify,
        Refused(errno, _) => FilterAction::Errno(errno),
        Partial(_) => match i64::from(number) {
            libc::SYS_prctl => FilterAction::NotifyIfAny(
                0,
                [libc::PR_SET_DUMPABLE as u32, libc::PR_GET_DUMPABLE as u32],
            ),
            // The address length: none, sockaddr_in and sockaddr_in6 are no business of the view.
            libc::SYS_sendto => FilterAction::NotifyUnlessAny(5, [0, 16, 28]),
            libc::SYS_msync => FilterAction::NotifyIfAny(
                2,
                [
                    libc::MS_SYNC as u32,
                    (libc::MS_SYNC | libc::MS_INVALIDATE) as u32,
                ],
            ),
            libc::SYS_ioctl => FilterAction::NotifyIfAny(1, [flags::GET_FLAGS, flags::SET_FLAGS]),
            libc::SYS_lseek if needs.intercept_lseek => FilterAction::Notify,
            libc::SYS_lseek | libc::SYS_sendmsg | libc::SYS_accept | libc::SYS_accept4 => {
                FilterAction::Allow
            }
            libc::SYS_fanotify_mark => FilterAction::Allow,
            _ => FilterAction::Notify,
        },
    }
}

/// The filter of a view: a superset of what any module may need, since it can't be widened later.
pub fn filter_program(cookie: u64, needs: FilterNeeds) -> FilterProgram {
    let end = TABLE.last().map_or(0, |row| row.0 + 1);
    FilterProgram::new(end, |number| action(number, needs), cookie)
}

/// Is the supervisor asked about this call with these arguments?
pub fn is_notified(number: u32, arguments: &[u64; 6], needs: FilterNeeds) -> bool {
    let low = |index: u8| arguments.get(usize::from(index)).map(|value| *value as u32);
    match action(number, needs) {
        FilterAction::Notify => true,
        FilterAction::NotifyIfAny(index, values) => {
            low(index).is_some_and(|value| values.contains(&value))
        }
        FilterAction::NotifyUnlessAny(index, values) => {
            low(index).is_some_and(|value| !values.contains(&value))
        }
        FilterAction::NotifyIfAnyOrBetween(index, values, [first, last]) => low(index)
            .is_some_and(|value| values.contains(&value) || (first..=last).contains(&value)),
        FilterAction::Allow | FilterAction::Errno(_) => false,
    }
}

/// The name of a system call, for messages.
pub fn name(number: u32) -> &'static str {
    match TABLE.binary_search_by_key(&number, |row| row.0) {
        Ok(at) => TABLE[at].1,
        Err(_) => "unknown",
    }
}

/// The text of docs/compat.md.
pub fn compatibility_page() -> String {
    let mut page = String::from(
        "# System calls in a view\n\nGenerated by `view compat` from host/core/src/syscall/table.rs (x86-64, Linux 6.18).\n\n\
         *native*: Linux executes it, the view never hears of it. *intercepted*: the view answers it, or hands it to Linux when \
         nothing of the view is concerned. *partial*: as the note says. *refused*: with the error number, and why.\n\n\
         In a view with ids of its own (`-0`, `-u`) the calls that tell and change ids, groups and capabilities are intercepted too, \
         and so are prctl, exit, exit_group, and ioctl of loop devices.\n\n\
         Numbers not listed, i386 and x32 calls are answered with ENOSYS.\n\n| number | call | support | note |\n|---|---|---|---|\n",
    );
    for (number, name, support) in TABLE {
        let (word, note) = match support {
            Native => ("native", String::new()),
            Intercepted => ("intercepted", String::new()),
            Partial(note) => ("partial", (*note).to_string()),
            Refused(errno, why) => (
                "refused",
                format!(
                    "{}: {why}",
                    if *errno == libc::EPERM {
                        "EPERM"
                    } else {
                        "ENOSYS"
                    }
                ),
            ),
        };
        page.push_str(&format!("| {number} | {name} | {word} | {note} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_the_filter_fits() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let program = filter_program(
            1,
            FilterNeeds {
                intercept_lseek: true,
                has_identity: false,
            },
        );
        assert!(
            program.instruction_count() < 4096,
            "{}",
            program.instruction_count()
        );
    }

    #[test]
    fn arguments_decide_whether_the_supervisor_is_asked() {
        let needs = |has_identity| FilterNeeds {
            intercept_lseek: false,
            has_identity,
        };
        let asked = |number: i64, arguments: [u64; 6], has_identity| {
            is_notified(number as u32, &arguments, needs(has_identity))
        };
        let synchronous = libc::MS_SYNC as u64;
        assert!(asked(libc::SYS_msync, [0, 0, synchronous, 0, 0, 0], false));
        assert!(!asked(libc::SYS_msync, [0, 0, 1, 0, 0, 0], false));
        assert!(asked(libc::SYS_sendto, [3, 0, 0, 0, 9, 110], false));
        assert!(!asked(libc::SYS_sendto, [3, 0, 0, 0, 0, 0], false));
        assert!(asked(libc::SYS_getuid, [0; 6], true));
        assert!(!asked(libc::SYS_getuid, [0; 6], false));
        assert!(asked(libc::SYS_stat, [0; 6], false));
        assert!(!asked(libc::SYS_read, [0; 6], false));
    }

    #[test]
    fn data_calls_are_native() {
        for number in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_close,
            libc::SYS_mmap,
            libc::SYS_clone,
            libc::SYS_futex,
        ] {
            assert_eq!(
                action(
                    number as u32,
                    FilterNeeds {
                        intercept_lseek: false,
                        has_identity: false,
                    }
                ),
                FilterAction::Allow
            );
        }
    }
}
