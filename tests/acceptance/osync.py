"""osync.py IMAGE POINT NAME: kills the supervisor of a view whose program has written with O_DSYNC or O_SYNC, and synchronized
nothing. Everything that it reported as written must be in the image, the length of the file as well. `osync.py write PATH
FLAG COUNT` is that program."""

import json
import os
import signal
import subprocess
import sys
import time

VIEW = os.environ.get("VIEW_BIN", "view")
COUNT = 60


def record(flag, number):
    return f"{flag} record {number:06}".encode().ljust(700, b".") + b"\n"


def write(path, flag, count):
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, flag), 0o600)
    for number in range(count):
        os.write(file, record(flag, number))
        print(number, flush=True)
    signal.pause()


def supervisor(name):
    listed = subprocess.run([VIEW, "ls", "--json"], capture_output=True, text=True, check=True)
    return next(view["supervisor_pid"] for view in json.loads(listed.stdout)["views"] if view["name"] == name)


def has(image, text):
    with open(image, "rb") as file:
        return text in file.read()


def killed(image, point, name, flag):
    path, script = f"{point}/{flag}", ["/usr/bin/python3", __file__]
    mount = ["-m", f"ext4:{image}:{point}:rw"]
    writer = subprocess.Popen(
        [VIEW, "run", "--name", name, *mount, "--", *script, "write", path, flag, str(COUNT)],
        stdout=subprocess.PIPE, text=True)
    reported = [int(writer.stdout.readline()) for _ in range(COUNT)]
    # The clock of the view brings the content into the image a second or two later, but not the file's length.
    start = time.monotonic()
    while not has(image, record(flag, reported[-1])) and time.monotonic() < start + 60:
        time.sleep(0.05)
    print(f"{flag}: {len(reported)} records reported, in the image {time.monotonic() - start:.1f} s later")
    time.sleep(1)
    os.kill(supervisor(name), signal.SIGKILL)
    writer.wait()
    found = subprocess.run([VIEW, "run", *mount, "--", "cat", path], capture_output=True, check=True).stdout
    assert found == b"".join(record(flag, number) for number in reported), f"{len(found)} bytes"
    print(f"{flag}: all there")


match sys.argv[1:]:
    case ["write", path, flag, count]:
        write(path, flag, int(count))
    case [image, point, name]:
        for flag in ["O_DSYNC", "O_SYNC"]:
            killed(image, point, f"{name}-{flag}", flag)
