"""usage: container-config.py OUT UID GID REFUSED DIRECTORY COMMAND... -- writes a runc config.json.

The process is an ordinary user without capabilities. The seccomp profile is the one that Debian's
golang-github-containers-common ships (podman's default), turned into the runtime's form for an empty capability set; what
Docker's also refuses (pidfd_getfd, unshare, mount ...) and the calls REFUSED (commas between) are refused with EPERM.
"""

import json
import os
import sys

PROFILE = "/usr/share/containers/seccomp.json"
ALSO_REFUSED = ["pidfd_getfd", "unshare", "setns", "mount", "umount", "umount2", "fsopen", "fsmount", "move_mount", "open_tree"]
EPERM = 1


def applies(entry):
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if includes.get("caps"):
        return False
    arches = includes.get("arches")
    return (not arches or "amd64" in arches) and "amd64" not in (excludes.get("arches") or [])


def seccomp(refused):
    with open(PROFILE, encoding="utf-8") as file:
        profile = json.load(file)
    rules = [{"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}]
    for entry in profile["syscalls"]:
        names = [name for name in entry["names"] if name not in refused]
        if not names or not applies(entry):
            continue
        rule = {"names": names, "action": entry["action"]}
        if entry.get("args"):
            rule["args"] = entry["args"]
        if "errnoRet" in entry:
            rule["errnoRet"] = entry["errnoRet"]
        rules.append(rule)
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", EPERM),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    }


def main():
    out, uid, gid, refused, directory, *command = sys.argv[1:]
    also = [] if refused == "-" else refused.split(",")
    private = ["nosuid", "noexec", "nodev"]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": int(uid), "gid": int(gid)},
            "args": command,
            "env": [f"{name}={os.environ[name]}" for name in ("VIEW_BIN", "FIXTURES", "WORK", "ACCEPTANCE", "CHECKOUT") if name in os.environ]
            + ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8", f"HOME={directory}/home", f"XDG_RUNTIME_DIR={directory}/run"],
            "cwd": directory,
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "noNewPrivileges": False,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "container",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": private + ["mode=1777", "size=64m"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": private},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": private + ["ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "seccomp": seccomp(ALSO_REFUSED + also),
        },
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)


if __name__ == "__main__":
    main()
