#!/bin/sh
# Filesystems that become full: who writes is told ENOSPC by write(2), everything that was accepted is there, and when
# there is room again writing goes on. `native` (root): the same on a small tmpfs of Linux's own, for the views to be
# compared with.
. "$(dirname "$0")/lib.sh"

point=$WORK/mnt
python3=/usr/bin/python3
mkdir -p "$point"

if [ "${1:-}" = native ]; then
	chmod 755 "$WORK" "$point"
	unshare --mount sh -c 'mount -t tmpfs -o size=16M none "$1" && exec "$2" "$3" "$1"' - "$point" $python3 "$ACCEPTANCE/full.py" >"$WORK/native.out" 2>&1
	check "natively: writers" [ $? = 0 ]
	check "natively: all is right" sh -c '! grep -v ": right$" "$1"' - "$WORK/native.out"
	unshare --mount sh -c 'mount -t tmpfs -o size=16M none "$1" && exec sh "$2" "$1" "$3"' - "$point" "$ACCEPTANCE/full-programs.sh" "$WORK/native-programs" >"$WORK/native-programs.out" 2>&1
	check "natively: programs" [ $? = 0 ]
	rm -f "$WORK/check.out" # root's
	finish
fi

# Sizes that leave about as much: what ext4 keeps back and what ext2 needs for its maps is not for files.
for type in tmpfs ext4 ext3 ext2; do
	image=$WORK/$type.img
	case $type in
	tmpfs) mount=tmpfs:$point:size=16M ;;
	*)
		check "$type: mke2fs" mke2fs -q -t $type -m 0 -E "root_owner=$(id -u):$(id -g)" "$image" 22M
		mount=$type:$image:$point:rw
		;;
	esac
	"$VIEW_BIN" run -m "$mount" -- $python3 "$ACCEPTANCE/full.py" "$point" >"$WORK/$type.out" 2>"$WORK/$type.err"
	check "$type: writers, and nothing that could not be kept" [ $? = 0 ]
	check "$type: all is right" sh -c '[ -s "$1" ] && ! grep -v ": right$" "$1"' - "$WORK/$type.out"
	if [ -e "$WORK/native.out" ]; then
		same "$type: as natively" "$WORK/native.out" "$WORK/$type.out"
	fi
	[ $type = tmpfs ] || check "$type: e2fsck finds it clean" e2fsck -fn "$image"
	[ $type = tmpfs ] || check "$type: the next view reads what was left" "$VIEW_BIN" run -m "$type:$image:$point" -- $python3 "$ACCEPTANCE/full.py" "$point" again

	[ $type = tmpfs ] || mke2fs -q -F -t $type -m 0 -E "root_owner=$(id -u):$(id -g)" "$image" 22M >/dev/null 2>&1
	"$VIEW_BIN" run -m "$mount" -- sh "$ACCEPTANCE/full-programs.sh" "$point" "$WORK/$type-programs" >"$WORK/$type-programs.out" 2>&1
	check "$type: programs, and nothing that could not be kept" [ $? = 0 ]
	if [ -e "$WORK/native-programs.out" ]; then
		same "$type: programs say what they say natively" "$WORK/native-programs.out" "$WORK/$type-programs.out"
	fi
	[ $type = tmpfs ] || check "$type: e2fsck finds it clean after programs" e2fsck -fn "$image"
done

finish
