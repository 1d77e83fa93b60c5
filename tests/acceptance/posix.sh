#!/bin/sh
# pjdfstest, every case: as a view's root on ext4, ext2 and tmpfs. `posix.sh native`, for which the step needs to be root, runs it on
# the kernel's own ext4 (when WORK is on one) and tmpfs first. What does not pass is in posix.txt, one list for both. Then as
# an ordinary user, compared case by case with the same user's run without a view; then times that 32 bits do not hold.
. "$(dirname "$0")/lib.sh"

: "${PJDFSTEST:=$CHECKOUT/target/tools/pjdfstest-0.2.2/bin/pjdfstest}"
# All, and those of them that remount the file system.
CASES=398
REMOUNTED=13
export PJDFSTEST

if [ "${1:-}" = native ]; then
	# Apart from what the test user will write.
	WORK=$WORK/native
	mkdir -p "$WORK"
fi

# configure REMOUNTS: every feature that Linux has; two users that Debian always has.
configure() {
	cat <<-END
		[features]
		posix_fallocate = {}
		rename_ctime = {}
		utime_now = {}
		utimensat = {}
		[settings]
		naptime = 0.01
		allow_remount = $1
		[dummy_auth]
		entries = [["nobody", "nogroup"], ["games", "games"]]
	END
}

# results LOG: `CASE RESULT` lines, without the cases that the configuration leaves out.
results() {
	awk '
		/Remounts .* are not allowed/ { line = "" }
		NF == 2 && $2 ~ /^(ok|skipped|FAILED)$/ { if (line != "") print line; line = $1 " " $2 }
		END { if (line != "") print line }
	' "$@" | sort
}

# judge NAME TYPE CASES LOG...: that many cases ran, and those that did not pass are the listed ones.
judge() {
	local name=$1 type=$2 cases=$3
	shift 3
	results "$@" >"$WORK/results"
	check "$name: $cases cases" [ "$(wc -l <"$WORK/results")" = "$cases" ]
	awk -v type="$type" '$1 == type { print $2, $3 }' "$ACCEPTANCE/posix.txt" | sort >"$WORK/listed"
	grep -v ' ok$' "$WORK/results" >"$WORK/others"
	same "$name: $(grep -c ' ok$' "$WORK/results") pass, the others are listed" "$WORK/listed" "$WORK/others"
	grep -A 3 FAILED "$@" | head -n 60
}

# both.sh POINT: every case, in two processes: some cases leave a file open for writing, and then nobody can remount.
cat >"$WORK/both.sh" <<'END'
"$PJDFSTEST" -c "$WORK/kept.toml" -p "$1" -s "$WORK/second"
"$PJDFSTEST" -c "$WORK/remounted.toml" -p "$1" erofs
sh "$ACCEPTANCE/remount.sh" "$1"
END

# is_busy NAME LOG: what remount.sh must have said.
is_busy() {
	for line in 'open for writing: busy' 'open for reading: read-only' 'read-only: nothing written' 'writable: written' \
		'removed but open: busy'; do
		says "$1: remount: $line" "^$line\$" "$2"
	done
}

mkdir -p "$WORK/mnt" "$WORK/second"
point=$WORK/mnt
configure false >"$WORK/kept.toml"
configure true >"$WORK/remounted.toml"

if [ "${1:-}" = native ]; then
	chmod 755 "$WORK" "$point"
	shm=$(mktemp -d /dev/shm/posix.XXXXXX)
	chmod 755 "$shm"
	type=$(stat -f -c %T "$point")
	if [ "$type" = ext2/ext3 ]; then
		"$PJDFSTEST" -c "$WORK/kept.toml" -p "$point" -s "$shm" >"$WORK/ext4.log" 2>&1
		judge "the kernel's ext4" ext4 $((CASES - REMOUNTED)) "$WORK/ext4.log"
		sh "$ACCEPTANCE/flags.sh" "$point" >"$WORK/flags" 2>&1
	else
		echo "no kernel's ext4 to compare with: this directory is on $type"
	fi
	# A tmpfs of its own can be remounted without harm to anybody.
	if unshare --mount mount -t tmpfs none "$point" 2>/dev/null; then
		unshare --mount sh -c 'mount -t tmpfs none "$1" && exec sh "$WORK/both.sh" "$1"' - "$point" >"$WORK/tmpfs.log" 2>&1
		judge "the kernel's tmpfs" tmpfs $CASES "$WORK/tmpfs.log"
		is_busy "the kernel's tmpfs" "$WORK/tmpfs.log"
	else
		"$PJDFSTEST" -c "$WORK/kept.toml" -p "$shm" -s "$WORK/second" >"$WORK/tmpfs.log" 2>&1
		judge "the kernel's tmpfs" tmpfs $((CASES - REMOUNTED)) "$WORK/tmpfs.log"
	fi
	rm -rf "$shm"
	finish
