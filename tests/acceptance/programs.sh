#!/bin/sh
# Unmodified programs: each case below runs twice in the top directory of the tree, natively on the source tree and in a
# view on the mounted image. Standard output, standard error and the exit status must be equal.
# $OUT is a writable directory of the case; on the mount side it lies on the host, next to the mount point.
. "$(dirname "$0")/lib.sh"

image=${PROGRAMS_IMAGE:-$FIXTURES/ext4.img}
only=${1:-}
point=$WORK/mnt
GIT_OPTIONAL_LOCKS=0 # git must not write to the source tree; see also GIT_INDEX_FILE below
GIT_PAGER=cat
PYTHONDONTWRITEBYTECODE=1
export GIT_OPTIONAL_LOCKS GIT_PAGER PYTHONDONTWRITEBYTECODE

# plain DIR: what may differ between two runs of one program, put in one form: the directory's name, addresses, pids.
plain() {
	sed -e "s#$1#TOP#g" -e "s#$2#OUT#g" -e 's/0x[0-9a-f]\{6,\}/ADDRESS/g' -e 's/process [0-9]\{1,\}/process PID/g' \
		-e 's/\(LWP\|pid\) [0-9]\{1,\}/\1 PID/g' -e 's/^[0-9]\{1,\} \{1,\}//'
}

# both NAME SNIPPET: one case.
both() {
	local where
	case $1 in *"$only"*) ;; *) return ;; esac
	for where in native view; do
		OUT=$WORK/out-$where
		rm -rf "$OUT"
		mkdir "$OUT"
		export OUT
		if [ $where = native ]; then
			(cd "$FIXTURES/tree" && exec timeout 300 sh -c "$2") >"$WORK/raw" 2>&1
			echo "status $?" >>"$WORK/raw"
			plain "$FIXTURES/tree" "$OUT" <"$WORK/raw" >"$WORK/native"
		else
			timeout 300 "$VIEW_BIN" run -m "$(kind "$image"):$image:$point" -w "$point" -- sh -c "$2" >"$WORK/raw" 2>&1
			echo "status $?" >>"$WORK/raw"
			plain "$point" "$OUT" <"$WORK/raw" >"$WORK/view"
		fi
	done
	if [ "$(wc -c <"$WORK/native")" -lt 10 ]; then
		bad "$1: prints nothing natively"
	else
		same "$1" "$WORK/native" "$WORK/view"
	fi
}

both 'bash: globs, tests, redirection' 'bash -c '\''shopt -s globstar nullglob
	for f in files/d00/**; do [[ -f $f ]] && { IFS= read -r -n 9 line <"$f"; printf "%s %q\n" "$f" "$line"; }; done 2>/dev/null
	cd files/d01 && cd .. && echo "$PWD" && pwd -P && [ -L ../links/near ] && [ ! -e ../links/dangling ] && echo tests'\'
both 'bash: process substitution, here documents, coprocess' 'bash -c '\''diff <(sort work/scripts/plain.sh) <(sort work/scripts/env.sh)
	cat <<END - <files/d00/e00/file-00000.txt | cksum
	text
END
	coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"'\'
both 'dash: 100 pipelines' 'for i in $(seq 100); do echo abc | cat | cat; done | sort | uniq -c; (cd names && ls -1b); echo names/* | cksum'
both 'coreutils: sums of 2,000 files' 'find files/d0[0-4] -type f -print0 | sort -z | xargs -0 cksum; find files -type f | sort | xargs cat | sha256sum'
both 'coreutils: ls' 'ls -lnU files/d00/e00 | sort; ls -l --time-style=full-iso names links xattrs modes | grep -av "^total" |
	sed "s/^\(d[^ ]* *[0-9]* *[^ ]* *[^ ]*\) *[0-9]*/\1/"; ls many | wc -l; ls -f many | sort | cksum; ls -R deep | cksum'
