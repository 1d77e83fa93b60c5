#!/bin/sh
# Signals while calls are being answered. The tracees named signal* ran before this, many times; here ordinary programs.
. "$(dirname "$0")/lib.sh"

rounds=2
opens=20000
if [ "$VIEW_FULL" = 1 ]; then
	rounds=20
	opens=100000
fi
image=$FIXTURES/ext4.img
point=$WORK/mnt

# Pipelines lose nothing, also while every CPU is busy.
cat >"$WORK/pipelines.sh" <<'END'
i=0
while [ $i -lt 100 ]; do
	[ "$(echo abc | cat | cat)" = abc ] || echo "round $i failed"
	i=$((i + 1))
done
END
for round in $(seq $rounds); do
	"$VIEW_BIN" run -- dash "$WORK/pipelines.sh" >"$WORK/out" 2>&1
	check "100 pipelines of dash, round $round" [ ! -s "$WORK/out" ]
	"$VIEW_BIN" run -- sh -c 'for c in 1 2 3 4; do timeout 60 sh -c "while :; do :; done" & busy="$busy $!"; done; dash "$1"; kill $busy' - "$WORK/pipelines.sh" >"$WORK/out" 2>&1
	check "100 pipelines of dash under load, round $round" sh -c '! grep failed "$1"' - "$WORK/out"
done

# A Go program whose goroutines are preempted by SIGURG all the time.
for place in "$point/files/d00" "$FIXTURES/tree/files/d00"; do
	check "$opens opens by Go below ${place##*/mnt}" on "$image" "$point" "$FIXTURES/tree/work/bin/go-static" hammer "$place" $opens
done
check 'a static Go program of the image' on "$image" "$point" "$point/work/bin/go-static" hammer "$point/files/d01" $opens

# An interval timer every 200 us, with and without SA_RESTART, during calls that never return EINTR natively; a handler
# in Python must not lose or repeat a side effect.
cat >"$WORK/timer.py" <<'END'
import os, signal, sys
top, count = sys.argv[1], int(sys.argv[2])
hits = 0
def handler(*_):
    global hits
    hits += 1
signal.signal(signal.SIGALRM, handler)
signal.siginterrupt(signal.SIGALRM, sys.argv[3] == "interrupt")
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for i in range(count):
    name = f"{top}/d{i}"
    os.mkdir(name)                                   # exactly once: a second would fail with EEXIST
    fd = os.open(name + "/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)
    os.rename(name + "/f", name + "/g")              # a second would fail with ENOENT
    os.stat(name + "/g")
    os.link(name + "/g", name + "/h")
    os.unlink(name + "/g")
    os.unlink(name + "/h")
    os.rmdir(name)
signal.setitimer(signal.ITIMER_REAL, 0)
assert hits > 10, hits
assert not os.listdir(top)
END
for how in restart interrupt; do
	check "SIGALRM every 200 us on a tmpfs, $how" "$VIEW_BIN" run --tmpfs "$WORK/tmpfs" -- /usr/bin/python3 "$WORK/timer.py" "$WORK/tmpfs" $((rounds * 500)) $how
	mkdir "$WORK/host-$how"
	check "SIGALRM every 200 us on the host, $how" "$VIEW_BIN" run --tmpfs "$WORK/tmpfs" -- /usr/bin/python3 "$WORK/timer.py" "$WORK/host-$how" $((rounds * 500)) $how
done

# SIGKILL while calls are pending leaves the view usable.
cat >"$WORK/kills.sh" <<'END'
point=$1
i=0
while [ $i -lt 50 ]; do
	find "$point/files" -type f -exec cat {} + >/dev/null &
	pid=$!
	sleep 0.0$((i % 10))
	kill -KILL $pid
	wait $pid 2>/dev/null
	i=$((i + 1))
done
cat "$point/links/first"
END
on "$image" "$point" sh "$WORK/kills.sh" "$point" >"$WORK/out" 2>/dev/null
says 'SIGKILL during pending calls' '^one inode, many names$' "$WORK/out"
finish
