"""usage: sqlite.py DATABASE MODE ROWS -- two processes insert ROWS rows each, every row in a transaction of its own.

MODE is a journal mode of SQLite. Each transaction first counts what the writer has committed so far; each tenth one is rolled
back and made again.
"""

import os
import sqlite3
import sys


def connect(path):
    connection = sqlite3.connect(path, timeout=120, isolation_level=None)
    connection.execute("pragma synchronous=full")
    return connection


def write(path, writer, rows):
    connection = connect(path)
    for i in range(rows):
        connection.execute("begin immediate")
        (count,) = connection.execute("select count(*) from t where writer=?", (writer,)).fetchone()
        assert count == i, f"writer {writer}: {count} rows of {i}"
        connection.execute("insert into t values(?,?,?)", (writer, i, "x" * (i * 37 % 3000)))
        if i % 10 == 9:
            connection.execute("rollback")
            connection.execute("begin immediate")
            connection.execute("insert into t values(?,?,?)", (writer, i, "again"))
        connection.execute("commit")
    connection.close()


def main():
    path, mode, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    connection = connect(path)
    (got,) = connection.execute(f"pragma journal_mode={mode}").fetchone()
    assert got == mode, got
    connection.execute("create table t(writer, i, text, primary key(writer, i))")
    connection.close()
    writers = []
    for writer in range(2):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                write(path, writer, rows)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        writers.append(pid)
    for pid in writers:
        _, status = os.waitpid(pid, 0)
        assert status == 0, f"a writer ended with status {status:#x}"
    connection = connect(path)
    assert connection.execute("select count(*), count(distinct writer) from t").fetchone() == (2 * rows, 2)
    assert connection.execute("pragma integrity_check").fetchone()[0] == "ok"
    print(f"{mode}: {2 * rows} rows")


if __name__ == "__main__":
    main()
