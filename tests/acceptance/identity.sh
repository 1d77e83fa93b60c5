#!/bin/sh
# Ids, owners and mounts in a view that has an identity of its own: view run -0, -u.
. "$(dirname "$0")/lib.sh"

image=$FIXTURES/ext4.img
cd "$WORK" || exit 2

# root NAME SCRIPT: the script must end well as root of a view that has a tmpfs on $WORK/t.
root() {
	printf 'set -eu\n%s\n' "$2" >"$WORK/script.sh"
	check "$1" timeout 120 "$VIEW_BIN" run -0 --tmpfs "$WORK/t" -- sh "$WORK/script.sh"
}

# as ID COMMAND...: for scripts, runs the command with other ids for good.
cat >"$WORK/as" <<'END_AS'
#!/bin/sh
id=$1
shift
exec setpriv --reuid="$id" --regid="$id" --clear-groups "$@"
END_AS
# equal GOT WANT
cat >"$WORK/equal" <<'END_EQUAL'
#!/bin/sh
[ "$1" = "$2" ] || { echo "got $1, want $2"; exit 1; }
END_EQUAL
# refused COMMAND...: must fail
cat >"$WORK/refused" <<'END_REFUSED'
#!/bin/sh
if "$@"; then echo "not refused: $*"; exit 1; fi
END_REFUSED
chmod 755 as equal refused
mkdir host
outside=$(id -u):$(id -g)

root 'root by every account' '
./equal "$(id -u) $(id -g) $(id -G)" "0 0 0"
./equal "$(whoami)" root
./equal "$(sed -n "s/^[UG]id:\t//p" /proc/self/status | tr "\t\n" "  ")" "0 0 0 0 0 0 0 0 "
./equal "$(sed -n "s/^CapEff:\t//p" /proc/self/status)" 000001ffffffffff'
check 'other ids' sh -c '[ "$("$VIEW_BIN" run -u 7:8 -- id -u)" = 7 ] && [ "$("$VIEW_BIN" run -u 7:8 -- id -g)" = 8 ]'
check 'an ordinary user has no capability' sh -c '[ "$("$VIEW_BIN" run -u 7 -- sed -n "s/^CapEff:.//p" /proc/self/status)" = 0000000000000000 ]'
check 'a user who is not known' sh -c '! "$VIEW_BIN" run -u no.such.user -- true'
check 'without -0 nothing changes' sh -c '[ "$("$VIEW_BIN" run --tmpfs "$WORK/t" -- id)" = "$(id)" ]'

root 'set*id calls follow capabilities' '
python3 - <<"PY"
import os
def refused(call, *arguments):
    try:
        call(*arguments)
    except PermissionError:
        return
    raise SystemExit(f"{call.__name__}{arguments} not refused")
os.setgroups([30, 20])
assert sorted(os.getgroups()) == [20, 30]
os.setresuid(-1, 5, -1)
assert os.getresuid() == (0, 5, 0)
refused(os.setgroups, [1])
refused(os.setresgid, 1, 1, 1)
os.seteuid(0)
os.setresgid(4, 4, 4)
os.setreuid(6, 7)
assert os.getresuid() == (6, 7, 7), os.getresuid()
refused(os.setuid, 0)
refused(os.setreuid, 0, -1)
os.setreuid(7, 6)
assert os.getresuid() == (7, 6, 6), os.getresuid()
assert os.getresgid() == (4, 4, 4)
PY'

root 'a thread has ids of its own, children those of their maker' '
python3 - <<"PY"
import ctypes, os, threading, time
libc = ctypes.CDLL(None, use_errno=True)
seen = []
def child():
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, b"%d" % os.getuid())
        os._exit(0)
    os.wait()
    return int(os.read(read, 9))
def raw():
    assert libc.syscall(117, 9, 9, 9) == 0
    seen.append(os.getresuid())
    seen.append(child())
thread = threading.Thread(target=raw)
thread.start()
thread.join()
assert seen == [(9, 9, 9), 9], seen
assert os.getresuid() == (0, 0, 0) and child() == 0
# One that the parent made before it changed, and an orphan of a changed one.
before, go = os.pipe()
told, tell = os.pipe()
if os.fork() == 0:
    os.read(before, 1)
    os.write(tell, b"%d." % os.getuid())
    os._exit(0)
if os.fork() == 0:
    os.setuid(77)
    if os.fork() == 0:
        time.sleep(0.3)
        os.write(tell, b"%d." % os.getuid())
        os._exit(0)
    os._exit(0)
