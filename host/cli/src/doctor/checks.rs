//! The checks, and what each failure means to the user.
//!
//! A check is a blocker only if no view can work without it; the remedy names the setting to change.

use rustix::io::Errno;
use view_core::control::{protocol::error_text, runtime};
use view_sys::probe::{self, NotifyReport};

use super::host::{self, Facts};
use super::{Check, Status};
use crate::message::io_text;

/// All checks, blockers where they stand in the order of need.
pub fn all(facts: &Facts, report: &NotifyReport) -> Vec<Check> {
    let mut checks = vec![no_new_privs(report), listener(facts, report)];
    // What comes after the first blocker was not reached, and says nothing.
    if report.listener.is_ok() {
        checks.extend([
            answer(report),
            memory(facts, report),
            trace(facts, report),
            add_descriptor(report),
            signals(report),
            wake_up(report),
            get_descriptor(report),
        ]);
    }
    checks.extend([execute(facts), scratch(), control(), landlock()]);
    if let Some(view) = &facts.view {
        checks.push(Check::new(
            "nesting",
            Status::Note,
            format!("inside the view {view}"),
        ));
    }
    if let Some((pid, name)) = &facts.tracer {
        let detail = format!("this process is traced by {name} (process {pid})");
        checks.push(Check::new("tracer", Status::Note, detail));
    }
    checks.push(Check::new(
        "io_uring",
        Status::Note,
        "refused with ENOSYS inside views (programs fall back)",
    ));
    checks
}

/// What an errno says, with its symbol.
fn refused(errno: Errno) -> String {
    if errno == Errno::CANCELED {
        return "not tried, since an earlier check failed".into();
    }
    format!("{} ({})", error_text(errno), symbol(errno))
}

