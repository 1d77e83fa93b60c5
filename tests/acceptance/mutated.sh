#!/bin/sh
# Damaged images through the whole program: no panic, no hang, no unbounded memory; a refusal is errno EUCLEAN or EIO (or a
# mount that is refused), and one clear line says what is wrong. The image reader alone sees 10,000 more in its own test.
. "$(dirname "$0")/lib.sh"

count=20
[ "$VIEW_FULL" = 1 ] && count=200
point=$WORK/mnt
whole=$FIXTURES/damage.img

# use IMAGE: walks and reads everything, with a limit on the address space that a runaway allocation meets.
use() {
	(ulimit -v 8388608 && exec timeout -k 5 60 "$VIEW_BIN" run -m "ext4:$1:$point" -- sh -c '
		find "$1" -printf "%p %s %l\n" 2>&1 | wc -l
		find "$1" -type f -size -3000k -exec cksum {} + 2>&1 | grep -c -v -e "Structure needs cleaning" -e "Input/output error"
		getfattr -R -h -d "$1" >/dev/null 2>&1
		true' - "$point") >"$WORK/out" 2>"$WORK/err"
	ended=$?
	[ "$ended" = 0 ] || [ "$ended" = 125 ] || { echo "exit status $ended"; cat "$WORK/err"; return 1; }
	if grep -q -e panicked -e 'thread .* overflow' "$WORK/err"; then cat "$WORK/err"; return 1; fi
	[ "$ended" != 125 ] || grep -q '^view: ' "$WORK/err" || { echo 'refused without a message'; cat "$WORK/err"; return 1; }
}

check 'the whole image' use "$whole"
[ "$ended" = 0 ] || bad 'the whole image is accepted'

i=0
while [ $i -lt "$count" ]; do
	i=$((i + 1))
	/usr/bin/python3 "$ACCEPTANCE/damage.py" "$whole" "$WORK/damaged.img" "$i" || exit 2
	check "damaged image $i" use "$WORK/damaged.img"
done
for size in 0 1 1023 1024 1500 2048 4096 65536 1000000 4000000; do
	head -c $size "$whole" >"$WORK/damaged.img"
	check "image cut to $size bytes" use "$WORK/damaged.img"
done

# A damaged directory block: the errno of the program inside, and one line that names what is damaged.
/usr/bin/python3 "$ACCEPTANCE/damage.py" "$whole" "$WORK/damaged.img" inodes || exit 2
"$VIEW_BIN" run -m "ext4:$WORK/damaged.img:$point" -- find "$point" >"$WORK/out" 2>"$WORK/err"
says 'errno is EUCLEAN or EIO' 'Structure needs cleaning|Input/output error' "$WORK/err"
says 'a line names the block or the inode' '^view: .*(block|inode) [0-9]+' "$WORK/err"
finish
