#!/bin/sh
# Real work that lives on a writable image: each part of jobs/ is one kind. It runs in a view on an image of its own and,
# where that makes sense, natively as well; afterwards e2fsck must find nothing. The last lines say how long each took.
#   sh tests/acceptance/jobs.sh [PART...]      e.g. git sqlite
. "$(dirname "$0")/lib.sh"

jobs=$ACCEPTANCE/jobs
point=$WORK/mnt
cd "$WORK" || exit 2
mkdir -p "$point" native
XDG_RUNTIME_DIR=$WORK
export XDG_RUNTIME_DIR

# fresh NAME SIZE [OPTION...]: an empty ext4 image $WORK/NAME.img that the test user may write.
fresh() {
	local name=$1 size=$2
	shift 2
	mke2fs -q -F -t ext4 -E "root_owner=$(id -u):$(id -g)" "$@" "$WORK/$name.img" "$size" >/dev/null 2>&1
}

# sound NAME: nothing is wrong with $WORK/NAME.img.
sound() {
	clean "$1" "$WORK/$1.img"
}

# timed LABEL COMMAND...: notes how long it took.
timed() {
	local label=$1 start end status
	shift
	start=$(date +%s.%N)
	"$@"
	status=$?
	end=$(date +%s.%N)
	echo "$label $start $end" >>"$WORK/times"
	return $status
}

# inside NAME [OPTION...] -- COMMAND...: a view that has $WORK/NAME.img at $point.
inside() {
	local name=$1
	shift
	timed "$name:view" timeout -k 5 "$limit" "$VIEW_BIN" run -m "ext4:$WORK/$name.img:$point:rw" "$@"
}

# natively NAME COMMAND...
natively() {
	local name=$1
	shift
	timed "$name:native" timeout -k 5 "$limit" "$@"
}

limit=300
[ "$VIEW_FULL" = 1 ] && limit=1200
for part in ${*:-python git debian build postgres sqlite}; do
	. "$jobs/$part.sh"
	rm -rf "$WORK"/*.img native
	mkdir -p native
done

awk '{
	split($1, word, ":")
	if (!(word[1] in seen)) { seen[word[1]]; order[++count] = word[1] }
	spent[$1] += $3 - $2
} END {
	printf "%-12s %8s %8s   seconds\n", "job", "native", "view"
	for (i = 1; i <= count; i++) printf "%-12s %8s %8s\n", order[i], figure(order[i] ":native"), figure(order[i] ":view")
}
function figure(key) { return key in spent ? sprintf("%.1f", spent[key]) : "-" }' "$WORK/times"
finish
