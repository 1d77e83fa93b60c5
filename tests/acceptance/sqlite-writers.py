"""Two processes write one sqlite database at the same time, in each journal mode: no transaction is lost, none is half there.

usage: sqlite-writers.py DIRECTORY TRANSACTIONS [check]
`check` only looks at what an earlier run left.
"""

import multiprocessing
import os
import sqlite3
import sys

MODES = ("wal", "delete", "truncate", "persist")
WRITERS = 2


def connect(path):
    return sqlite3.connect(path, timeout=300, isolation_level=None)


def write(path, writer, transactions):
    database = connect(path)
    for number in range(transactions):
        database.execute("begin immediate")
        content = os.urandom(300 + number * 97 % 9000)
        database.execute("insert into entry values (?, ?, ?)", (writer, number, content))
        database.execute("update total set entries = entries + 1, bytes = bytes + ?", (len(content),))
        if number % 7 == 6:
            oldest = database.execute("select min(number), length(content) from entry where writer = ?", (writer,)).fetchone()
            database.execute("delete from entry where writer = ? and number = ?", (writer, oldest[0]))
            database.execute("update total set entries = entries - 1, bytes = bytes - ?", (oldest[1],))
        database.execute("rollback" if number % 5 == 4 else "commit")
    database.close()


def expected(transactions):
    entries = []
    for number in range(transactions):
        if number % 5 != 4:
            entries.append(number)
            if number % 7 == 6:
                entries.pop(0)
    return entries


def check(path, transactions):
    database = connect(path)
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    for writer in range(WRITERS):
        found = database.execute("select number from entry where writer = ? order by number", (writer,))
        found = [row[0] for row in found]
        assert found == expected(transactions), (path, writer, found)
    total = database.execute("select entries, bytes from total").fetchone()
    assert total == database.execute("select count(*), sum(length(content)) from entry").fetchone(), (path, total)
    database.close()


def fill(path, mode, transactions):
    database = connect(path)
    assert database.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
    database.execute("create table entry (writer integer, number integer, content blob)")
    database.execute("create index by_writer on entry (writer, number)")
    database.execute("create table total (entries integer, bytes integer)")
    database.execute("insert into total values (0, 0)")
    database.close()
    writers = [multiprocessing.Process(target=write, args=(path, n, transactions)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0, (mode, writer.exitcode)


def main():
    directory, transactions = sys.argv[1], int(sys.argv[2])
    for mode in MODES:
        path = os.path.join(directory, mode + ".db")
        if len(sys.argv) < 4:
            fill(path, mode, transactions)
        check(path, transactions)
        print(mode, "ok")


main()
