# Two processes write one database, with a journal of each kind.
rows=100
[ "$VIEW_FULL" = 1 ] && rows=1000
fresh sqlite 64M
for mode in wal delete truncate persist; do
	natively sqlite /usr/bin/python3 "$jobs/sqlite.py" "$WORK/native/$mode.db" $mode $rows >"$WORK/sqlite.out" 2>&1
	check "sqlite: $mode natively" [ $? = 0 ]
	inside sqlite -- /usr/bin/python3 "$jobs/sqlite.py" "$point/$mode.db" $mode $rows >"$WORK/sqlite.out" 2>&1
	check "sqlite: $mode, two writers" grep -x "$mode: $((2 * rows)) rows" "$WORK/sqlite.out"
	inside sqlite -- sqlite3 "$point/$mode.db" 'pragma integrity_check; select count(*), sum(length(text)) from t' >"$WORK/sqlite.view" 2>&1
	sqlite3 "$WORK/native/$mode.db" 'pragma integrity_check; select count(*), sum(length(text)) from t' >"$WORK/sqlite.native" 2>&1
	same "sqlite: $mode, read by the next view" "$WORK/sqlite.native" "$WORK/sqlite.view"
done
sound sqlite