both 'coreutils: stat, readlink, realpath, test' 'stat -c "%n %A %h %u %g %F %Y" links/* modes/file-0755 nodes/*; stat -Lc "%n %s" links/near links/absolute links/dangling
	stat -Lc %n links/loop-a; readlink links/*; readlink -f links/up links/near; realpath deep/../links/directory
	test -p nodes/fifo && test -x work/bin/true && ! test -x work/scripts/not-executable && echo right'
both 'coreutils: parts of large files' 'head -c 100000 big/300m | cksum; tail -c 123457 big/300m | cksum; dd if=big/300m bs=4097 skip=70000 count=11 2>/dev/null | cksum
	dd if=big/sparse-5g bs=1M skip=4094 count=4 2>/dev/null | cksum; tail -c 10 big/sparse-5g | od -c; stat -c %s big/*
	cmp big/300m big/300m && cmp -n 5000000 big/300m big/sparse-5g'
both 'coreutils: copies' 'cp -a work/repository "$OUT/r" && diff -r work/repository "$OUT/r" && cp --sparse=always holes/* "$OUT" && cksum "$OUT"/[a-z]*[a-z]
	cp -r --preserve=links links/a "$OUT" && stat -c "%h %n" "$OUT/a/third"; install -m 640 work/bin/true "$OUT/t" && stat -c %a "$OUT/t"; du -sb "$OUT/a"
	split -n 3 files/d00/e00/file-00003.h "$OUT/x" && cat "$OUT"/x* | cksum; ln -s "$PWD/links/first" "$OUT/l" && cat "$OUT/l"'
both 'find' 'find . \( -path ./lost+found -o -path ./modes \) -prune -o -type f -name "*.c" -size +4k -printf "%P %s %m\n" | sort; find many -newermt 2020-01-01 | wc -l
	find links -xtype l 2>&1 | sort; find -L links -maxdepth 3 2>&1 | sort; find links many -samefile links/first | sort; find deep -depth | cksum; find modes -maxdepth 1 -perm -4000 | sort'
both 'grep -r' 'grep -r needle files work/c-project | sort | cksum; grep -rlz "journal link" files | sort | tail -n 20; grep -rc leaf files/d01 | sort'
both 'tar, and back' 'tar -C work -cf "$OUT/a.tar" --sort=name . && tar -tvf "$OUT/a.tar" --numeric-owner | cksum; mkdir "$OUT/x" && tar -C "$OUT/x" -xf "$OUT/a.tar" &&
	diff -r --no-dereference work "$OUT/x" && echo equal; tar -cf - big/300m | cksum'
both 'rsync' 'rsync -aHX files/d00 links names xattrs/several "$OUT/" && rsync -aHXni --checksum files/d00 links names xattrs/several "$OUT/"; cd "$OUT" && find . | sort | cksum; getfattr -d several'
both 'git status, log, fsck, grep, diff, blame' 'cd work/repository && cp .git/index "$OUT/index" && export GIT_INDEX_FILE="$OUT/index" && git status && git log --stat --decorate && git fsck --full --strict 2>&1 &&
	git grep -c needle | tail; git diff; git blame HEAD -- counter.txt; git show v1 | head; git ls-files -s | cksum; git archive HEAD | cksum; git rev-list --objects --all | wc -l'
both 'git clone' 'git clone -q --no-hardlinks work/repository "$OUT/c" && git -C "$OUT/c" log --oneline && git -C "$OUT/c" status --short && diff -r work/repository "$OUT/c" -x .git'
both 'sqlite3, read-only' 'sqlite3 -readonly work/database/test.sqlite3 "pragma integrity_check; select count(*), sum(k) from t; select * from t where v=\"value 77\" order by k limit 5;
	select substr(v,1,8) g, count(*) from t group by g order by g limit 10;"; sqlite3 -readonly work/database/test.sqlite3 .dump | cksum; sqlite3 -readonly work/database/test.sqlite3 "insert into t values(0,0)"'
both 'sqlite3, mapped' 'sqlite3 -readonly work/database/test.sqlite3 "pragma mmap_size=10000000; select count(distinct v), min(v), max(v) from t"'
both 'python3' 'cd work/python && /usr/bin/python3 main.py && /usr/bin/python3 -c "
import hashlib, mmap, os, shutil, zipfile
top = \"../..\"
for name in sorted(os.listdir(top + \"/xattrs\")):
    path = os.path.join(top, \"xattrs\", name)
    print(name, {k: os.getxattr(path, k) for k in sorted(os.listxattr(path))})
with open(top + \"/big/300m\", \"rb\") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
    print(hashlib.md5(m[100_000_000:140_000_000]).hexdigest(), m.find(b\"\\x11\\xe1\\xa3\\x00\", 290_000_000))
print(sum(len(f) for _, _, f in os.walk(top + \"/files\")))
print([(e.name, e.is_file(), e.is_symlink()) for e in sorted(os.scandir(top + \"/links\"), key=lambda e: e.name)])
"'
both 'node' 'node -e "
const fs = require(\"fs\"), path = require(\"path\"), crypto = require(\"crypto\");
const walk = d => fs.readdirSync(d, {withFileTypes: true}).flatMap(e => e.isDirectory() ? walk(path.join(d, e.name)) : [path.join(d, e.name)]).sort();
const sum = b => crypto.createHash(\"sha256\").update(b).digest(\"hex\");
for (const f of walk(\"files/d02\")) console.log(f, sum(fs.readFileSync(f)), fs.statSync(f).mtimeMs);
(async () => {
  console.log((await Promise.all(walk(\"files/d03\").map(f => fs.promises.readFile(f).then(sum)))).join(\"\\n\"));
  fs.createReadStream(\"big/300m\", {end: 9999999}).pipe(crypto.createHash(\"md5\")).on(\"data\", d => console.log(d.toString(\"hex\")));
  fs.promises.readFile(\"no/such\").catch(e => console.log(e.code));
})();
"'
both 'busybox, static' 'b=$PWD/work/bin/busybox; $b find files/d05 -type f | $b sort | $b xargs $b sha256sum; $b ls -la work/scripts | $b tail -n +3; work/bin/bb-wc work/bin/bb-sort
	$b tar cf - -C work scripts | $b tar t | sort; $b sh -c "cd deep && $b du -a . | $b wc -l"; $b grep -r needle work/c-project | $b wc -l'
both 'a static Go program' 'work/bin/go-static tree files/d01; work/bin/go-static tree work/repository/d00; work/bin/go-static hammer files/d06 2000'
both 'perl' 'perl -MFile::Find -MDigest::MD5 -e '\''find({no_chdir=>1, wanted=>sub{ push @f, $_ if -f $_ && !-l $_ }}, "files/d07"); for (sort @f) { open F, "<", $_ or die; binmode F; print Digest::MD5->new->addfile(*F)->hexdigest, " $_\n" }'\'
both 'gdb -batch' 'gdb -nx -batch -ex "break greeting" -ex run -ex bt -ex finish -ex "info sharedlibrary" -ex continue --args work/bin/dynamic-pie one 2>&1 | grep -v "^warning\|debuginfod\|libthread_db"'
both 'gdb -batch, a program of the host' 'gdb -nx -batch -ex "run" -ex "print \$_exitcode" --args /bin/cat work/scripts/plain.sh 2>&1 | grep -v "^warning\|debuginfod\|libthread_db"'
both 'strace -f' 'strace -f -qq -e trace=execve,openat,read -e signal=none -s 60 -o "$OUT/trace" work/bin/busybox sh -c "read a <work/scripts/plain.sh; echo \$a; work/bin/busybox cat files/d00/e00/file-00000.txt >/dev/null; work/bin/busybox wc -c files/d00/e00/file-00003.h; cat work/scripts/env.sh"
	sed "s/ADDRESS//; s/\/\* [0-9]* vars \*\///" "$OUT/trace" | sort'
both 'strace -f, a program of the host' 'strace -f -qq -e trace=openat -o "$OUT/trace" cat work/scripts/plain.sh no/such && grep -c . "$OUT/trace"; grep -e plain.sh -e no/such "$OUT/trace"'
both 'compressors' 'gzip -9nc files/d00/e00/*.txt | cksum; xz -0 -c big/300m | head -c 100000 | cksum; tar -czf - --sort=name -C work python | tar -tzf -'
both 'diff, cmp, awk, sed' 'diff -rq files/d00 files/d01 | sort | tail -n 5; awk "{n+=NF} END {print n}" files/d0*/e0*/*.txt; sed -n "1,3p" work/scripts/*; wc -c files/d00/*/* | tail -n 1'

