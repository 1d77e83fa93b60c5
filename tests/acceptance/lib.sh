# Sourced by the steps. Counts tests; each prints one line, and a failed one why.
#
# What `cargo xtask test` gives a step:
#   VIEW_BIN     the binary            FIXTURES    tree/, expected/, NAME.img of `cargo xtask images`
#   WORK         an empty directory    CHECKOUT    a copy of the checkout that the test user may read
#   VIEW_FULL    1 for full sizes      ACCEPTANCE  where these scripts are
#   KERNEL_READER  where kernel-reader.sh takes images; empty where the kernel's ext4 is not to be had
# By hand: VIEW_BIN=target/release/view FIXTURES=target/fixtures sh tests/acceptance/equality.sh
set -u
LC_ALL=C.UTF-8
export LC_ALL

: "${VIEW_FULL:=0}"
: "${CHECKOUT:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${ACCEPTANCE:=$CHECKOUT/tests/acceptance}"
: "${FIXTURES:=$CHECKOUT/target/fixtures}"
: "${VIEW_BIN:=$CHECKOUT/target/release/view}"
if [ -z "${WORK:-}" ]; then
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
fi
FIXTURES=$(cd "$FIXTURES" && pwd) || exit 2
export VIEW_FULL CHECKOUT ACCEPTANCE FIXTURES VIEW_BIN WORK
PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
export PATH

passed=0
failed=0

ok() {
	passed=$((passed + 1))
	printf 'ok   %s\n' "$1"
}

# bad NAME [FILE]: counts a failure; prints the end of FILE.
bad() {
	failed=$((failed + 1))
	printf 'FAIL %s\n' "$1"
	if [ $# -gt 1 ] && [ -e "$2" ]; then
		tail -n 15 "$2" | cut -c 1-300 | cat -v | sed 's/^/     | /'
	fi
}

# check NAME COMMAND...: the command must exit with status 0.
check() {
	local name=$1 status
	shift
	if "$@" >"$WORK/check.out" 2>&1; then
		ok "$name"
	else
		status=$?
		echo "exit status $status" >>"$WORK/check.out"
		bad "$name" "$WORK/check.out"
	fi
}

# same NAME A B: the two files must be equal.
same() {
	if cmp -s "$2" "$3"; then
		ok "$1"
	else
		diff -a "$2" "$3" >"$WORK/same.out" 2>&1
		bad "$1" "$WORK/same.out"
	fi
}

# says NAME PATTERN FILE: FILE must hold a line that matches the extended pattern.
says() {
	if grep -Eq -e "$2" "$3"; then
		ok "$1"
	else
		bad "$1 (no line matches: $2)" "$3"
	fi
}

# kind IMAGE: the file system type of one of our images.
kind() {
	local name=${1##*/}
	echo "${name%%[-.]*}"
}

# on IMAGE POINT COMMAND...: runs the command in a new view that has the image.
on() {
	local image=$1 point=$2
	shift 2
	"$VIEW_BIN" run -m "$(kind "$image"):$image:$point" -- "$@"
}

# settled IMAGE: returns when no view has the image open any more; processes may outlive the command of their view.
settled() {
	flock -w 60 "$1" true
}

# clean NAME IMAGE: e2fsck finds nothing wrong, not even an unfinished journal, and the kernel's own ext4 reads what a view reads.
clean() {
	settled "$2" || bad "$1: still in use"
	check "$1: e2fsck finds it clean" e2fsck -fn "$2"
	[ -n "${KERNEL_READER:-}" ] && check "$1: the kernel's ext4 reads the same" reads_alike "$2"
}

# reads_alike IMAGE: the listings of a view and of the kernel are the same.
reads_alike() {
	local image request what status=0
	image=$(realpath "$1") || return
	request=$(mktemp -u "$KERNEL_READER/XXXXXXXX") || return
	echo "$image" >"$request"
	mv "$request" "$request.image"
	for what in attributes xattrs sha256; do
		"$VIEW_BIN" run -m "$image:$WORK/alike" -- sh "$ACCEPTANCE/listing.sh" $what "$WORK/alike" >"$WORK/alike.$what" || status=1
	done
	while [ ! -e "$request.done" ]; do
		sleep 0.05
	done
	[ "$(cat "$request.done")" = 0 ] || { cat "$request.error" && return 1; }
	for what in attributes xattrs sha256; do
		diff -a "$request.$what" "$WORK/alike.$what" || status=1
	done
	rm -f "$request".*
	return $status
}

finish() {
	printf '%s passed, %s failed\n' "$passed" "$failed"
	[ "$failed" = 0 ]
	exit
}
