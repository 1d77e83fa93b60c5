"""errors.py DIRECTORY: who hears from fsync(2) that a filesystem was full when what was written went to it, once there is
room again. As on Linux (errseq_t) that is each open file description once, however many descriptors it has."""

import errno
import os
import sys

os.chdir(sys.argv[1])
os.mkdir("room")
size = os.statvfs(".").f_bavail * os.statvfs(".").f_frsize


def fill(name, part):
    fd = os.open(f"room/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(int(size * part) >> 16):
            os.write(fd, os.urandom(1 << 16))
        os.fsync(fd)
    finally:
        os.close(fd)


def answer(fd):
    try:
        os.fsync(fd)
        return "0"
    except OSError as error:
        return errno.errorcode[error.errno]


def in_child(fd):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, answer(fd).encode())
        os._exit(0)
    os.close(write)
    text = os.read(read, 20).decode()
    os.close(read)
    os.waitpid(child, 0)
    return text


fill("most", 0.8)
first = os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
second = os.dup(first)
third = os.open("file", os.O_RDWR)
fourth = os.open("file", os.O_WRONLY | os.O_APPEND)
for _ in range(int(size * 0.5) >> 16):
    os.write(first, os.urandom(1 << 16))
print("first:", answer(first))
os.unlink("room/most")
print("its duplicate, there is room:", answer(second))
print("in a child:", in_child(first))
print("another, in a child:", in_child(third))
print("the same, here:", answer(third))
fifth = os.dup(fourth)
os.close(fourth)
print("a third, duplicated:", answer(fifth))
sixth = os.dup(fifth)
print("once more:", answer(sixth))
os.close(fifth)
print("and when the older one is closed:", answer(sixth))
late = os.open("file", os.O_RDWR)
print("opened late:", answer(late))
