#!/bin/sh
# Images whose supervisor is killed, or whose host takes no more, while they are written.
. "$(dirname "$0")/lib.sh"

# The supervisor is killed at a random moment while threads write to an image. After the next mount (or e2fsck, which
# replays the journal too) the image is clean, and every file that was synced is there, whole and under its name.
rounds=6
[ "$VIEW_FULL" = 1 ] && rounds=500
rounds=${VIEW_KILLS:-$rounds}
/usr/bin/python3 "$ACCEPTANCE/killed.py" "$rounds" >"$WORK/killed.out" 2>&1
check "killed.py came to its end" [ $? = 0 ]
cat "$WORK/killed.out"
says "$rounds supervisors killed, nothing lost" "^killed $rounds times, 0 rounds failed" "$WORK/killed.out"

# What was written with O_DSYNC or O_SYNC is there without an fsync, the supervisor killed a moment later.
point=$WORK/mnt
mkdir -p "$point"
image=$WORK/osync.img
mke2fs -q -t ext4 -E "root_owner=$(id -u):$(id -g)" "$image" 32M >/dev/null
XDG_RUNTIME_DIR=$WORK /usr/bin/python3 "$ACCEPTANCE/osync.py" "$image" "$point" osync >"$WORK/osync.out" 2>&1
check "osync.py came to its end" [ $? = 0 ]
cat "$WORK/osync.out"
for flag in O_DSYNC O_SYNC; do
	says "$flag: nothing lost" "^$flag: all there" "$WORK/osync.out"
done
check "O_SYNC: e2fsck finds it clean" e2fsck -fn "$image"

# A host that refuses to write the image from some place on: a program hears EIO from fsync, the view goes on and tells by its
# exit status; what was synced before is there, and the image is clean after the journal's replay.
for type in ext4 ext3; do
	image=$WORK/limited.img
	rm -f "$image"
	mke2fs -q -t "$type" -E "root_owner=$(id -u):$(id -g)" "$image" 96M >/dev/null
	(
		ulimit -f 131072 # 64 MiB, in units of 512 bytes: behind the journal
		exec "$VIEW_BIN" run -m "ext4:$image:$point:rw" -- sh -c '
			cd "$1" && echo kept >kept && sync kept && echo synced
			for i in 1 2 3 4 5; do dd if=/dev/urandom of=f$i bs=1M count=15 conv=fsync 2>&1; done
			echo "went on"' - "$point"
	) >"$WORK/limited.out" 2>&1
	check "$type: the exit status tells of what was not written" [ $? = 125 ]
	says "$type: a file is synced" '^synced$' "$WORK/limited.out"
	says "$type: fsync fails with EIO" 'fsync.*Input/output error' "$WORK/limited.out"
	says "$type: the program goes on" '^went on$' "$WORK/limited.out"
	"$VIEW_BIN" run -m "ext4:$image:$point:rw" -- cat "$point/kept" >"$WORK/limited.again" 2>&1
	says "$type: what was synced is there" '^kept$' "$WORK/limited.again"
	clean "$type" "$image"
done
finish
