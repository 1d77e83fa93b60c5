# A Debian system on an image, worked on by the root of a view: dpkg and apt-get install real packages from an archive on
# the image; maintainer scripts, owners, set-id bits and triggers must come out as Debian means them.
if [ ! -e "$FIXTURES/debian.img" ]; then
	bad 'debian: no image; run cargo xtask setup'
else

# The host's /dev, /proc and /sys stay out: what is used is what lies on the image.
cat >"$WORK/debian.script" <<'END_DEBIAN'
set -eu
export DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo 'deb [trusted=yes] file:/repo ./' >/etc/apt/sources.list
dpkg --verify
apt-get update -qq
dpkg -i /repo/hello_*.deb
hello
apt-get install -y -qq sudo cron dbus openssh-client
dpkg --audit
dpkg --verify
echo verified
echo discarded >/dev/null
[ "$(head -c 5 /dev/zero | wc -c)" = 5 ]
stat -c '%A %U:%G %n' /usr/bin/sudo /usr/bin/crontab /usr/lib/dbus-1.0/dbus-daemon-launch-helper /usr/bin/ssh-agent \
	/var/spool/cron/crontabs /usr/bin/passwd /usr/bin/expiry /etc/shadow /var/cache/apt/archives/partial
getent passwd messagebus | cut -d : -f 6
useradd -m joe
echo "joe: $(su joe -c 'id -un; id -u; touch ~/mine; stat -c %U ~/mine' | tr '\n' ' ')"
if su joe -c 'cat /etc/shadow' 2>/dev/null; then echo 'shadow was read'; fi
echo 'joe ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/joe
chmod 440 /etc/sudoers.d/joe
echo "sudo: $(su joe -c 'sudo -n id -u' 2>/dev/null)"
su joe -c 'echo "* * * * * true" | crontab -'
stat -c 'crontab: %A %U:%G' /var/spool/cron/crontabs/joe
apt-get remove -y -qq --purge dbus hello
dpkg --audit
if [ -e /usr/bin/hello ] || [ -e /usr/bin/dbus-daemon-launch-helper ]; then echo 'not removed'; fi
dpkg -l | grep -c '^ii'
END_DEBIAN

cp --sparse=always "$FIXTURES/debian.img" "$WORK/debian.img"
inside debian -0 -- sh -c 'cp -R "$2" "$1/repo" && cp "$3" "$1/script" && chroot "$1" /bin/sh /script' - \
	"$point" "$FIXTURES/debian-repo" "$WORK/debian.script" >"$WORK/debian.out" 2>&1
check 'debian: dpkg and apt-get end well' [ $? = 0 ]
says 'debian: a package installed by dpkg -i runs' '^Hello, world!$' "$WORK/debian.out"
says 'debian: dpkg --verify and --audit are silent' '^verified$' "$WORK/debian.out"
for line in '-rwsr-xr-x root:root /usr/bin/sudo' '-rwxr-sr-x root:crontab /usr/bin/crontab' \
	'-rwsr-xr-- root:messagebus /usr/lib/dbus-1.0/dbus-daemon-launch-helper' '-rwxr-sr-x root:_ssh /usr/bin/ssh-agent' \
	'drwx-wx--T root:crontab /var/spool/cron/crontabs' '-rwsr-xr-x root:root /usr/bin/passwd' \
	'-rwxr-sr-x root:shadow /usr/bin/expiry' '-rw-r----- root:shadow /etc/shadow' \
	'drwx------ _apt:root /var/cache/apt/archives/partial'; do
	check "debian: $line" grep -Fqx -e "$line" "$WORK/debian.out"
done
says 'debian: a maintainer script made a user' '^/nonexistent$' "$WORK/debian.out"
says 'debian: useradd and su' '^joe: joe 1000 joe $' "$WORK/debian.out"
says 'debian: sudo makes root of an ordinary user' '^sudo: 0$' "$WORK/debian.out"
says 'debian: a set-group-ID program writes where only its group may' '^crontab: -rw------- joe:crontab$' "$WORK/debian.out"
check 'debian: nothing that should not be' sh -c '! grep -E "^(shadow was read|not removed)|^dpkg: error|Permission denied|Operation not permitted" "$1"' - "$WORK/debian.out"
sound debian

# The next view: the same owners and bits, from the disk this time.
timeout -k 5 "$limit" "$VIEW_BIN" run -0 -m "ext4:$WORK/debian.img:$point:rw" -- chroot "$point" /bin/sh -c 'dpkg --verify; dpkg --audit; stat -c "%A %U:%G %n" /usr/bin/sudo; su joe -c "sudo -n id -u" 2>/dev/null' >"$WORK/debian.again" 2>&1
printf -- '-rwsr-xr-x root:root /usr/bin/sudo\n0\n' >"$WORK/debian.wanted"
same 'debian: the next view finds it so' "$WORK/debian.wanted" "$WORK/debian.again"
sound debian

# A whole system set up from nothing but unpacked packages: the second stage of debootstrap.
if [ "$VIEW_FULL" = 1 ]; then
	cp --sparse=always "$FIXTURES/debian-new.img" "$WORK/debootstrap.img"
	inside debootstrap -0 -- chroot "$point" /debootstrap/debootstrap --second-stage >"$WORK/debootstrap.out" 2>&1
	check 'debootstrap: the second stage ends well' [ $? = 0 ]
	says 'debootstrap: says so' 'Base system installed successfully' "$WORK/debootstrap.out"
	sound debootstrap
	inventory='cd "$1" && find . -xdev ! -path "./dev/*" ! -path "./var/log/*" ! -path "./var/cache/*" ! -name "*-old" ! -name "*-" -printf "%p %y %m %U:%G %l\n" | sort; chroot "$1" dpkg --verify'
	"$VIEW_BIN" run -0 -m "ext4:$WORK/debootstrap.img:$point:rw" -- sh -c "$inventory" - "$point" >"$WORK/inventory.view" 2>&1
	cp --sparse=always "$FIXTURES/debian.img" "$WORK/native.img"
	"$VIEW_BIN" run -0 -m "ext4:$WORK/native.img:$point:rw" -- sh -c "$inventory" - "$point" >"$WORK/inventory.native" 2>&1
	same 'debootstrap: names, types, modes, owners as natively' "$WORK/inventory.native" "$WORK/inventory.view"
fi

fi
