#!/bin/sh
# Several views at once, views in views, changes to running views, and ends by force.
. "$(dirname "$0")/lib.sh"

image=$FIXTURES/ext4.img
point=$WORK/mnt

# Two views at once share nothing: each mounts under the same name, sees its own, and the host sees neither.
cat >"$WORK/side.sh" <<'END'
set -e
me=$1 other=$2 work=$3
echo "secret of $me" >"$work/shared/file"
mkfifo "$work/shared/pipe-$me"
: >"$work/ready-$me"
while [ ! -e "$work/ready-$other" ]; do sleep 0.05; done
sleep 0.2
cat "$work/shared/file"
ls "$work/shared"
: >"$work/done-$me"
while [ ! -e "$work/done-$other" ]; do sleep 0.05; done
END
for me in one two; do
	other=two
	[ $me = two ] && other=one
	timeout 60 "$VIEW_BIN" run --name "views-$me" --tmpfs "$WORK/shared" -- sh "$WORK/side.sh" $me $other "$WORK" >"$WORK/$me.out" 2>&1 &
	eval "pid_$me=\$!"
done
wait "$pid_one" && ok 'view one ends well' || bad 'view one ends well' "$WORK/one.out"
wait "$pid_two" && ok 'view two ends well' || bad 'view two ends well' "$WORK/two.out"
printf 'secret of one\nfile\npipe-one\n' >"$WORK/want"
same 'view one sees its own tmpfs' "$WORK/want" "$WORK/one.out"
printf 'secret of two\nfile\npipe-two\n' >"$WORK/want"
same 'view two sees its own tmpfs' "$WORK/want" "$WORK/two.out"
check 'the host sees neither' [ ! -e "$WORK/shared" ]

# Three deep. Each level adds a mount; outer mounts are seen inside, inner ones not outside.
cat >"$WORK/nest.sh" <<'END'
work=$1 depth=$2
echo "$depth: $(ls "$work" | grep ^level | tr '\n' ' ')$(cat "$work"/level*/file 2>/dev/null | tr '\n' ' ')"
if [ "$depth" -lt 3 ]; then
	next=$((depth + 1))
	"$VIEW_BIN" run --tmpfs "$work/level$next" -- sh -c 'echo "of $3" >"$2/level$3/file"; sh "$1" "$2" "$3"; exit $((10 * $3))' - "$0" "$work" $next
	echo "$depth: status $?; $(ls "$work" | grep ^level | tr '\n' ' ')"
fi
END
timeout 60 "$VIEW_BIN" run --tmpfs "$WORK/level1" -m "ext4:$image:$point" -- \
	sh -c 'echo "of 1" >"$2/level1/file"; sh "$1" "$2" 1; readlink -f "$3/links/up"' - "$WORK/nest.sh" "$WORK" "$point" >"$WORK/nest" 2>&1
cat >"$WORK/want" <<END
1: level1 of 1 
2: level1 level2 of 1 of 2 
3: level1 level2 level3 of 1 of 2 of 3 
2: status 30; level1 level2 
1: status 20; level1 
$point/links/a/b/fourth
END
same 'a nest of three views' "$WORK/want" "$WORK/nest"

# A running view: seen by ls and mounts, changed from outside and inside, entered.
mkfifo "$WORK/hold"
timeout 120 "$VIEW_BIN" run --name views-held -m "ext4:$image:$point" -- sh -c 'read line <"$1"; ls "$2" >&2; exit 7' - "$WORK/hold" "$WORK/late" 2>"$WORK/held.out" &
held=$!
i=0
while ! "$VIEW_BIN" ls 2>/dev/null | grep -q views-held && [ $i -lt 100 ]; do
	sleep 0.1
	i=$((i + 1))
