"""Writers on a filesystem that becomes full: usage: full.py DIRECTORY [again]

DIRECTORY is the empty root of a small filesystem. Each case writes until it is told ENOSPC, in a way of its own, looks whether
everything that was accepted is there and whether nothing else was, and makes room again. Says nothing that differs
between Linux and a view. With `again` it only looks at what was left there.
"""

import array
import errno
import mmap
import os
import socket
import sys
import threading
import time

os.chdir(sys.argv[1])
BLOCK = bytes(range(1, 252)) * 523  # 131273 bytes, no block of which equals another


def check(name, good):
    print(f"{name}: {'right' if good else 'WRONG'}", flush=True)


def available():
    figures = os.statvfs(".")
    return figures.f_bavail * figures.f_frsize


WHOLE = available()


def pattern(start, count):
    first = start % len(BLOCK)
    return (BLOCK * (count // len(BLOCK) + 2))[first : first + count]


def fill(write, size=65536, start=0):
    """Writes with `write(bytes, place)` until there is an error; answers the bytes written and the error."""
    done = start
    while True:
        try:
            count = write(pattern(done, size), done)
        except OSError as error:
            return done, error.errno
        if count <= 0:
            return done, 0
        done += count


def holds(path, size):
    with open(path, "rb") as file:
        done = 0
        while part := file.read(1 << 20):
            if part != pattern(done, len(part)):
                return False
            done += len(part)
    return done == size


def close_to_whole(size, part=1):
    """Within a thirtieth of all there is, which is what it takes to say where data lies, and not more than there is."""
    return WHOLE * 29 // 30 - 65536 <= size * part <= WHOLE


def comes_back(part=0.9):
    """Linux may also be a moment late."""
    for _ in range(1000):
        if available() > WHOLE * part:
            return True
        time.sleep(0.01)
    return False


def ends_full(name, path, size, error, clean=True):
    check(f"{name}: ENOSPC", error == errno.ENOSPC)
    check(f"{name}: when it is full", close_to_whole(size))
    check(f"{name}: what was accepted is there", os.stat(path).st_size == size and holds(path, size))
    if clean:
        os.unlink(path)
        check(f"{name}: the space comes back", comes_back())


def plain():
    file = os.open("plain", os.O_WRONLY | os.O_CREAT)
    size, error = fill(lambda data, _: os.write(file, data), 1 << 20)
    check("write: again", fill(lambda data, _: os.write(file, data)) == (0, errno.ENOSPC))
    check("write: position", os.lseek(file, 0, os.SEEK_CUR) == size)
    os.pwrite(file, pattern(1000, 70000), 1000)
    os.fsync(file)
    check("write: size", os.fstat(file).st_size == size)
    os.close(file)
    ends_full("write", "plain", size, error)


def append():
    file = os.open("append", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    other = os.open("append", os.O_WRONLY | os.O_APPEND)
    both = [file, other]
    size, error = fill(lambda data, place: os.write(both[place // 40000 % 2], data), 40000)
    check("append: reads go on", os.pread(file, 5000, 100) == pattern(100, 5000))
    os.fsync(file)
    os.ftruncate(file, size // 2)
    check("append: after a cut", os.write(other, pattern(size // 2, 5000)) == 5000)
    again, error_again = fill(lambda data, _: os.write(file, data), 40000, size // 2 + 5000)
    check("append: to the same end", error_again == errno.ENOSPC and abs(again - size) <= 65536)
    os.fsync(other)
    os.close(file)
    os.close(other)
    ends_full("append", "append", again, error)


def places():
    file = os.open("places", os.O_RDWR | os.O_CREAT)
    size, error = fill(lambda data, place: os.pwrite(file, data, place), 100000)
    try:
        os.pwrite(file, b"x" * 4096, size + (1 << 20))
        check("pwrite: behind a hole", False)
    except OSError as found:
        check("pwrite: behind a hole", found.errno == errno.ENOSPC)
    with mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        mapped[10:20] = pattern(10, 10)
    os.close(file)
    ends_full("pwrite", "places", size, error)


def vectors():
    file = os.open("vectors", os.O_WRONLY | os.O_CREAT)

    def write(data, place):
        parts = [b"", data[:10], data[10:30000], data[30000:]]
        return os.writev(file, parts) if place % 3 else os.pwritev(file, parts, place) and (
            os.lseek(file, os.fstat(file).st_size, os.SEEK_SET) - place
        )

    size, error = fill(write)
    os.close(file)
    ends_full("writev", "vectors", size, error)


def copies():
    source = os.memfd_create("source")
    os.write(source, BLOCK)
    for name, call in [
        ("sendfile", lambda out, count: os.sendfile(out, source, place % len(BLOCK), count)),
        ("splice", lambda out, count: through_pipe(source, out, place % len(BLOCK), count)),
    ]:
        place = 0
        out = os.open(name, os.O_WRONLY | os.O_CREAT)
        error = 0
        while not error:
            try:
                place += call(out, min(60000, len(BLOCK) - place % len(BLOCK)))
            except OSError as found:
                error = found.errno
        os.close(out)
        ends_full(name, name, place, error)


def through_pipe(source, out, place, count):
    read, write = os.pipe()
    try:
        count = os.splice(source, write, count, offset_src=place)
        done = 0
        while done < count:
            try:
                done += os.splice(read, out, count - done)
            except OSError:
                if done == 0:
                    raise
                break
        return done
    finally:
        os.close(read)
        os.close(write)


def file_range():
    size = WHOLE * 2 // 5
    file = os.open("from", os.O_RDWR | os.O_CREAT)
    for place in range(0, size, 1 << 20):
        os.pwrite(file, pattern(place, min(1 << 20, size - place)), place)
    sizes = []
    for name in ["to1", "to2"]:
        out = os.open(name, os.O_WRONLY | os.O_CREAT)
        done, error = 0, 0
        while done < size and not error:
            try:
                done += os.copy_file_range(file, out, size - done, done)
            except OSError as found:
                error = found.errno
        sizes.append((done, error))
        os.close(out)
    check("copy_file_range: first", sizes[0] == (size, 0) and holds("to1", size))
    done, error = sizes[1]
    check("copy_file_range: ENOSPC", error == errno.ENOSPC and holds("to2", done))
    check("copy_file_range: when it is full", close_to_whole(2 * size + done))
    os.close(file)
    for name in ["from", "to1", "to2"]:
        os.unlink(name)


def child(work):
    process = os.fork()
    if process == 0:
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)
    return process


def status(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def two():
    def work(name):
        file = os.open(name, os.O_WRONLY | os.O_CREAT)
        size, error = fill(lambda data, _: os.write(file, data), 8192)
        os.fsync(file)
        good = error == errno.ENOSPC and holds(name, size) and os.fstat(file).st_size == size
        return 0 if good else 2

    writers = [child(lambda name=name: work(name)) for name in ["two-a", "two-b"]]
    check("two at once: ENOSPC", [status(writer) for writer in writers] == [0, 0])
    check("two at once: when it is full", close_to_whole(sum(os.stat(name).st_size for name in ["two-a", "two-b"])))
    # The one's end is room for the other.
    os.unlink("two-a")
    file = os.open("two-b", os.O_WRONLY | os.O_APPEND)
    size, error = fill(lambda data, _: os.write(file, data), 8192, os.fstat(file).st_size)
    os.close(file)
    ends_full("two at once: the other one", "two-b", size, error)


def handed_on():
    """Descriptors that were there before it became full: inherited, and sent through a socket."""
    mine = os.open("mine", os.O_WRONLY | os.O_CREAT)
    theirs = os.open("theirs", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def work():
        here.close()
        _, ancillary, _, _ = there.recvmsg(1, socket.CMSG_SPACE(4))
        received = array.array("i", ancillary[0][2][:4])[0]
        there.sendall(b"got")
        there.recv(1)  # full now
        try:
            os.write(received, BLOCK)
            return 3
        except OSError as error:
            if error.errno != errno.ENOSPC:
                return 4
        there.sendall(b"x")
        there.recv(1)  # room again
        return 0 if os.write(received, BLOCK) == len(BLOCK) else 5

    process = child(work)
    there.close()
    here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs]))])
    here.recv(3)
    copy = os.dup(mine)
    size, error = fill(lambda data, place: os.write([mine, copy][place // 65536 % 2], data))
    check("handed on: position", os.lseek(copy, 0, os.SEEK_CUR) == size)
    here.sendall(b"x")
    here.recv(1)
    os.ftruncate(mine, size - (1 << 20))
    here.sendall(b"x")
    check("handed on: the child", status(process) == 0)
    check("handed on: what the child wrote", holds("theirs", len(BLOCK)))
    os.unlink("theirs")
    size = size - (1 << 20)
    os.lseek(mine, size, os.SEEK_SET)
    size, error = fill(lambda data, _: os.write(copy, data), 65536, size)
    os.close(mine)
    os.close(copy)
    ends_full("handed on", "mine", size, error)


def threads():
    """One thread fills the filesystem while others wait and read."""
    file = os.open("threads", os.O_RDWR | os.O_CREAT)
    end = threading.Event()
    read, write = os.pipe()
    result = []
    waiting = threading.Thread(target=lambda: result.append(os.read(read, 1)))
    sleeping = threading.Thread(target=lambda: result.append(end.wait()))
    writing = threading.Thread(target=lambda: result.append(fill(lambda data, _: os.write(file, data))))
    for thread in [waiting, sleeping, writing]:
        thread.start()
    writing.join()
    size, error = result.pop(0)
    check("threads: nobody else was disturbed", result == [])
    os.write(write, b"x")
    end.set()
    waiting.join()
    sleeping.join()
    check("threads: they go on", sorted(map(str, result)) == ["True", "b'x'"])
    os.close(file)
    ends_full("threads", "threads", size, error)


def many():
    """Small files, each opened, written and closed, as tar does."""
    kept, number, error = [], 0, 0
    while not error:
        name = f"many-{number}"
        try:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError as found:
            error = found.errno
            break
        try:
            size = 3000 + number % 7 * 9000
            done = 0
            while done < size:
                done += os.write(file, pattern(done, size - done))
            kept.append((name, size))
        except OSError as found:
            error = found.errno
        os.close(file)
        number += 1
    check("many files: ENOSPC", error == errno.ENOSPC)
    check("many files: when it is full", sum(size for _, size in kept) > WHOLE // 2)
    check("many files: those that were accepted", all(holds(name, size) for name, size in kept))
    for index in range(number):
        if index % 2 or index >= len(kept):
            os.unlink(f"many-{index}")
    check("many files: room again", holds_new("new"))
    for name in os.listdir("."):
        if name.startswith("many-"):
            os.unlink(name)
    os.unlink("new")


def holds_new(name):
    with open(name, "wb") as file:
        file.write(pattern(0, 300000))
        file.flush()
        os.fsync(file.fileno())
    return holds(name, 300000)


def reserved():
    """What fallocate(2) has given may be written to when nothing else may."""
    file = os.open("reserved", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, 2 << 20)
    filler = os.open("filler", os.O_WRONLY | os.O_CREAT)
    size, error = fill(lambda data, _: os.write(filler, data))
    check("reserved: the rest is full", error == errno.ENOSPC and close_to_whole(size + (2 << 20)))
    done = sum(os.pwrite(file, pattern(place, 65536), place) for place in range(0, 2 << 20, 65536))
    check("reserved: is there", done == 2 << 20 and holds("reserved", done))
    os.close(file)
    os.unlink("reserved")
    os.unlink("filler")
    size, error = fill(lambda data, place: os.write(filler, data), 65536, size)
    check("reserved: an unlinked file grows", size > 0)
    os.close(filler)


def nameless():
    """What a file without a name takes is taken, whether it is written or reserved."""
    file = os.open("nameless", os.O_RDWR | os.O_CREAT)
    part = WHOLE // 4 // 65536 * 65536
    check("counted: all that was given back", comes_back(0.98))
    before = available()
    for place in range(0, part, 65536):
        os.pwrite(file, pattern(place, 65536), place)
    taken = before - available()
    check("counted: what was just written", part <= taken <= part * 31 // 30 + 65536)
    os.unlink("nameless")
    check("counted: without a name", before - available() >= part)
    os.posix_fallocate(file, 0, 3 * part)
    check("counted: what was reserved", 3 * part <= before - available() <= 3 * part * 31 // 30 + 65536)
    other = os.open("nameless", os.O_RDWR | os.O_CREAT)
    os.unlink("nameless")
    try:
        os.posix_fallocate(other, 0, 2 * part)
        check("nameless: ENOSPC", False)
    except OSError as error:
        check("nameless: ENOSPC", error.errno == errno.ENOSPC)
    os.ftruncate(other, 0)
    check("nameless: the rest is there", holds_new("new"))
    os.pwrite(file, pattern(part, part), part)
    check("nameless: its bytes", os.pread(file, 2 * part, 0) == pattern(0, 2 * part))
    check("nameless: its size", os.fstat(file).st_size == 3 * part and os.pread(file, 9, 3 * part - 9) == bytes(9))
    os.close(file)
    os.close(other)
    os.unlink("new")
    check("nameless: the space comes back", comes_back())


def left():
    """What stays: filled by one writer, cut by another, with content that the next view can look at."""
    file = os.open("left", os.O_WRONLY | os.O_CREAT)
    size, _ = fill(lambda data, _: os.write(file, data))
    os.truncate("left", size // 3)
    os.lseek(file, 0, os.SEEK_END)
    count = os.write(file, pattern(size // 3, 100000))
    os.fsync(file)
    check("left: written", count == 100000 and holds("left", size // 3 + 100000))
    os.close(file)


if sys.argv[2:] == ["again"]:
    sys.exit(0 if os.listdir(".").count("left") and holds("left", os.stat("left").st_size) else 1)
for case in [plain, append, places, vectors, copies, file_range, two, handed_on, threads, many, reserved, nameless, left]:
    case()
