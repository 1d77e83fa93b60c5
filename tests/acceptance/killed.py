"""Kills supervisors: killed.py ROUNDS. The parts: `rounds` (outside), `write` (in the view, until it is killed),
`look` (in the next view). What the writer was promised goes to logs outside of the image, line by line:

    will NAME SEED SIZE    from now on NAME may be that content (size -1: be gone)
    is NAME SEED SIZE      it is, and was synced
    holds NAME SIZE        the file that is appended to holds so much, synced
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

VIEW = os.environ.get("VIEW_BIN", "view")
WORK = os.environ.get("WORK", ".")
TYPES = ["ext4", "ext3", "ext4", "ext2", "ext4-1k"]
PER_IMAGE = 10


def content(seed, size):
    return hashlib.shake_128(str(seed).encode()).digest(size) if size > 0 else b""


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def put(path, data, pieces, random):
    with open(path, "wb", buffering=0) as file:
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(pieces))
        for start, end in zip([0] + cuts, cuts + [len(data)]):
            file.write(data[start:end])
        os.fsync(file.fileno())


class Log:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)

    def say(self, *words):
        self.file.write(" ".join(map(str, words)) + "\n")


def files(top, say, random):
    """Files come, are synced, and a third of them go; in the end as many as come."""
    number = 0
    there = []
    while True:
        number += 1
        name, size = f"{top}/file-{number}", random.randrange(60000)
        say("will", name, number, size)
        put(name, content(number, size), random.randrange(3), random)
        sync(top)
        say("is", name, number, size)
        there.append(name)
        while there and (random.randrange(3) == 0 or len(there) > 200):
            gone = there.pop(random.randrange(len(there)))
            say("will", gone, 0, -1)
            os.unlink(gone)
            if random.randrange(2):
                sync(top)
                say("is", gone, 0, -1)


def saves(top, say, random):
    """The way editors save."""
    number = 0
    while True:
        number += 1
        name, size = f"{top}/saved-{number % 3}", random.randrange(20000)
        say("will", name, number, size)
        put(name + ".new", content(number, size), 1, random)
        os.rename(name + ".new", name)
        sync(top)
        say("is", name, number, size)


def appends(top, say, random):
    """Logs."""
    name, size = f"{top}/log", 0
    data = content(name, 1 << 22)
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.fsync(fd)
    sync(top)
    while size < 1 << 22:
        piece = random.randrange(1, 9000)
        os.write(fd, data[size:size + piece])
        size = min(size + piece, len(data))
        os.fdatasync(fd) if random.randrange(2) else os.fsync(fd)
        say("holds", name, size)


def trees(top, say, random):
    """Directories come and go, files are removed while they are open, nothing of it is synced."""
    number = 0
    while True:
        number += 1
        tree = f"{top}/tree-{number % 4}"
        shutil.rmtree(tree, ignore_errors=True)
        os.makedirs(f"{tree}/a/b/c")
        for index in range(random.randrange(40)):
            open(f"{tree}/a/name-of-some-length-{index}", "w").write("x" * random.randrange(5000))
            os.link(f"{tree}/a/name-of-some-length-{index}", f"{tree}/a/b/{index}")
        held = open(f"{tree}/held", "w+")
        os.unlink(f"{tree}/held")
        held.write("y" * 50000)
        held.flush()
        os.rename(f"{tree}/a/b", f"{tree}/b")
        held.truncate(100)
        held.close()


def write(point, round):
    top = f"{point}/round-{round}"
    os.mkdir(top)
    for old in range(round):
        shutil.rmtree(f"{point}/round-{old}", ignore_errors=True)
    for number, job in enumerate([files, saves, appends, trees]):
        place = f"{top}/{job.__name__}"
        os.mkdir(place)
        sync(top)
        sync(point)
        log = Log(f"{WORK}/log-{number}")
        choice = random.Random(round * 10 + number)
        threading.Thread(target=job, args=(place, log.say, choice)).start()
    print("writing", flush=True)


def read(name):
    try:
        with open(name, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def look():
    kept = 0
    for number in range(4):
        path = f"{WORK}/log-{number}"
        sure, maybe, holds = {}, {}, {}
        for line in open(path).read().split("\n")[:-1] if os.path.exists(path) else []:
            word, name, *numbers = line.split(" ")
            numbers = tuple(map(int, numbers))
            if word == "will":
                maybe.setdefault(name, []).append(numbers)
            elif word == "is":
                sure[name], maybe[name] = numbers, []
            else:
                holds[name] = numbers[0]
        for name in sure.keys() | maybe.keys():
            found = read(name)
            states = maybe.get(name, []) + [sure.get(name, (0, -1))]
            right = [None if size < 0 else content(seed, size) for seed, size in states]
            # A file on its way to its first sync may be there in part.
            is_new = name not in sure and number == 0
            assert found in right or is_new, f"{name}: {found and len(found)} bytes of {states}"
            kept += found is not None
        for name, size in holds.items():
            found = read(name)
            assert found is not None and len(found) >= size, f"{name}: not {size} bytes"
            assert found == content(name, len(found)) if len(found) <= 1 << 22 else False, name
            kept += 1
    print(kept, "kept")


def run(*words, **more):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, **more)


def supervisor(name):
    listed = json.loads(run(VIEW, "ls", "--json").stdout)
    return next(view["supervisor_pid"] for view in listed["views"] if view["name"] == name)


def one_round(round, choice):
    type = TYPES[round // PER_IMAGE % len(TYPES)]
    image, point = f"{WORK}/killed.img", f"{WORK}/mnt"
    if round % PER_IMAGE == 0:
        if os.path.exists(image):
            os.unlink(image)
        options = ["-b", "1024"] if type.endswith("1k") else []
        made = run("mke2fs", "-q", "-t", type[:4], *options, "-E", f"root_owner={os.getuid()}:{os.getgid()}", image, "64M")
        assert made.returncode == 0, made.stdout
    for number in range(4):
        if os.path.exists(f"{WORK}/log-{number}"):
            os.unlink(f"{WORK}/log-{number}")
    mount, name = ["-m", f"{type[:4]}:{image}:{point}"], f"killed-{round}"
    writable = [mount[0], mount[1] + ":rw"]
    script = ["/usr/bin/python3", __file__]
    front = subprocess.Popen(
        [VIEW, "run", "--name", name, *writable, "--", *script, "write", point, str(round)],
        stdout=subprocess.PIPE, stderr=open(f"{WORK}/front.err", "w"), text=True)
    victim = supervisor_when_there(name, front)
    # Half of the time from the first moment on, else once the threads write.
    if choice.randrange(2):
        front.stdout.readline()
    time.sleep(choice.random() ** 2 * 1.2)
    assert front.poll() is None, f"the view ended with {front.returncode}: {read_text('front.err')}"
    os.kill(victim, signal.SIGKILL)
    front.stdout.read()
    front.wait()
    text = ""
    if type == "ext2":
        repaired = run("e2fsck", "-fy", image)
        assert repaired.returncode < 4, repaired.stdout
    elif choice.randrange(2):
        replayed = run("e2fsck", "-fp", image)
        assert replayed.returncode < 4, replayed.stdout
    else:
        replayed = run(VIEW, "run", *writable, "--", "true")
        assert replayed.returncode == 0, replayed.stdout
        text = replayed.stdout
    clean = run("e2fsck", "-fn", image)
    assert clean.returncode == 0, text + clean.stdout
    looked = run(VIEW, "run", *mount, "--", *script, "look")
    assert looked.returncode == 0, looked.stdout
    return int(looked.stdout.split()[0])


def supervisor_when_there(name, front):
    start = time.monotonic()
    while front.poll() is None:
        assert time.monotonic() - start < 120, "the view does not show up in the list"
        try:
            return supervisor(name)
        except (StopIteration, ValueError):
            time.sleep(0.01)
    raise AssertionError(f"the view ended with {front.returncode}: {read_text('front.err')}")


def read_text(name):
    return open(f"{WORK}/{name}").read()


def rounds(count):
    os.makedirs(f"{WORK}/mnt", exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = WORK
    choice = random.Random(int(os.environ.get("VIEW_SEED", "1")))
    failed = kept = 0
    for round in range(count):
        try:
            kept += one_round(round, choice)
        except AssertionError as error:
            failed += 1
            print(f"round {round} ({TYPES[round // PER_IMAGE % len(TYPES)]}): {error}", flush=True)
            for name in ["killed.img", "log-0", "log-1", "log-2", "log-3"]:
                if os.path.exists(f"{WORK}/{name}"):
                    shutil.copy(f"{WORK}/{name}", f"{WORK}/failed-{failed}-{name}")
            if failed > 5:
                break
        if round % 25 == 24:
            print(f"{round + 1} killed, {kept} files kept", flush=True)
    print(f"killed {count} times, {failed} rounds failed, {kept} synced files found whole")


match sys.argv[1:]:
    case ["write", point, round]:
        write(point, int(round))
    case ["look"]:
        look()
    case [count]:
        rounds(int(count))
