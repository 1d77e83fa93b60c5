#!/bin/sh
# Inside a container made with runc: an ordinary user, no capability, no /dev/fuse, a stock seccomp profile that also
# refuses pidfd_getfd, unshare and mount. Root starts this step, since without user namespaces only root can make a
# container; what runs in it is the test user. The host's root directory, bound to a place of its own, is the container's.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
	bad 'only root can make a container without user namespaces'
	finish
fi
: "${TEST_UID:=$(id -u viewtest)}" "${TEST_GID:=$(id -g viewtest)}"
bundle=$WORK/bundle
image=$FIXTURES/ext4.img
point=$WORK/mnt
chown "$TEST_UID:$TEST_GID" "$WORK"
mkdir -p "$bundle/rootfs" "$WORK/state"
python3=/usr/bin/python3

# contain REFUSED COMMAND...: runs the command in a new container whose profile also refuses the calls REFUSED (commas
# between, or -). The bind mount lives in a mount namespace of its own, so nothing has to be undone.
contain() {
	local refused=$1
	shift
	$python3 "$ACCEPTANCE/container-config.py" "$bundle/config.json" "$TEST_UID" "$TEST_GID" "$refused" "$WORK" "$@" || return 125
	timeout -k 5 300 unshare -m sh -c 'mount --make-rprivate / && mount --rbind / "$1/rootfs" && exec runc --root "$2" run --bundle "$1" "$3"' \
		- "$bundle" "$WORK/state" "view-test-$$" </dev/null
}

# The container is what it should be.
contain - sh -c 'echo $$; id -u; grep -E "^(CapEff|CapBnd|Seccomp):" /proc/self/status; ls /dev/fuse; unshare -U true; unshare -m true; mount -t tmpfs x /mnt' \
	>"$WORK/inside" 2>&1
says 'an ordinary user' "^$TEST_UID\$" "$WORK/inside"
says 'no capability' '^CapEff:[[:space:]]*0+$' "$WORK/inside"
says 'no capability to gain' '^CapBnd:[[:space:]]*0+$' "$WORK/inside"
says 'a seccomp profile' '^Seccomp:[[:space:]]*2$' "$WORK/inside"
says 'no /dev/fuse' '/dev/fuse.*No such file' "$WORK/inside"
check 'unshare is refused' [ "$(grep -c 'unshare.*not permitted' "$WORK/inside")" = 2 ]
says 'a pid namespace' '^1$' "$WORK/inside"

# The README's session, as it stands there, on the host and in the container; the script counts its own tests.
mkdir -p "$WORK/home" "$WORK/run"
chown -R "$TEST_UID:$TEST_GID" "$WORK/home" "$WORK/run"
echo 'on the host:'
(cd "$CHECKOUT" && setpriv --reuid="$TEST_UID" --regid="$TEST_GID" --clear-groups --inh-caps=-all --bounding-set=-all \
	env HOME="$WORK/home" XDG_RUNTIME_DIR="$WORK/run" $python3 "$ACCEPTANCE/readme-session.py" README.md) 2>&1
echo 'in the container:'
contain - sh -c 'cd "$CHECKOUT" && /usr/bin/python3 "$ACCEPTANCE/readme-session.py" README.md' 2>&1

contain - "$VIEW_BIN" run -m "ext4:$image:$point" -- sh "$ACCEPTANCE/listing.sh" attributes "$point" >"$WORK/listing" 2>"$WORK/errors"
same 'all attributes of the image' "$FIXTURES/expected/attributes" "$WORK/listing"
for case in 'dynamic-pie hello' 'static hello' 'go-static tree ../scripts' 'busybox sha256sum dynamic'; do
	contain - "$VIEW_BIN" run -m "ext4:$image:$point" -w "$point/work/bin" -- sh -c "./$case" 2>&1 | sed "s#$point#TOP#g" >"$WORK/case.inside"
	(cd "$FIXTURES/tree/work/bin" && sh -c "./$case") 2>&1 | sed "s#$FIXTURES/tree#TOP#g" >"$WORK/case.host"
	same "a program of the image: $case" "$WORK/case.host" "$WORK/case.inside"
done
contain - "$VIEW_BIN" run -m "ext4:$image:$point" --tmpfs "$WORK/out" -w "$WORK/out" -- \
	sh -c 'make -s -j4 -C "$1/work/small-project" OUT="$PWD" && ./calculator 20 22 +' - "$point" >"$WORK/make" 2>&1
says 'a project of the image, built on a tmpfs' '^42$' "$WORK/make"
contain - "$VIEW_BIN" doctor >"$WORK/doctor" 2>&1
status=$?
check 'view doctor finds no blocker' [ "$status" = 0 ]

# Where a call that a view is built on is refused too, view must work without it or say so in one clear line; and
# `view doctor` must name it.
for refused in process_vm_readv ptrace process_vm_readv,process_vm_writev,ptrace; do
	contain "$refused" "$VIEW_BIN" run -m "ext4:$image:$point" -- sh -c 'cat "$1/links/first"; cd "$1/work/bin" && ./static x' - "$point" \
		>"$WORK/out" 2>&1
	status=$?
	if [ "$status" = 0 ] && grep -q '^hello from the image$' "$WORK/out"; then
		ok "without $refused: works all the same"
	else
		says "without $refused: a message of view" '^view: ' "$WORK/out"
		says "without $refused: it names what is refused" 'process_vm_readv|ptrace' "$WORK/out"
		check "without $refused: no panic" sh -c '! grep -q panicked "$WORK/out"'
		check "without $refused: exit status 125 or 126 (it was $status)" [ "$status" = 125 -o "$status" = 126 ]
	fi
	contain "$refused" "$VIEW_BIN" doctor >"$WORK/doctor" 2>&1
	for call in $(echo "$refused" | tr , ' ' | sed 's/process_vm_writev//'); do
		check "view doctor without $refused names $call" sh -c 'grep -F "$1" "$WORK/doctor" | grep -Eqv "^ok"' - "$call"
	done
done
finish
