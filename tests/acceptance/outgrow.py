"""Files that grow while they are written: usage: outgrow.py DIRECTORY [MIB]

Each case writes MIB MiB (default 12) in a way of its own, with a pause in the middle in which a view with a small cache
moves the file out of memory, and then looks whether everything that the file and its descriptors were is still so.
Says nothing that differs between Linux and a view.
"""

import ctypes
import fcntl
import mmap
import os
import select
import struct
import sys
import threading
import time

MIB = int(sys.argv[2]) if len(sys.argv) > 2 else 12
TOTAL = MIB << 20
BLOCK = 4096
COUNT = TOTAL // BLOCK
FILLER = bytes(range(1, 256)) * 17
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])


def block(number):
    return struct.pack("<q", number) + FILLER[: BLOCK - 8]


def pause(number):
    if number == COUNT // 2:
        time.sleep(0.6)


def check(name, good):
    print(f"{name}: {'right' if good else 'WRONG'}")


def is_whole(path, order=None):
    numbers = range(COUNT) if order is None else order
    with open(path, "rb") as file:
        good = all(file.read(BLOCK) == block(number) for number in numbers)
        return good and file.read() == b""


def one_writer():
    with open("plain", "wb", buffering=0) as file:
        for number in range(COUNT):
            file.write(block(number))
            pause(number)
        check("position", file.tell() == TOTAL and os.fstat(file.fileno()).st_size == TOTAL)
    check("one writer", is_whole("plain"))


def shared_offset():
    file = os.open("shared", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    again = os.dup(file)
    os.set_inheritable(again, True)
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()
    child = os.fork()
    if child == 0:
        for number in range(1, COUNT, 2):
            os.read(to_child, 1)
            os.write(again, block(number))
            os.write(from_child, b"x")
        os._exit(0)
    for number in range(0, COUNT, 2):
        os.write(file, block(number))
        pause(number + COUNT // 2 % 2)
        os.write(from_parent, b"x")
        os.read(to_parent, 1)
    os.waitpid(child, 0)
    kept = not os.get_inheritable(file) and os.get_inheritable(again)
    check("close-on-exec", kept)
    check("one position for both", os.lseek(file, 0, os.SEEK_CUR) == os.lseek(again, 0, os.SEEK_CUR) == TOTAL)
    os.lseek(again, 5, os.SEEK_SET)
    check("and still one", os.lseek(file, 0, os.SEEK_CUR) == 5)
    os.close(file)
    os.close(again)
    check("two processes, one description", is_whole("shared"))


def appenders():
    children = []
    open("appended", "wb").close()
    for part in range(2):
        child = os.fork()
        if child == 0:
            file = os.open("appended", os.O_WRONLY | os.O_APPEND)
            for number in range(part, COUNT, 2):
                os.write(file, block(number))
                pause(number - part)
            flags = fcntl.fcntl(file, fcntl.F_GETFL)
            os._exit(0 if flags & os.O_APPEND and flags & os.O_ACCMODE == os.O_WRONLY else 1)
        children.append(child)
    good = all(os.waitpid(child, 0)[1] == 0 for child in children)
    check("flags", good)
    with open("appended", "rb") as file:
        numbers = []
        while piece := file.read(BLOCK):
            numbers.append(struct.unpack("<q", piece[:8])[0])
            good &= piece == block(numbers[-1])
    check("two appenders", good and sorted(numbers) == list(range(COUNT)))


def threads():
    file = os.open("threads", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    reader = os.open("threads", os.O_RDONLY)
    wake, waker = os.pipe()
    waiting = select.epoll()
    waiting.register(wake, select.EPOLLIN)
    interrupted = []

    def wait():
        event = ctypes.create_string_buffer(12)
        interrupted.append(libc.epoll_wait(waiting.fileno(), event, 1, -1) != 1)

    def write(part):
        for number in range(part, COUNT, 4):
            os.pwrite(file, block(number), number * BLOCK)
            pause(number - part)

    pipe_out, pipe_in = os.pipe()
    large = bytes(1 << 20)
    written = []
    everything = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    everything.append(threading.Thread(target=wait))
    everything.append(threading.Thread(target=lambda: written.append(libc.write(pipe_in, large, len(large)))))
    for thread in everything:
        thread.start()
    for thread in everything[:4]:
        thread.join()
    os.write(waker, b"x")
    left = len(large)
    while left:
        left -= len(os.read(pipe_out, left))
    for thread in everything:
        thread.join()
    check("epoll_wait was not interrupted", interrupted == [False])
    check("a write to a pipe was not cut short", written == [len(large)])
    check("the reader's position", os.lseek(reader, 0, os.SEEK_CUR) == 0)
    good = all(os.read(reader, BLOCK) == block(number) for number in range(COUNT))
    os.close(file)
    os.close(reader)
    check("threads, and a reader from before", good and is_whole("threads"))


def mapped():
    file = os.open("mapped", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    os.ftruncate(file, BLOCK)
    with mmap.mmap(file, BLOCK) as memory:
        for number in range(COUNT):
            os.pwrite(file, block(number), number * BLOCK)
            pause(number)
        good = memory[:BLOCK] == block(0)
        memory[8:BLOCK] = block(1)[8:]
        good &= os.pread(file, BLOCK, 0) == block(0)
        memory[:8] = block(7)[:8]
        good &= os.pread(file, BLOCK, 0) == block(7)
        memory[:8] = block(0)[:8]
    os.close(file)
    check("mapped", good and is_whole("mapped"))


def locked():
    file = os.open("locked", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    fcntl.lockf(file, fcntl.LOCK_EX)
    for number in range(COUNT):
        os.write(file, block(number))
        pause(number)
    child = os.fork()
    if child == 0:
        other = os.open("locked", os.O_RDWR)
        try:
            fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os._exit(0)
        os._exit(1)
    check("the lock holds", os.waitpid(child, 0)[1] == 0)
    os.close(file)
    check("locked", is_whole("locked"))


for case in (one_writer, shared_offset, appenders, threads, mapped, locked):
    case()
