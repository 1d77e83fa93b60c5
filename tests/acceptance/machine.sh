#!/bin/sh
# The user that the other steps run as has nothing that would make them prove less: no root, no capability, no user
# namespace, no /dev/fuse, no /dev/net/tun, and not yet no_new_privs (a view sets that itself).
. "$(dirname "$0")/lib.sh"

check 'the user is not root' [ "$(id -u)" != 0 ]
check 'no supplementary groups' [ "$(id -G)" = "$(id -g)" ]
for set in Inh Prm Eff Bnd Amb; do
	check "no capability in Cap$set" grep -Eq "^Cap$set:[[:space:]]*0+\$" /proc/self/status
done
check 'no_new_privs is not set' grep -Eq '^NoNewPrivs:[[:space:]]*0$' /proc/self/status
if unshare -U true 2>/dev/null; then bad 'user namespaces are refused'; else ok 'user namespaces are refused'; fi
if (: <>/dev/fuse) 2>/dev/null; then bad '/dev/fuse cannot be opened'; else ok '/dev/fuse cannot be opened'; fi
if (: <>/dev/net/tun) 2>/dev/null; then bad '/dev/net/tun cannot be opened'; else ok '/dev/net/tun cannot be opened'; fi
check 'the binary can be run' "$VIEW_BIN" --version
check 'the fixtures can be read' head -c 1 "$FIXTURES/ext4.img"
finish