fi

# image TYPE OWNER: makes $WORK/TYPE.img anew.
image() {
	rm -f "$WORK/$1.img"
	check "$1: mke2fs" mke2fs -q -t "$1" -E "root_owner=$2" "$WORK/$1.img" 64M
}

for type in ext4 ext2; do
	image $type 0:0
	"$VIEW_BIN" run -0 -m "$type:$WORK/$type.img:$point:rw" --tmpfs "$WORK/second" -- sh "$WORK/both.sh" "$point" >"$WORK/$type.log" 2>&1
	judge $type $type $CASES "$WORK/$type.log"
	is_busy $type "$WORK/$type.log"
	clean $type "$WORK/$type.img"
done
"$VIEW_BIN" run -0 --tmpfs "$point" --tmpfs "$WORK/second" -- sh "$WORK/both.sh" "$point" >"$WORK/tmpfs.log" 2>&1
judge tmpfs tmpfs $CASES "$WORK/tmpfs.log"
is_busy tmpfs "$WORK/tmpfs.log"

# chattr +i and +a.
image ext4 0:0
"$VIEW_BIN" run -0 -m "ext4:$WORK/ext4.img:$point:rw" -- sh "$ACCEPTANCE/flags.sh" "$point" >"$WORK/flags" 2>&1
says "flags: immutable" '^rm -f file: Operation not permitted$' "$WORK/flags"
[ -s "$WORK/native/flags" ] && same "flags: as on the kernel's ext4" "$WORK/native/flags" "$WORK/flags"
clean flags "$WORK/ext4.img"

# An ordinary user, whom the kernel and the view must tell the same.
mkdir -p "$WORK/plain"
image ext4 "$(id -u):$(id -g)"
"$PJDFSTEST" -c "$WORK/kept.toml" -p "$WORK/plain" >"$WORK/plain.log" 2>&1
"$VIEW_BIN" run -m "ext4:$WORK/ext4.img:$point:rw" -- "$PJDFSTEST" -c "$WORK/kept.toml" -p "$point" >"$WORK/user.log" 2>&1
results "$WORK/plain.log" >"$WORK/plain.results"
results "$WORK/user.log" >"$WORK/user.results"
check "an ordinary user: $((CASES - REMOUNTED)) cases" [ "$(wc -l <"$WORK/user.results")" = $((CASES - REMOUNTED)) ]
if [ "$(stat -f -c %T "$WORK")" = ext2/ext3 ]; then
	same "an ordinary user: as without a view, $(grep -c ' ok$' "$WORK/user.results") pass" "$WORK/plain.results" "$WORK/user.results"
else
	says "an ordinary user: nothing fails" '^Summary: 0 failed' "$WORK/user.log"
fi
clean "an ordinary user" "$WORK/ext4.img"

# Times to the nanosecond, before 1970 and after 2038, to the ends of what ext4 has and beyond them.
cat >"$WORK/times.sh" <<'END'
cd "$1" || exit
if [ "$2" = set ]; then
	for time in 0 -1 -1000000000.000000001 -2147483647.999999999 -2147483648 -2147483648.5 -9999999999 2147483647.999999999 \
		2147483648.123456789 4294967295.999999999 4294967296 4102444801.000000001 8589934592.5 15032385534.999999999 \
		15032385535 15032385535.5 15032385536 99999999999.25; do
		touch -d "@$time" -- "time$time" || exit
	done