/// The name of an errno, for those that checks meet.
pub fn symbol(errno: Errno) -> String {
    let known = [
        (Errno::PERM, "EPERM"),
        (Errno::ACCESS, "EACCES"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::INVAL, "EINVAL"),
        (Errno::BUSY, "EBUSY"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
        (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    ];
    match known.iter().find(|(number, _)| *number == errno) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("errno {}", errno.raw_os_error()),
    }
}

fn no_new_privs(report: &NotifyReport) -> Check {
    let name = "no_new_privs";
    match report.no_new_privs {
        Ok(()) => Check::new(
            name,
            Status::Ok,
            "can be set; set-user-ID programs gain nothing in a view",
        ),
        Err(errno) => Check::new(name, Status::Blocker, refused(errno))
            .remedy("allow prctl(PR_SET_NO_NEW_PRIVS) in the container's seccomp profile"),
    }
}

fn listener(facts: &Facts, report: &NotifyReport) -> Check {
    let name = "seccomp-notify";
    let Err(errno) = report.listener else {
        let kind = if report.wait_killable {
            "filter and listener"
        } else {
            "filter and listener, older kernel"
        };
        return Check::new(name, Status::Ok, kind);
    };
    match (errno, &facts.view) {
        (Errno::BUSY, Some(view)) => Check::new(
            name,
            Status::Ok,
            format!("taken by the view {view} around us; `view run` here nests in it"),
        ),
        (Errno::BUSY, None) => {
            Check::new(name, Status::Blocker, "another supervisor has the listener")
                .remedy("start view outside the sandbox or supervisor that runs this process")
        }
        (Errno::NOSYS | Errno::INVAL, _) => Check::new(
            name,
            Status::Blocker,
            format!("this kernel has none: {}", refused(errno)),
        )
        .remedy("a Linux kernel 5.9 or later is needed (gVisor has no seccomp listener)"),
        _ => Check::new(name, Status::Blocker, refused(errno))
            .remedy("allow seccomp(2) in the container's seccomp profile (docker's default does)"),
    }
}

fn answer(report: &NotifyReport) -> Check {
    let name = "answered call";
    match report.answer {
        Ok(()) => Check::new(name, Status::Ok, "a call was received and answered"),
        Err(errno) => Check::new(name, Status::Blocker, refused(errno))
            .remedy("please report this with the output of `view doctor --json`"),
    }
}

fn memory(facts: &Facts, report: &NotifyReport) -> Check {
    let name = "tracee memory";
    match report.read_memory.and(report.write_memory) {
        Ok(()) => Check::new(name, Status::Ok, "process_vm_readv and process_vm_writev"),
        Err(errno) => with_yama(
            Check::new(name, Status::Blocker, refused(errno)),
            facts,
            "allow process_vm_readv and process_vm_writev in the container's seccomp profile",
        ),
    }
}

fn trace(facts: &Facts, report: &NotifyReport) -> Check {
    let name = "trace children";
    let yama = match facts.yama {
        Some(scope) => format!("ptrace, yama {scope}"),
        None => "ptrace, no yama".into(),
    };
    match (report.trace, &facts.tracer) {
        (Ok(()), _) => Check::new(name, Status::Ok, yama),
        (Err(errno), Some((_, tracer))) => Check::new(
            name,
            Status::Blocker,
            format!("{}: {tracer} traces us", refused(errno)),
        )
        .remedy(format!(
            "start {tracer} inside the view: view run -- {tracer} ..."
        )),
        (Err(errno), None) => with_yama(
            Check::new(
                name,
                Status::Blocker,
                format!("{} ({yama})", refused(errno)),
            ),
            facts,
            "allow ptrace(2) in the container's seccomp profile",
        ),
    }
}

/// Names yama when it is the likely cause, else the given remedy.
fn with_yama(check: Check, facts: &Facts, otherwise: &str) -> Check {
    match facts.yama {
        Some(scope @ 2..) => check.remedy(format!(
            "this host forbids tracing (kernel.yama.ptrace_scope={scope}); ask for kernel.yama.ptrace_scope=1"
        )),
        _ => check.remedy(otherwise),
    }
}

fn add_descriptor(report: &NotifyReport) -> Check {
    let name = "add descriptors";
    match (report.add, report.add_send) {
        (Ok(()), Ok(())) => Check::new(name, Status::Ok, "in one step with the answer"),
        (Ok(()), Err(_)) => Check::new(
            name,
            Status::Note,
            "in two steps (one step needs kernel 5.14); an open that a signal interrupts may leak a descriptor",
        ),
        (Err(errno), _) => Check::new(name, Status::Blocker, refused(errno))
            .remedy("a Linux kernel 5.9 or later is needed"),
    }
}

fn signals(report: &NotifyReport) -> Check {
    let name = "signals";
    if report.wait_killable {
        Check::new(
            name,
            Status::Ok,
            "a received call is not interrupted half-way",
        )
    } else {
        Check::new(
            name,
            Status::Note,
            "a signal may interrupt a received call (kernel 5.19 has better)",
        )
    }
}

fn wake_up(report: &NotifyReport) -> Check {
    let name = "fast wake-up";
    if report.sync_wake_up {
        let detail = match probe::wake_up_cost() {
            Ok(cost) => format!(
                "a call costs {:.1} us with the supervisor woken on the tracee's CPU, {:.1} us elsewhere",
                cost.synchronous_ns as f64 / 1000.0,
                cost.plain_ns as f64 / 1000.0
            ),
            Err(_) => "the supervisor can be woken on the tracee's CPU".to_owned(),
        };
        Check::new(name, Status::Ok, detail)
    } else {
        Check::new(
            name,
            Status::Missing,
            "calls cost more on an idle machine (kernel 6.6 has it)",
        )
    }
}

fn get_descriptor(report: &NotifyReport) -> Check {
    let name = "pidfd_getfd";
    match report.get_descriptor {
        Ok(()) => Check::new(
            name,
            Status::Ok,
            "descriptors of tracees can be looked at directly",
        ),
        Err(errno) => Check::new(
            name,
            Status::Missing,
            format!("{}; /proc/PID/fd serves instead", refused(errno)),
        ),
    }
}

fn execute(facts: &Facts) -> Check {
    let name = "programs on mounts";
    match probe::execute_memfd() {
        Ok(()) => Check::new(name, Status::Ok, "executed from memory (memfd)"),
        Err(errno) => {
            let check = Check::new(
                name,
                Status::Missing,
                format!("cannot be executed: {}", refused(errno)),
            );
            match facts.memfd_noexec {
                Some(setting @ 1..) => check.remedy(format!(
                    "vm.memfd_noexec={setting} forbids it; ask for vm.memfd_noexec=0"
                )),
                _ => check,
            }
        }
    }
}

fn scratch() -> Check {
    let name = "scratch directory";
    match host::scratch() {
        None => Check::new(
            name,
            Status::Blocker,
            "neither /dev/shm, $TMPDIR nor /tmp can be written",
        )
        .remedy("point TMPDIR at a writable directory"),
        Some(found) => {
            let kind = if found.is_tmpfs { "tmpfs" } else { "not tmpfs" };
            let exec = if found.is_noexec { ", noexec" } else { "" };
            Check::new(
                name,
                Status::Ok,
                format!("{} ({kind}{exec})", found.path.display()),
            )
        }
    }
}

fn control() -> Check {
    let name = "control sockets";
    match runtime::directory() {
        Ok(path) => Check::new(name, Status::Ok, path.display().to_string()),
        Err(error) => Check::new(name, Status::Blocker, io_text(&error))
            .remedy("set XDG_RUNTIME_DIR to a directory of yours"),
    }
}

fn landlock() -> Check {
    let name = "landlock";
    match probe::landlock_abi() {
        Ok(version) => Check::new(
            name,
            Status::Note,
            format!("v{version} in this kernel (view does not use it yet)"),
        ),
        Err(_) => Check::new(
            name,
            Status::Note,
            "not in this kernel (view does not use it)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            kernel: "6.1.0".into(),
            machine: "x86_64".into(),
            container: "none".into(),
            user_namespaces: "allowed".into(),
            yama: Some(1),
            memfd_noexec: None,
            tracer: None,
            has_filter: false,
            view: None,
        }
    }

    fn all_works() -> NotifyReport {
        NotifyReport {
            no_new_privs: Ok(()),
            listener: Ok(()),
            answer: Ok(()),
            wait_killable: true,
            add: Ok(()),
            add_send: Ok(()),
            sync_wake_up: true,
            read_memory: Ok(()),
            write_memory: Ok(()),
            get_descriptor: Ok(()),
            trace: Ok(()),
            cost: None,
        }
    }

    #[test]
    fn yama_is_named_when_it_forbids_tracing() {
        let report = NotifyReport {
            trace: Err(Errno::PERM),
            ..all_works()
        };
        let check = trace(
            &Facts {
                yama: Some(3),
                ..facts()
            },
            &report,
        );
        assert_eq!(check.status, Status::Blocker);
        assert!(check.remedy.unwrap().contains("ptrace_scope=3"));
        // With scope 1 children may be traced, so the cause is elsewhere.
        let check = trace(&facts(), &report);
        assert!(check.remedy.unwrap().contains("seccomp profile"));
        let traced = Facts {
            tracer: Some((7, "strace".into())),
            ..facts()
        };
        assert!(
            trace(&traced, &report)
                .remedy
                .unwrap()
                .contains("view run -- strace")
        );
    }

    #[test]
    fn listener_taken_is_a_blocker_outside_a_view_only() {
        let report = NotifyReport {
            listener: Err(Errno::BUSY),
            ..all_works()
        };
        assert_eq!(listener(&facts(), &report).status, Status::Blocker);
        let inside = Facts {
            view: Some("v1".into()),
            ..facts()
        };
        assert_eq!(listener(&inside, &report).status, Status::Ok);
        let report = NotifyReport {
            listener: Err(Errno::NOSYS),
            ..all_works()
        };
        assert!(listener(&inside, &report).remedy.unwrap().contains("5.9"));
    }

    #[test]
    fn docker_refusing_pidfd_getfd_is_no_blocker() {
        let report = NotifyReport {
            get_descriptor: Err(Errno::PERM),
            ..all_works()
        };
        assert_eq!(get_descriptor(&report).status, Status::Missing);
        let report = NotifyReport {
            read_memory: Err(Errno::PERM),
            ..all_works()
        };
        assert_eq!(memory(&facts(), &report).status, Status::Blocker);
    }

    #[test]
    fn older_kernels_degrade() {
        let report = NotifyReport {
            wait_killable: false,
            sync_wake_up: false,
            add_send: Err(Errno::INVAL),
            ..all_works()
        };
        assert_eq!(add_descriptor(&report).status, Status::Note);
        assert_eq!(signals(&report).status, Status::Note);
        assert_eq!(wake_up(&report).status, Status::Missing);
    }
}
