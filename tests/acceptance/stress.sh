#!/bin/sh
# 200 processes hammer one view: no call fails, and the supervisor's descriptors and memory do not grow with time.
. "$(dirname "$0")/lib.sh"

seconds=10
[ "$VIEW_FULL" = 1 ] && seconds=60
image=$FIXTURES/ext4.img
point=$WORK/mnt
mkdir "$WORK/host"

timeout $((seconds + 240)) "$VIEW_BIN" run --name stress -m "ext4:$image:$point" --tmpfs "$WORK/tmpfs" -- \
	/usr/bin/python3 "$ACCEPTANCE/stress.py" "$point" "$WORK/tmpfs" "$WORK/host" 200 "$seconds" >"$WORK/out" 2>&1
check 'the run ends well' [ $? = 0 ]
grep -v '^usage' "$WORK/out" | tail -n 20
says 'no call failed' '^[0-9]+ rounds, 0 failures$' "$WORK/out"

# usage PHASE FDS THREADS RSS_KIB: of the supervisor, first after a warm-up with all processes, then at the end.
awk '$1 == "usage" { print; fds[$2] = $3; rss[$2] = $5 }
	END { print "supervisor: descriptors " fds["warm"] " -> " fds["end"] ", KiB " rss["warm"] " -> " rss["end"]
		if (!fds["warm"] || fds["end"] > fds["warm"] + 16) print "descriptors grew"
		if (!rss["warm"] || rss["end"] > rss["warm"] * 1.3 + 16384) print "memory grew" }' "$WORK/out" >"$WORK/usage"
cat "$WORK/usage"
check 'the supervisor was found' grep -q '^usage end' "$WORK/usage"
check 'no descriptor leaks' sh -c '! grep -q "descriptors grew" "$WORK/usage"'
check 'no memory leaks' sh -c '! grep -q "memory grew" "$WORK/usage"'
finish
