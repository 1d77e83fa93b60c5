#!/bin/sh
# Images mounted with -o rw: ordinary programs write them, e2fsck finds them clean, the next view reads what was
# written, and what was synced survives a supervisor that is killed.
. "$(dirname "$0")/lib.sh"

point=$WORK/mnt
source=$FIXTURES/tree/files/d00
mkdir -p "$point"

cat >"$WORK/programs.sh" <<'END2'
set -e
cd "$1"
cp -a "$2" copy
diff -r "$2" copy
tar -cf copy.tar copy
mkdir again && tar -xf copy.tar -C again
diff -r copy again/copy
git init -q r && cd r
for i in 1 2 3; do
	seq 1000 >"f$i"
	git add . && git -c user.email=a@b -c user.name=n commit -qm "c$i"
done
git gc -q && git fsck --no-progress && git log --oneline | wc -l
cd ..
git clone -q r r2 && git -C r2 status --short
sqlite3 data.db 'pragma journal_mode=wal; create table t(a); insert into t values(1),(2); select sum(a) from t;'
sqlite3 data.db 'pragma journal_mode=delete; insert into t values(3); select sum(a) from t; pragma integrity_check;'
ln copy.tar hard && mv copy.tar moved && ln -s moved link && cmp hard link
dd if=/dev/zero of=sparse bs=1 count=1 seek=20M 2>/dev/null && truncate -s 1M sparse
for i in $(seq 300); do : >"again/entry-with-a-rather-long-name-$i"; done
rm -rf again
for i in $(seq 50); do echo "line $i" >>log; done
sync -f log
printf 'int main(void){return 5;}' >p.c && gcc -o p p.c && { ./p || echo "returned $?"; }
ls | sort
END2

for type in ext2 ext3 ext4; do
	image=$WORK/$type.img
	check "$type: mke2fs" mke2fs -q -t "$type" -E "root_owner=$(id -u):$(id -g)" "$image" 96M
	"$VIEW_BIN" run -m "$type:$image:$point:rw" -- sh "$WORK/programs.sh" "$point" "$source" >"$WORK/$type.out" 2>&1
	check "$type: programs end well" [ $? = 0 ]
	says "$type: the compiled program ran" '^returned 5$' "$WORK/$type.out"
	clean "$type" "$image"
	"$VIEW_BIN" run -m "$type:$image:$point" -- sh -c 'cd "$1" && diff -r "$2" copy && git -C r fsck --no-progress && sqlite3 data.db "select sum(a) from t" && tail -n 1 log && sha256sum moved hard && stat -c %s sparse' - "$point" "$source" >"$WORK/$type.again" 2>&1
	check "$type: the next view reads it" [ $? = 0 ]
	says "$type: the database" '^6$' "$WORK/$type.again"
	says "$type: the log" '^line 50$' "$WORK/$type.again"
done

# A full filesystem: an error in time, nothing damaged, the space comes back.
image=$WORK/full.img
mke2fs -q -t ext4 -m 0 -E "root_owner=$(id -u):$(id -g)" "$image" 8M >/dev/null
"$VIEW_BIN" run -m "ext4:$image:$point:rw" -- sh -c 'cd "$1"; dd if=/dev/urandom of=big bs=64k count=400 conv=fsync; echo "dd: $?"; rm -f big; dd if=/dev/urandom of=small bs=64k count=10 conv=fsync && echo fits' - "$point" >"$WORK/full.out" 2>&1
says "full: dd with fsync says so" 'No space left' "$WORK/full.out"
says "full: the space comes back" '^fits$' "$WORK/full.out"
clean full "$image"

# Who is told of it: each open file description once.
image=$WORK/errors.img
mke2fs -q -t ext4 -m 0 -E "root_owner=$(id -u):$(id -g)" "$image" 16M >/dev/null
"$VIEW_BIN" run -m "ext4:$image:$point:rw" -- /usr/bin/python3 "$ACCEPTANCE/errors.py" "$point" >"$WORK/errors.out" 2>&1
check "errors: the view ends well, for all is written" [ $? = 0 ]
cat >"$WORK/errors.expected" <<'END2'
first: ENOSPC
its duplicate, there is room: 0
in a child: 0
another, in a child: ENOSPC
the same, here: 0
a third, duplicated: ENOSPC
once more: 0
and when the older one is closed: 0
opened late: 0
END2
same "errors: each open file description is told once" "$WORK/errors.expected" "$WORK/errors.out"
clean errors "$image"