done
"$VIEW_BIN" ls >"$WORK/ls" 2>&1
says 'view ls names it' '^views-held' "$WORK/ls"
check 'view ls --json is JSON' sh -c '"$VIEW_BIN" ls --json | /usr/bin/python3 -m json.tool'
"$VIEW_BIN" mounts --in views-held >"$WORK/mounts" 2>&1
says 'view mounts --in' "$point" "$WORK/mounts"
check 'view mounts --json is JSON' sh -c '"$VIEW_BIN" mounts --in views-held --json | /usr/bin/python3 -m json.tool'
check 'view mount --in adds a mount' "$VIEW_BIN" mount --in views-held -t ext4 "$FIXTURES/bench.img" "$WORK/late"
"$VIEW_BIN" enter views-held -- sh -c 'cat "$1/counter.txt"; readlink /proc/self/cwd; exit 5' - "$WORK/late" >"$WORK/enter" 2>&1
check 'view enter returns the status' [ $? = 5 ]
says 'view enter sees the new mount' '^changed$' "$WORK/enter"
check 'view umount --in removes a mount' "$VIEW_BIN" umount --in views-held "$point"
check 'a name is taken only once' sh -c '! "$VIEW_BIN" run --name views-held -- true'
echo go >"$WORK/hold"
wait $held
check 'the held view ends with the status of its command' [ $? = 7 ]
says 'its process saw the late mount' '^counter.txt$' "$WORK/held.out"
check 'view ls names it no more' sh -c '! "$VIEW_BIN" ls | grep -q views-held'

# From inside: view mount and plain mount(8) are seen at once by all running processes of the view.
timeout 60 "$VIEW_BIN" run -- sh -c '
	(i=0; while [ ! -e "$2/counter.txt" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i + 1)); done; cat "$2/counter.txt") &
	sleep 0.2
	"$VIEW_BIN" mount "$1" "$2" && wait && "$VIEW_BIN" mounts | grep -F "$2" && "$VIEW_BIN" umount "$2" && ls "$2" 2>&1' \
	- "$FIXTURES/bench.img" "$WORK/inside" >"$WORK/inside.out" 2>&1
says 'view mount inside is seen by a running process' '^changed$' "$WORK/inside.out"
says 'view umount inside' 'No such file' "$WORK/inside.out"
timeout 60 "$VIEW_BIN" run --tmpfs "$WORK/t" -- sh -c 'mkdir "$1/d" && mount -t tmpfs none "$1/d" && echo x >"$1/d/f" && umount "$1/d" && ls "$1/d" | wc -l' \
	- "$WORK/t" >"$WORK/plain.out" 2>&1
says 'plain mount(8) and umount(8)' '^0$' "$WORK/plain.out"
check 'view mount with a command' sh -c '"$VIEW_BIN" mount ext4 "$1" "$2" -- cat "$2/counter.txt" | grep -qx changed' - "$FIXTURES/bench.img" "$WORK/m"
"$VIEW_BIN" mount "$WORK/want" "$WORK/m" -- true >"$WORK/refused" 2>&1
says 'what is no image is refused in one line' '^view: ' "$WORK/refused"

# Bind, read-only bind, hide.
mkdir "$WORK/source"
echo original >"$WORK/source/file"
timeout 60 "$VIEW_BIN" run -v "$WORK/source:$WORK/a" -v "$WORK/source:$WORK/b:ro" --hide "$WORK/source" -- sh -c '
	cat "$1/a/file"; echo written >"$1/a/new"; cat "$1/b/new"; echo x >"$1/b/no" || echo refused; ls "$1/source" | wc -l' - "$WORK" >"$WORK/bind.out" 2>&1
printf 'original\nwritten\n' >"$WORK/want"
sed 2q "$WORK/bind.out" >"$WORK/bind.head"
same 'bind mounts' "$WORK/want" "$WORK/bind.head"
says 'a read-only bind refuses' '^refused$' "$WORK/bind.out"
check 'a bind writes through' grep -qx written "$WORK/source/new"
says 'a hidden directory is empty' '^ *0$' "$WORK/bind.out"
"$VIEW_BIN" run --hide "$WORK/no-such" -- true >"$WORK/hide.out" 2>&1
check 'hiding what is not there: 125' [ $? = 125 ]
says 'hiding what is not there is refused in one line' "^view: cannot hide $WORK/no-such: " "$WORK/hide.out"

