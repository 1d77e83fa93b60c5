#!/bin/sh
# Programs made to find lost and mixed-up bytes: fsx, fio with checksums, sqlite with two writers, stress-ng. On images
# of each type and on a tmpfs. Afterwards e2fsck finds the image clean and it holds what the programs saw.
#
#   FSX=PROGRAM sh hammer.sh [fsx|fio|sqlite|stress]...
#
# Full size: 1,000,000 operations of fsx for each type, 60 s for each stressor; everything natively first.
. "$(dirname "$0")/lib.sh"

: "${FSX:=$CHECKOUT/target/tools/fsx-0.3.2/bin/fsx}"
wanted=${*:-fsx fio sqlite stress}
point=$WORK/mnt
mkdir -p "$point"

# One process of fsx never takes back what it mapped for reading, and the kernel allows 65530 mappings: many short runs.
runs=2 operations=10000 fio_size=4m transactions=25 seconds=2
types="ext4 ext3 ext2 tmpfs"
if [ "$VIEW_FULL" = 1 ]; then
	runs=100 fio_size=64m transactions=400 seconds=60
	types="native $types"
fi

cat >"$WORK/fsx.toml" <<'END2'
flen = 262144
[opsize]
min = 1
max = 65536
[weights]
close_open = 1
invalidate = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 2
punch_hole = 3
sendfile = 2
posix_fadvise = 1
copy_file_range = 3
END2

cat >"$WORK/fio.job" <<'END2'
[global]
directory=${DIRECTORY}
size=${SIZE}
verify=crc32c
verify_fatal=1
do_verify=1
fallocate=none
group_reporting=1

[random]
rw=randwrite
bs=4k
ioengine=psync
numjobs=2

[mapped]
rw=randwrite
bs=4k
ioengine=mmap

[direct]
rw=randwrite
bs=4k
direct=1
ioengine=psync

[asynchronous]
rw=randwrite
bs=8k
direct=1
ioengine=libaio
iodepth=8

[mixed]
rw=randrw
bsrange=512-64k
ioengine=sync
fsync=100

[sequential]
rw=write
bs=64k
ioengine=sync
end_fsync=1
END2

# image FILE TYPE SIZE: makes an image; nothing for what needs none.
image() {
	case $2 in
	native | tmpfs) return 0 ;;
	esac
	mke2fs -q -F -t "$2" -E "root_owner=$(id -u):$(id -g)" "$1" "$3" >"$1.made" 2>&1
}

# world TYPE IMAGE COMMAND...: the command, natively or in a view that has the image or a tmpfs on $point.
world() {
	local type=$1 image=$2
	shift 2
	case $type in
	native) "$@" ;;
	tmpfs) "$VIEW_BIN" run --tmpfs "$point" -- "$@" ;;
	*) "$VIEW_BIN" run -m "$type:$image:$point:rw" -- "$@" ;;
	esac
}

# sound NAME TYPE IMAGE: the image, if there is one, is clean.
sound() {
	case $2 in
	native | tmpfs) ;;
	*) clean "$1 $2" "$3" ;;
	esac
}

# The files of a run are compared with what the image holds.
equal() {
	local kept=$1 image=$2 file
	for file in "$kept"/f*; do
		debugfs -R "dump ${file##*/} $kept/dumped" "$image" 2>/dev/null
		cmp "$kept/dumped" "$file" || return 1
	done
}

cat >"$WORK/fsx.sh" <<'END2'
set -e
point=$1 kept=$2 runs=$3 operations=$4 fsx=$5 settings=$6
seed=0
while [ "$seed" -lt "$runs" ]; do
	seed=$((seed + 1))
	"$fsx" -N "$operations" -S "$seed" -f "$settings" -P "$kept" "$point/f$seed"
	cp "$point/f$seed" "$kept/f$seed"
	rm -f "$point/f$((seed - 8))" "$kept/f$((seed - 8))"
done
END2