# What a read-only mount refuses, whoever asks.
cat >"$WORK/refusals" <<'END'
cd "$1" || exit
for command in 'touch links/first' 'mkdir new' 'rm links/first' 'rmdir deep' 'mv links/first links/other' 'ln links/first links/other' \
	'ln -s x new' 'chmod 600 links/first' 'chown 1 links/first' 'truncate -s 1 links/first' 'setfattr -n user.x -v 1 links/first' \
	'cp links/first new' 'mkfifo new' 'dd if=/dev/null of=links/first' 'tee -a links/first'; do
	LC_ALL=C $command </dev/null 2>&1 | grep -q 'Read-only file system' && echo "refused: $command" || echo "NOT refused: $command"
done 2>/dev/null
END
if [ -z "$only" ]; then
	on "$image" "$point" sh "$WORK/refusals" "$point" >"$WORK/refused" 2>&1
	if [ "$(grep -c '^refused' "$WORK/refused")" = 15 ]; then ok 'changes are refused with EROFS'; else bad 'changes are refused with EROFS' "$WORK/refused"; fi

	on "$image" "$point" sh -c 'findmnt -n -o FSTYPE,OPTIONS -T "$1/links/first"; df --output=target "$1"; readlink /proc/self/cwd; grep -F " $1 " /proc/self/mountinfo
		exec 3<"$1/links/first"; readlink /proc/self/fd/3; cat /proc/self/fd/3' - "$point" >"$WORK/truth" 2>&1
	says 'findmnt names the type' '^ext4 .*ro' "$WORK/truth"
	says 'df names the mount point' "^$point\$" "$WORK/truth"
	says 'mountinfo has the mount' " $point ro" "$WORK/truth"
	says '/proc/self/fd names the file' "^$point/links/first\$" "$WORK/truth"
	says '/proc/self/fd/N opens it again' '^one inode, many names$' "$WORK/truth"
fi
finish