# Files that outgrow a small cache while they are written, and so get another backing file: as on Linux.
mib=12
[ "$VIEW_FULL" = 1 ] && mib=64
image=$WORK/grown.img
mke2fs -q -t ext4 -E "root_owner=$(id -u):$(id -g)" "$image" 768M >/dev/null
mkdir "$WORK/native"
/usr/bin/python3 "$ACCEPTANCE/outgrow.py" "$WORK/native" $mib >"$WORK/grown.native" 2>&1
check "grown: natively" [ $? = 0 ]
check "grown: natively all is right" sh -c '! grep -v "right$" "$1"' - "$WORK/grown.native"
rm -rf "$WORK/native"
"$VIEW_BIN" run --log-level debug --cache-size 16M -m "ext4:$image:$point:rw" -- /usr/bin/python3 "$ACCEPTANCE/outgrow.py" "$point" $mib >"$WORK/grown.out" 2>"$WORK/grown.err"
check "grown: in a view" [ $? = 0 ]
same "grown: in a view as natively" "$WORK/grown.native" "$WORK/grown.out"
says "grown: files were moved" 'outgrew memory was moved' "$WORK/grown.err"
clean grown "$image"

# The supervisor is killed while files are written: what was fsynced is there after the journal's replay.
rounds=3
[ "$VIEW_FULL" = 1 ] && rounds=50
image=$WORK/killed.img
mke2fs -q -t ext4 -E "root_owner=$(id -u):$(id -g)" "$image" 64M >/dev/null
cat >"$WORK/writer.py" <<'END2'
import os, sys
point, log, round = sys.argv[1:]
for i in range(100000):
    name = f"{point}/r{round}-{i}"
    with open(name, "w") as f:
        f.write(f"content {i}\n" * 50)
        f.flush()
        os.fsync(f.fileno())
    directory = os.open(point, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    print(f"r{round}-{i}", file=open(log, "a"), flush=True)
    if i % 3 == 0:
        os.unlink(f"{point}/r{round}-{i}") if i > 30 else None
        if i > 30:
            print(f"gone r{round}-{i}", file=open(log, "a"), flush=True)
END2
: >"$WORK/log"
for round in $(seq $rounds); do
	XDG_RUNTIME_DIR=$WORK "$VIEW_BIN" run --name "killed$round" -m "ext4:$image:$point:rw" -- /usr/bin/python3 "$WORK/writer.py" "$point" "$WORK/log" "$round" >/dev/null 2>&1 &
	sleep 1.$round
	supervisor=$(XDG_RUNTIME_DIR=$WORK "$VIEW_BIN" ls --json | /usr/bin/python3 -c 'import json,sys; print(next(v["supervisor_pid"] for v in json.load(sys.stdin)["views"]))')
	kill -9 "$supervisor"
	wait
	"$VIEW_BIN" run -m "ext4:$image:$point:rw" -- true >"$WORK/replay.out" 2>&1
	check "killed $round: the next mount replays" [ $? = 0 ]
	clean "killed $round" "$image"
done
"$VIEW_BIN" run -m "ext4:$image:$point" -- /usr/bin/python3 -c '
import os, sys
point, log = sys.argv[1:]
lines = [line.strip() for line in open(log)]
gone = {line[5:] for line in lines if line.startswith("gone ")}
last = lines[-1]
kept = [line for line in lines if not line.startswith("gone ") and line not in gone]
for name in kept:
    text = open(f"{point}/{name}").read()
    i = name.split("-")[1]
    assert text == f"content {i}\n" * 50, name
print(len(kept), "files kept")
' "$point" "$WORK/log" >"$WORK/kept.out" 2>&1
says "killed: every fsynced file is whole" '^[1-9][0-9]* files kept$' "$WORK/kept.out"

finish