fi
stat -c '%n %.9X %.9Y' time*
END
image ext4 "$(id -u):$(id -g)"
for run in set get; do
	"$VIEW_BIN" run -m "ext4:$WORK/ext4.img:$point:rw" -- sh "$WORK/times.sh" "$point" $run >"$WORK/times.$run" 2>&1
	check "times: $run" [ $? = 0 ]
done
same "times: the next view reads the same" "$WORK/times.set" "$WORK/times.get"
debugfs -R 'stat time2147483648.123456789' "$WORK/ext4.img" >"$WORK/times.debugfs" 2>&1
says "times: debugfs reads the same" 'mtime: 0x80000000:1d6f3455 ' "$WORK/times.debugfs"
if [ "$(stat -f -c %T "$WORK")" = ext2/ext3 ]; then
	mkdir "$WORK/times"
	sh "$WORK/times.sh" "$WORK/times" set >"$WORK/times.native" 2>&1
	same "times: as on the kernel's ext4" "$WORK/times.native" "$WORK/times.set"
fi
clean times "$WORK/ext4.img"

# fallocate(2) reserves on the image: what cannot be had is refused at once, what was had is there in the next view.
image ext4 "$(id -u):$(id -g)"
"$VIEW_BIN" run -m "ext4:$WORK/ext4.img:$point:rw" -- sh -c '
	cd "$1"
	fallocate -l 1G much; echo "much: $?"; rm -f much
	fallocate -l 20M some; echo "some: $?"
	printf content | dd of=some bs=1 seek=4096 conv=notrunc 2>/dev/null
	dd if=/dev/zero of=rest bs=64k count=800 conv=fsync 2>/dev/null
	dd if=/dev/zero of=some bs=64k count=320 conv=notrunc,fsync 2>/dev/null; echo "into what is reserved: $?"
	rm rest
	: >behind; fallocate -l 10M -n behind; fallocate -c -o 4096 -l 1M some; fallocate -i -o 8192 -l 64K some' - "$point" >"$WORK/reserve.log" 2>&1
says "fallocate: more than there is" '^much: 1$' "$WORK/reserve.log"
says "fallocate: what there is" '^some: 0$' "$WORK/reserve.log"
says "fallocate: a full disk has room for what is reserved" '^into what is reserved: 0$' "$WORK/reserve.log"
clean fallocate "$WORK/ext4.img"
"$VIEW_BIN" run -m "ext4:$WORK/ext4.img:$point" -- stat -c '%n %s %b' "$point/some" "$point/behind" >"$WORK/reserve.next" 2>&1
says "fallocate: ranges taken out and put in are on the image" 'some 19988480 [0-9]+$' "$WORK/reserve.next"
says "fallocate: space behind the end is on the image" 'behind 0 20480$' "$WORK/reserve.next"

# copy_file_range(2) from a file that nobody has written in this view: it is in memory, the copy is not.
"$VIEW_BIN" run -m "ext4:$WORK/ext4.img:$point:rw" -- /usr/bin/python3 -c '
import os, sys
os.chdir(sys.argv[1])
size = os.stat("some").st_size
a = os.open("some", os.O_RDONLY)
b = os.open("copy", os.O_RDWR | os.O_CREAT)
while os.copy_file_range(a, b, size):
    pass
assert os.lseek(a, 0, os.SEEK_CUR) == os.lseek(b, 0, os.SEEK_CUR) == size
assert open("some", "rb").read() == open("copy", "rb").read()
assert os.copy_file_range(a, b, 1000, 5, 1 << 20) == 1000
assert os.pread(b, 1000, 1 << 20) == os.pread(a, 1000, 5)
assert os.lseek(a, 0, os.SEEK_CUR) == os.lseek(b, 0, os.SEEK_CUR) == size
for into in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
    try:
        os.copy_file_range(a, os.open("copy", into), 10, 0, 0)
        sys.exit(f"{into}: copied")
    except OSError as error:
        assert error.errno == 9, error
print("copied", size)' "$point" >"$WORK/copy.log" 2>&1
says "copy_file_range" '^copied 19988480$' "$WORK/copy.log"
clean copy_file_range "$WORK/ext4.img"

finish