os.waitpid(-1, 0)
os.setuid(5)
os.write(go, b"x")
text = b""
while text.count(b".") < 2:
    text += os.read(told, 9)
assert sorted(text.split(b".")) == [b"", b"0", b"77"], text
PY'

for place in host t; do
	root "owners and modes, on $place" "cd $place"'
up=$(dirname "$PWD")
touch f; mkdir d; ln -s x l
"$up/equal" "$(stat -c %u:%g f)" 0:0
chown 5:6 f; chgrp 9 d; chown -h 3:4 l
"$up/equal" "$(stat -c %u:%g f d l | tr "\n" " ")" "5:6 0:9 3:4 "
"$up/equal" "$(ls -ln f | cut -d " " -f 3,4)" "5 6"
"$up/equal" "$(python3 -c "import os; s = os.fstat(os.open(\"f\", 0)); print(s.st_uid, s.st_gid)")" "5 6"
chmod 6755 f; "$up/equal" "$(stat -c %a f)" 6755
chown 5 f; "$up/equal" "$(stat -c %a f)" 755
mv f g; ln g h; "$up/equal" "$(stat -c %u:%g h)" 5:6
chmod 0 g; "$up/equal" "$(stat -c %a g)" 0; echo text >g; "$up/equal" "$(cat h)" text
install -o 12 -g 13 -m 640 h i; "$up/equal" "$(stat -c "%u:%g %a" i)" "12:13 640"
mknod n c 1 3; mknod b b 8 1; "$up/equal" "$(stat -c "%F %t:%T" n b | tr "\n" " ")" "character special file 1:3 block special file 8:1 "
mkfifo p; chown 8:8 p; "$up/equal" "$(stat -c "%F %u" p)" "fifo 8"
rm g h; touch g; "$up/equal" "$(stat -c %u:%g g)" 0:0
chmod 777 .
"$up/as" 40 sh -c "touch o; mkdir od; ln -s x ol; mkfifo op"
"$up/equal" "$(stat -c %u:%g o od ol op | tr "\n" " ")" "40:40 40:40 40:40 40:40 "
"$up/refused" "$up/as" 40 chown 41 o
"$up/refused" "$up/as" 40 chmod 700 i
"$up/refused" "$up/as" 40 mknod n2 c 1 3
"$up/as" 40 chmod 750 o; "$up/equal" "$(stat -c %a o)" 750
rm -rf ./*'
done
check 'the host has the files of its user, without set-id bits' sh -c '
"$VIEW_BIN" run -0 -- sh -c "touch host/f && chown 5:5 host/f && chmod 6755 host/f" &&
[ "$(stat -c "%u:%g %a" host/f)" = "$0 755" ]' "$outside"

for place in host t; do
	root "permissions are those of the ids, on $place" "cd $place"'
 echo secret >s; chmod 640 s; chown 21:22 s; mkdir private; chmod 700 private; touch private/x
../refused ../as 23 cat s
../refused ../as 23 ls private
../equal "$(../as 21 cat s)" secret
../equal "$(../as 22 cat s)" secret
../equal "$(setpriv --reuid=23 --regid=23 --groups=22 cat s)" secret
../refused ../as 22 sh -c "echo >>s"
chmod 755 .; ../refused ../as 22 sh -c "touch private/y || rm s || mv s s2 || mkdir d"
chmod 1777 .; ../refused ../as 22 rm -f s; ../as 21 mv s s2; mv s2 s
chmod 755 .; python3 -c "
import os
os.setresuid(23, 0, 0)
assert os.access(\"s\", os.R_OK, effective_ids=True) and not os.access(\"s\", os.R_OK)"
cp /bin/true prog; chmod 700 prog; ./prog; ../refused ../as 22 sh -c "./prog; exit \$?"; rm -rf ./*'
done

for place in host t; do
	root "set-id programs, on $place" "cd $place"'
up=$(dirname "$PWD")
cp /usr/bin/id .; chmod 6755 id; chown 31:32 id; chmod 6755 id
"$up/equal" "$("$up/as" 50 ./id -u) $("$up/as" 50 ./id -ru) $("$up/as" 50 ./id -g) $("$up/as" 50 ./id -rg)" "31 50 32 50"
"$up/equal" "$("$up/as" 50 sh -c "./id -u; id -u" | tr "\n" " ")" "31 50 "
"$up/equal" "$("$up/as" 50 env LD_SHOW_AUXV=1 LD_PRELOAD=/no/such ./id -u 2>&1)" 31
"$up/equal" "$("$up/as" 50 setpriv --no-new-privs ./id -u)" 50
"$up/equal" "$(./id -u)" 31
rm id'
done
root 'device nodes can be used' '
cd t; mknod null c 1 3; mknod zero c 1 5; mknod full c 1 7; mknod none c 4095 9
echo text >null; ../equal "$(cat null)" ""; ../equal "$(head -c 3 zero | od -An -tx1)" " 00 00 00"
../refused sh -c "echo x >full"; ../refused sh -c "exec 2>/dev/null; cat none"
python3 -c "
import errno, os
try:
    os.open(\"none\", os.O_RDONLY)
    raise SystemExit(\"opened\")
except OSError as error:
    assert error.errno == errno.ENXIO, error"
chmod 600 null; ../refused ../as 50 sh -c "echo >null"
cd ..; mount -o remount,nodev t; ./refused sh -c "echo >t/null"; mount -o remount,dev t; echo >t/null'
root 'nosuid' '
mount -t tmpfs -o nosuid none t; cp /usr/bin/id t; chmod 4755 t/id
./equal "$(./as 50 t/id -u)" 50'

for place in host t; do
	root "tar keeps owners, on $place" "cd $place"'
mkdir a; touch a/x a/y; chown 70:71 a/x; chown 72 a; chmod 4711 a/y; mknod a/null c 1 3
tar --numeric-owner -cf a.tar a; mkdir out; tar --same-owner --numeric-owner -xpf a.tar -C out
(cd a && stat -c "%n %u:%g %a %F %t" . x y null) >one; (cd out/a && stat -c "%n %u:%g %a %F %t" . x y null) >two
diff one two; grep "^x 70:71" two
cp -a a b; (cd b && stat -c "%n %u:%g %a %F %t" . x y null) | diff one -
rm -rf ./*'
done

# A package of two files, installed into a tree of its own.
mkdir -p pkg/DEBIAN pkg/usr/share/view-test
echo hello >pkg/usr/share/view-test/file
printf 'Package: view-test\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: test\n' >pkg/DEBIAN/control
root 'dpkg installs a package' '
chown 0:0 pkg/usr/share/view-test/file; chown 33:34 pkg/usr/share/view-test; chmod 2755 pkg/usr/share/view-test
dpkg-deb -b pkg t/p.deb
mkdir -p t/root/var/lib/dpkg/updates t/root/var/lib/dpkg/info; : >t/root/var/lib/dpkg/status; : >t/root/var/lib/dpkg/available
dpkg --root="$PWD/t/root" --force-script-chrootless -i t/p.deb
./equal "$(cat t/root/usr/share/view-test/file)" hello
./equal "$(stat -c "%u:%g %a" t/root/usr/share/view-test)" "33:34 2755"
dpkg --root="$PWD/t/root" -r view-test; [ ! -e t/root/usr/share/view-test/file ]'

root 'chroot' '
mkdir -p t/tree/bin t/tree/etc t/tree/proc; echo inner >t/tree/etc/name; cd t/tree
libraries=$(ldd /bin/sh /bin/cat /bin/ls | grep -o "/[^ :]*" | sort -u)
for file in /bin/sh /bin/cat /bin/ls $libraries; do mkdir -p .$(dirname $file); cp $file .$file; done
mount --bind /proc proc; cd ../..
./equal "$(chroot t/tree /bin/sh -c "cat /etc/name; cd ..; pwd; cat /../etc/name; ls /home 2>/dev/null; cat /proc/self/comm")" "inner
/
inner
cat"
./equal "$(chroot t/tree /bin/sh -c "/bin/sh -c \"cat /etc/name\"")" inner
[ ! -e /etc/name ]; ./refused ./as 50 sh -c "chroot t/tree /bin/sh -c true; exit \$?"
umount t/tree/proc'

# Its scripts run in the tree.
printf '#!/bin/sh\necho $1 $(id -u) >/etc/script\n' >pkg/DEBIAN/postinst
chmod 755 pkg/DEBIAN/postinst
root 'dpkg runs a script in the tree' '
mkdir -p t/root/bin t/root/etc t/root/var/lib/dpkg/updates t/root/var/lib/dpkg/info; : >t/root/var/lib/dpkg/status
for file in /bin/sh $(ldd /bin/sh /usr/bin/id | grep -o "/[^ :]*" | sort -u) /usr/bin/id; do mkdir -p t/root$(dirname $file); cp $file t/root$file; done
dpkg-deb -b pkg t/p.deb; dpkg --root="$PWD/t/root" -i t/p.deb
./equal "$(cat t/root/etc/script)" "configure 0"'

root 'useradd' '
cp -r /etc/pam.d t/pam.d; cp /etc/passwd /etc/group /etc/login.defs t/
printf "root:*:19000:0:99999:7:::\n" >t/shadow; cp t/shadow t/gshadow
mkdir -p t/etc; mv t/passwd t/group t/shadow t/gshadow t/login.defs t/etc/
useradd -P "$PWD/t" -u 4321 -M viewer; grep -q "^viewer:x:4321:" t/etc/passwd
./equal "$(stat -c %u:%g t/etc/passwd)" 0:0'

# apt drops to its own user for what it fetches, when there is one.
root 'apt-get from a directory of packages' '
cd t; mkdir repo apt apt/lists apt/archives; mkdir apt/lists/partial apt/archives/partial
dpkg-deb -b ../pkg repo/view-test_1_all.deb >dpkg.log
{
	cat ../pkg/DEBIAN/control; echo Filename: ./view-test_1_all.deb
	echo Size: $(stat -c %s repo/*.deb); echo SHA256: $(sha256sum repo/*.deb | cut -d " " -f 1)
} >repo/Packages
echo "deb [trusted=yes] copy:$PWD/repo ./" >sources.list; : >status
apt() {
	apt-get -q -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$PWD/apt" -o Dir::Cache="$PWD/apt" \
		-o Dir::State::status="$PWD/status" -o Dir::Etc::trusted=/dev/null -o Dir::Etc::trustedparts=- "$@"
}
apt update
if getent passwd _apt >id; then ../equal "$(stat -c %U apt/lists/partial)" _apt; fi
mkdir got; cd got; chmod 777 .; apt -o Dir::Etc::sourcelist=../sources.list download view-test || { cd ..; apt -d -y install view-test; }
cd "$WORK"; find t -name "view-test_1_all.deb" | grep -v repo'

# su needs an account file that it may read.
printf 'root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\n' >shadow
root 'su' '
getent passwd www-data >t/id || exit 0
mount --bind shadow /etc/shadow
./equal "$(su -s /bin/sh www-data -c "id -un; id -rg; head -c 4 /etc/shadow")" "www-data
33
root"'

# mount(8) and umount(8) of util-linux.
mkdir m n
root 'mount and umount' '
mount -t tmpfs none m; echo x >m/x; mkdir m/sub; findmnt m; mount --bind m n; ./equal "$(cat n/x)" x
umount n; ./refused test -e n/x; umount m; ./refused test -e m/x
./refused umount m
./refused ./as 50 mount -t tmpfs none m'
root "the kernel's own filesystems" '
mkdir t/proc t/sys t/dev; cd t
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount -t devtmpfs none dev; mount -t devpts devpts dev/pts
../equal "$(findmnt -n -o SOURCE,FSTYPE --mountpoint "$PWD/proc" | tr -s " ")" "proc proc"
../equal "$(readlink proc/self/cwd)" "$PWD"; grep -q "^Uid:.0.0.0.0" proc/self/status; test -d sys/kernel; echo x >dev/null
../refused sh -c "echo x >sys/x"; ../equal "$(stat -f -c %T proc)" proc
umount dev/pts dev sys proc; ../refused test -e proc/self
../refused ../as 50 mount -t proc proc proc; ../refused mount -t nothing none proc'
for words in '-t ext4 -o ro' '-o loop,ro' '-o ro'; do
	root "mount $words of an image" "
mount $words $image m; ls m | grep -q . ; findmnt -n -o FSTYPE m | grep -q ext4; umount m; [ -z \"\$(ls m)\" ]"
done

check 'a process that enters has the ids too' sh -c '
mkfifo go; "$VIEW_BIN" run -0 --name identity-enter -- sh -c "echo x >ready; read x <go" & 
while [ ! -s ready ]; do sleep 0.05; done
got=$("$VIEW_BIN" enter identity-enter id -u); echo >go; wait; echo "got $got"; [ "$got" = 0 ]'
check 'a view inside has those of the outer one' sh -c '
[ "$("$VIEW_BIN" run -0 -- "$VIEW_BIN" run --tmpfs "$WORK/t" -- id -u)" = 0 ] && ! "$VIEW_BIN" run -- "$VIEW_BIN" run -0 -- true'

finish
