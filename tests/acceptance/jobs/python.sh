# Python's own tests with TMPDIR on ext4, as python.sh runs them on a tmpfs: what passes natively must pass in the view.
modules='os shutil pathlib mmap tempfile'
[ "$VIEW_FULL" = 1 ] && modules='os posix shutil pathlib glob mmap subprocess fcntl tempfile'
results=$WORK/results
mkdir -p "$results/native" "$results/view"
# Blocks of 4 KiB, as on the host: what xattrs an inode can have depends on it.
fresh python 256M -b 4096

for module in $modules; do
	TMPDIR=$WORK/native natively python /usr/bin/python3 -B "$ACCEPTANCE/python-run.py" "test_$module" \
		"$results/native/$module" >"$results/native/$module.log" 2>&1 </dev/null
	settled "$WORK/python.img"
	inside python -e TMPDIR="$point" -- /usr/bin/python3 -B "$ACCEPTANCE/python-run.py" "test_$module" \
		"$results/view/$module" >"$results/view/$module.log" 2>&1 </dev/null ||
		echo "test_$module in the view: exit status $?"
done
/usr/bin/python3 "$ACCEPTANCE/python-compare.py" "$results" $modules >"$WORK/python.out"
sed '$d' "$WORK/python.out" | grep -v '^ok '
for module in $modules; do
	says "python: test_$module on ext4 as natively" "^ok   test_$module: [1-9]" "$WORK/python.out"
done
sound python