# Ends. tree NAME: the pids of the view's processes, found by a variable of their environment.
tree() {
	grep -lz "^ENDS=$1\$" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n'
}
gone() {
	local i=0
	while [ -n "$(tree "$1")" ] && [ $i -lt 100 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	[ -z "$(tree "$1")" ]
}
start() {
	ENDS=$1 "$VIEW_BIN" run --name "ends-$1" -m "ext4:$image:$point" -- sh -c '
		sleep 1000 & setsid sleep 1000 & tail -f "$1/links/first" & : >"$2"; wait' - "$point" "$WORK/started-$1" >"$WORK/ends.out" 2>&1 &
	front=$!
	local i=0
	while [ ! -e "$WORK/started-$1" ] && [ $i -lt 100 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	[ -e "$WORK/started-$1" ]
}
# The front forwards TERM to the command and returns its status; what the command leaves running lives on, as natively.
"$VIEW_BIN" run --name ends-term -- sh -c 'trap "echo got TERM; exit 9" TERM; : >"$1"; while :; do sleep 0.1; done' - "$WORK/started-term" >"$WORK/term.out" 2>&1 &
front=$!
i=0
while [ ! -e "$WORK/started-term" ] && [ $i -lt 100 ]; do
	sleep 0.1
	i=$((i + 1))
done
kill -TERM $front
wait $front
check 'TERM to the front: the status is the command'"'"'s' [ $? = 9 ]
says 'TERM to the front reaches the command' '^got TERM$' "$WORK/term.out"

check 'killing the supervisor: starts' start supervisor
supervisor=$("$VIEW_BIN" ls --json 2>/dev/null | /usr/bin/python3 -c '
import json, sys
def find(value):
    if isinstance(value, dict):
        if value.get("name") == "ends-supervisor":
            print(value.get("supervisor_pid") or value.get("supervisor") or value.get("pid") or "")
        for inner in value.values():
            find(inner)
    elif isinstance(value, list):
        for inner in value:
            find(inner)
find(json.load(sys.stdin))')
check 'view ls --json tells the supervisor' [ -n "$supervisor" ]
kill -KILL "$supervisor" 2>/dev/null
wait $front
status=$?
check 'killing the supervisor: nothing is left' gone supervisor
check "killing the supervisor: status 125 or a signal's (it was $status)" [ "$status" -ge 125 ]
check 'killing a member: the view lives on' sh -c '[ "$("$VIEW_BIN" run -m "ext4:$1:$2" -- sh -c "sh -c \"kill -9 \\\$\\\$\"; cat $2/links/first; tail -f $2/links/first & kill -9 \$!; wait; echo on")" = "one inode, many names
on" ]' - "$image" "$point"
timeout 60 "$VIEW_BIN" run -- sh -c 'sleep 0.3 & (sleep 0.6; echo last) & echo first' >"$WORK/last.out" 2>&1
printf 'first\nlast\n' >"$WORK/want"
i=0
while ! cmp -s "$WORK/want" "$WORK/last.out" && [ $i -lt 50 ]; do
	sleep 0.1
	i=$((i + 1))
done
same 'a view lasts until its last process' "$WORK/want" "$WORK/last.out"
sleep 1
"$VIEW_BIN" ls >"$WORK/ls" 2>&1
ls "$XDG_RUNTIME_DIR/view" 2>/dev/null | grep -v "^wake-up\$" >"$WORK/sockets"
check 'view ls names no view that is gone' sh -c '! grep -e views- -e ends- "$WORK/ls"'
check 'no control socket is left' sh -c 'cat "$WORK/sockets"; [ ! -s "$WORK/sockets" ]'
finish
