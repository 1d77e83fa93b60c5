#!/bin/sh
# Programs that lie on the image, of every form and started in every way. What they print must be what the same files print
# natively, but for the name of the top directory.
. "$(dirname "$0")/lib.sh"

image=$FIXTURES/ext4.img
point=$WORK/mnt

# both NAME SNIPPET: runs the snippet in work/ of the tree natively and of the mount in a view; output and status must be equal.
both() {
	(cd "$FIXTURES/tree/work" && exec timeout 120 sh -c "$2") >"$WORK/raw" 2>&1
	echo "status $?" >>"$WORK/raw"
	sed "s#$FIXTURES/tree#TOP#g" "$WORK/raw" >"$WORK/native"
	timeout 120 "$VIEW_BIN" run -m "ext4:$image:$point" -w "$point/work" -- sh -c "$2" >"$WORK/raw" 2>&1
	echo "status $?" >>"$WORK/raw"
	sed "s#$point#TOP#g" "$WORK/raw" >"$WORK/view"
	same "$1" "$WORK/native" "$WORK/view"
}

for program in static static-pie dynamic dynamic-pie; do
	both "$program, by relative and absolute name" "bin/$program one 'two  words' ''; \"\$PWD/bin/$program\" three; cd bin && ./$program"
	both "$program, exec -a and an empty environment" "bash -c 'exec -a other bin/$program a'; env -i bin/$program"
	for how in execve fork vfork spawn thread threads-spawn fexecve execveat; do
		# execveat and fexecve name the program by a descriptor: its number may differ.
		both "$program, $how" "bin/exec-cases $how bin/$program one | sed 's#/dev/fd/[0-9]*#/dev/fd/N#' | sort | uniq -c"
	done
	both "$program, found along PATH" "PATH=\$PWD/bin:\$PATH; bin/exec-cases path $program one"
done
both 'a program of the host started from the mount' 'bin/exec-cases spawn /bin/echo from the host'
both 'the loader as a program' 'bin/ld.so bin/dynamic x 2>&1 | sed 1q; bin/ld.so --library-path bin bin/dynamic-pie y | sed 1q'
both 'ldd' 'ldd bin/dynamic bin/dynamic-pie | sed "s/ (0x.*//"; ldd bin/static 2>&1'
both 'LD_LIBRARY_PATH and LD_PRELOAD' 'LD_PRELOAD=$PWD/bin/libgreeting.so /bin/echo preloaded; cd /; LD_LIBRARY_PATH=$OLDPWD/bin "$OLDPWD/bin/dynamic"; "$OLDPWD/bin/dynamic-pie"'
both 'scripts' 'for s in plain.sh argument.sh env.sh env-split.py no-interpreter; do scripts/$s a "b c"; echo "status $?"; done'
both 'scripts by PATH and by interpreter' 'PATH=$PWD/scripts:$PATH; plain.sh x; sh scripts/plain.sh y; cd scripts && ./plain.sh z; bash -c "exec ./plain.sh w"'
both 'errors' 'for p in scripts/missing-interpreter scripts/not-executable scripts bin/none scripts/plain.sh/x database/test.sqlite3; do for how in execve spawn; do bin/exec-cases $how $p; echo "$p $how $?"; done; done'
both 'symbolic links to programs' 'bin/bb-sort scripts/plain.sh; bin/bb-wc -l scripts/plain.sh; cd bin; ./bb-sha256sum ../scripts/plain.sh'
both 'busybox runs itself' 'bin/busybox sh -c "bin/busybox echo inner; bin/busybox nice bin/busybox id -u" | sort'
both 'a Go program starts and reads' 'bin/go-static tree scripts'
both '1,000 short processes' 'i=0; while [ $i -lt 1000 ]; do bin/true || echo failed $i; i=$((i + 1)); done; echo done'
both 'find -exec, xargs -P' 'find scripts -type f -exec bin/busybox cksum {} + | sort; find scripts -type f | sort | xargs -n 1 -P 8 bin/busybox wc -c | sort'
both 'pipes of programs on the mount' 'b=bin/busybox; $b seq 1000 | $b grep 7 | $b sort -r | $b tail -n 20 | $b cksum'
both 'exit statuses and signals' 'bin/busybox sh -c "exit 77"; echo $?; bin/busybox sh -c "kill -9 \$\$"; echo $?; bin/busybox false; echo $?'
both 'a large argument list' 'bin/busybox echo $(seq 20000) | cksum; bin/static $(seq 100) | cksum'
both 'memory maps name the programs' 'bin/busybox awk "/busybox/ {print \$6}" /proc/self/maps | sort -u; bin/busybox readlink /proc/self/exe'

# The exit status is the command's; 126 and 127 as env(1).
status() {
	local want=$1
	shift
	"$VIEW_BIN" run "$@" >"$WORK/status.out" 2>&1
	got=$?
	check "exit status $want: ${*##*/}" [ "$got" = "$want" ]
}
status 0 -- true
status 42 -- sh -c 'exit 42'
status 143 -- sh -c 'kill -TERM $$'
status 137 -- sh -c 'kill -KILL $$'
status 127 -- "$WORK/no-such-program"
status 126 -- "$ACCEPTANCE"
status 125 -m "ext4:$WORK/no-such-image:$point" -- true
status 0 -m "ext4:$image:$point" -- "$point/work/bin/true"
status 127 -m "ext4:$image:$point" -- "$point/work/bin/none"
status 126 -m "ext4:$image:$point" -- "$point/work/scripts/not-executable"
finish
