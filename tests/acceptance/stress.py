"""usage: stress.py MOUNT TMPFS HOST PROCESSES SECONDS -- run inside a view.

Each process walks, reads and checks files of the mount, makes and removes its own files on the tmpfs and on the host,
runs programs. The parent prints the supervisor's use of descriptors, threads and memory after a warm-up and at the end.
"""

import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time


def supervisor():
    """The pid of this view's supervisor."""
    listing = subprocess.run([os.environ["VIEW_BIN"], "ls", "--json"], capture_output=True, check=True).stdout
    views = json.loads(listing)["views"]
    return next(view["supervisor_pid"] for view in views if view["name"] == os.environ["VIEW"])


def usage(phase, pid):
    fds = len(os.listdir(f"/proc/{pid}/fd"))
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    print("usage", phase, fds, fields["Threads"].strip(), fields["VmRSS"].split()[0], flush=True)


def one_round(number, step, mount, tmpfs, host, files, sums):
    draw = random.Random(number * 1_000_003 + step)
    for _ in range(20):
        name = draw.choice(files)
        with open(name, "rb") as file:
            data = file.read()
        if hashlib.md5(data).digest() != sums[name]:
            raise ValueError(f"{name}: wrong data")
        assert os.stat(name).st_size == len(data)
    for top in (tmpfs, host):
        mine = f"{top}/p{number}-{step}"
        os.mkdir(mine)
        with open(mine + "/a", "w+b") as file:
            file.write(data)
            file.seek(0)
            assert file.read() == data
        os.rename(mine + "/a", mine + "/b")
        os.symlink("b", mine + "/l")
        assert os.listdir(mine + "/.") and os.path.getsize(mine + "/l") == len(data)
        os.unlink(mine + "/b")
        os.unlink(mine + "/l")
        os.rmdir(mine)
    assert len(os.listdir(mount + "/names")) > 20
    if step % 8 == number % 8:
        assert subprocess.run([mount + "/work/bin/true"], check=False).returncode == 0
        out = subprocess.run(["cat", mount + "/links/first"], capture_output=True, check=True).stdout
        assert out == b"one inode, many names\n"


def process(number, deadline, results, arguments):
    rounds = failures = 0
    while time.monotonic() < deadline:
        try:
            one_round(number, rounds, *arguments)
        except Exception as error:  # every failure counts, whatever it is
            failures += 1
            if failures < 3:
                print(f"process {number}, round {rounds}: {error!r}", flush=True)
        rounds += 1
    results.put((rounds, failures))


def crowd(count, seconds, arguments):
    results = multiprocessing.SimpleQueue()
    deadline = time.monotonic() + seconds
    processes = [multiprocessing.Process(target=process, args=(n, deadline, results, arguments)) for n in range(count)]
    for one in processes:
        one.start()
    totals = [results.get() for _ in processes]
    bad_ends = 0
    for one in processes:
        one.join()
        bad_ends += one.exitcode != 0
    return sum(r for r, _ in totals), sum(f for _, f in totals) + bad_ends


def main():
    mount, tmpfs, host, count, seconds = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
    files, sums = [], {}
    for top, _, names in os.walk(mount + "/files/d00"):
        files += [os.path.join(top, name) for name in names]
    for name in files:
        with open(name, "rb") as file:
            sums[name] = hashlib.md5(file.read()).digest()
    arguments = (mount, tmpfs, host, files, sums)
    pid = supervisor()
    warm = crowd(count, max(2, seconds / 5), arguments)
    time.sleep(1)
    usage("warm", pid)
    rounds, failures = crowd(count, seconds, arguments)
    time.sleep(1)
    usage("end", pid)
    print(f"{warm[0] + rounds} rounds, {warm[1] + failures} failures")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
