#!/bin/sh
# Python's own tests of what a view answers: each test that passes natively must pass in a view too, with TMPDIR on the
# view's tmpfs (natively on the host's). Both run as the same user, by /usr/bin/python3, through python-run.py.
. "$(dirname "$0")/lib.sh"

modules=${*:-'os posix shutil pathlib glob mmap subprocess fcntl tempfile'}
run=$ACCEPTANCE/python-run.py
results=$WORK/results
mkdir -p "$results/native" "$results/view"
native=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d -p "$WORK")
trap 'rm -rf "$native"' EXIT

for module in $modules; do
	TMPDIR=$native timeout -k 5 300 /usr/bin/python3 -B "$run" "test_$module" "$results/native/$module" \
		>"$results/native/$module.log" 2>&1 </dev/null
	timeout -k 5 600 "$VIEW_BIN" run --tmpfs "$WORK/tmpfs" -e TMPDIR="$WORK/tmpfs" -- \
		/usr/bin/python3 -B "$run" "test_$module" "$results/view/$module" >"$results/view/$module.log" 2>&1 </dev/null ||
		echo "test_$module in the view: exit status $?"
done
/usr/bin/python3 "$ACCEPTANCE/python-compare.py" "$results" $modules
