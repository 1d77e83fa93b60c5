# Programs that fill a filesystem: usage: full-programs.sh DIRECTORY WORK. DIRECTORY is the empty root of a small one,
# WORK a place for what is written to it. Says nothing that differs between Linux and a view.
set -u
LC_ALL=C
export LC_ALL
work=$2
mkdir -p "$work/src"
head -c 30000000 /dev/urandom >"$work/big"
for i in $(seq 700); do
	tail -c +$((i * 40000)) "$work/big" | head -c 39000 >"$work/src/f$i"
done
tar -cf "$work/src.tar" -C "$work" src
cd "$1" || exit

# run NAME COMMAND...: its status, and whether it said why.
run() {
	local name=$1 status said=no
	shift
	"$@" 2>"$work/err"
	status=$?
	grep -q 'No space left on device' "$work/err" && said=yes
	echo "$name: status $status, said so: $said"
}

# begins NAME: it is what big begins with, and about all that fits.
begins() {
	local size
	size=$(stat -c %s "$1")
	cmp -s -n "$size" "$work/big" "$1" && [ "$size" -gt 15000000 ] && [ "$size" -lt 23100000 ] && echo "$1: right"
}

# After each: what is removed is room for the next, at once.
run dd dd if="$work/big" of=from-dd bs=1M
begins from-dd
run 'dd again' dd if="$work/big" of=again bs=64k
rm from-dd again
run 'dd, small' dd if="$work/big" of=small bs=64k count=100 conv=fsync
rm small
run cat sh -c 'cat "$1" >from-cat' - "$work/big"
begins from-cat
rm from-cat
run cp cp "$work/big" from-cp
begins from-cp
run 'mv over it' mv -f from-cp moved
truncate -s 1000000 moved
run 'cat, appending' sh -c 'tail -c +1000001 "$1" >>moved' - "$work/big"
begins moved
rm moved
run tar tar -xf "$work/src.tar"
whole=0
for i in $(seq 700); do
	[ "$(stat -c %s "src/f$i" 2>/dev/null)" = 39000 ] || continue
	cmp -s "$work/src/f$i" "src/f$i" || echo "src/f$i: WRONG"
	whole=$((whole + 1))
done
[ $whole -gt 350 ] && [ $whole -lt 600 ] && echo 'tar: about as many files as fit'
run 'cp -r' cp -r src src2
rm -rf src src2
run 'tar in a pipe' sh -c 'cat "$1" | tar -xf - --strip-components=1 src/f1 src/f2 src/f3' - "$work/src.tar"
run 'two at once' sh -c 'cat "$1" >one & first=$!; cat "$1" >other; second=$?; wait $first; [ $? = 1 ] && [ $second = 1 ]' - "$work/big"
cmp "$work/src/f2" f2 && echo 'f2: right'
rm one other
run 'room again' dd if="$work/big" of=last bs=1M count=10 conv=fsync
cmp -s -n 10485760 "$work/big" last && echo 'last: right'
rm -r "$work"