hammer_fsx() {
	local type kept pids=
	for type in $types; do
		kept=$WORK/fsx-$type
		mkdir "$kept"
		image "$kept/image" "$type" 32M
		(
			world "$type" "$kept/image" sh "$WORK/fsx.sh" "$point" "$kept" "$runs" "$operations" "$FSX" "$WORK/fsx.toml" >"$kept/out" 2>&1
			echo $? >"$kept/status"
		) &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086
	wait $pids
	for type in $types; do
		kept=$WORK/fsx-$type
		if [ "$(cat "$kept/status")" = 0 ]; then
			ok "fsx $type: $runs runs of $operations operations"
		else
			bad "fsx $type" "$kept/out"
		fi
		sound fsx "$type" "$kept/image"
		case $type in
		native | tmpfs) ;;
		*) check "fsx $type: the image has what fsx wrote" equal "$kept" "$kept/image" ;;
		esac
		rm -rf "$kept" "$point"/f*
	done
}

hammer_fio() {
	local type image
	for type in $types; do
		image=$WORK/fio-$type.img
		image "$image" "$type" 600M
		check "fio $type" world "$type" "$image" env DIRECTORY="$point" SIZE=$fio_size fio "$WORK/fio.job"
		case $type in
		native | tmpfs) ;;
		*)
			check "fio $type: the next view reads it" world "$type" "$image" env DIRECTORY="$point" SIZE=$fio_size fio --verify_only "$WORK/fio.job"
			;;
		esac
		sound fio "$type" "$image"
		rm -f "$image" "$point"/*.*.*
	done
}

hammer_sqlite() {
	local type image
	for type in $types; do
		image=$WORK/sqlite-$type.img
		image "$image" "$type" 64M
		check "sqlite $type: two writers" world "$type" "$image" /usr/bin/python3 "$ACCEPTANCE/sqlite-writers.py" "$point" $transactions
		case $type in
		native | tmpfs) ;;
		*)
			check "sqlite $type: the next view reads it" world "$type" "$image" /usr/bin/python3 "$ACCEPTANCE/sqlite-writers.py" "$point" $transactions check
			;;
		esac
		sound sqlite "$type" "$image"
		rm -f "$image" "$point"/*.db*
	done
}

# Not among them: inotify and dnotify, which watch directories (docs/limits.md); bind-mount, fanotify and handle, which
# need privileges; binderfs.
STRESSORS="access chattr chdir chmod chown copy-file dentry dir dirdeep dirmany dup eventfd fallocate fcntl fiemap
file-ioctl filename flock fpunch fsize fstat getdent hdd inode-flags io iomix ioprio lease link locka lockf lockofd
mknod mmap msync open procfs readahead rename revio seek sendfile splice symlink sync-file touch utime verity xattr
aio aiol fifo full mmapmany mremap"

# stress TYPE IMAGE NAME STRESSOR...: all at once.
stress() {
	local type=$1 image=$2 name=$3 stressor options= try
	shift 3
	for stressor; do
		options="$options --$stressor 1"
	done
	for try in 1 2 3; do
		# shellcheck disable=SC2086
		world "$type" "$image" stress-ng $options --timeout "$seconds" --verify --temp-path "$point" >"$WORK/stress.out" 2>&1
		if [ $? = 0 ] && ! grep -q 'fail:' "$WORK/stress.out"; then
			ok "stress-ng $type: $name"
			break
		fi
		grep -E 'fail:|error:|view:' "$WORK/stress.out" >"$WORK/stress.bad"
		# Its own alarm at the end, in the moment before a call by way of syscall(2) was received: docs/limits.md, Signals.
		if [ $try = 3 ] || ! grep -q 'fail:' "$WORK/stress.bad" || grep 'fail:' "$WORK/stress.bad" | grep -vq '(Interrupted system call)'; then
			bad "stress-ng $type: $name" "$WORK/stress.bad"
			break
		fi
		echo "once more: $(grep -m 1 'fail:' "$WORK/stress.bad")"
	done
	sound "stress-ng $name" "$type" "$image"
}

hammer_stress() {
	local type image
	for type in $types; do
		image=$WORK/stress-$type.img
		# Larger than all that the stressors can have at once, most of them 1 GiB: one does not expect a full disk.
		image "$image" "$type" 8G
		# shellcheck disable=SC2086
		if [ "$VIEW_FULL" = 1 ]; then
			set -- $STRESSORS
			while [ $# -gt 8 ]; do
				stress "$type" "$image" "$1 to $8" "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8"
				shift 8
			done
			stress "$type" "$image" "$*" "$@"
		else
			stress "$type" "$image" "all at once" $STRESSORS
		fi
		rm -f "$image"
	done
}

for part in $wanted; do
	"hammer_$part"
done
finish
