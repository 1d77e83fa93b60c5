#!/bin/sh
# flags.sh DIRECTORY: what chattr +i and +a forbid to root and to others; prints what happened. For posix.sh, which compares
# the kernel's ext4 with a view's.
cd "$1" || exit
trap 'chattr -R -i -a . 2>/dev/null' EXIT
LC_ALL=C
export LC_ALL
error=${TMPDIR:-/tmp}/flags.$$
try() {
	printf '%s: ' "$*"
	if "$@" >/dev/null 2>"$error"; then
		echo ok
	else
		sed -n '1s/.*: //p' "$error"
	fi
}
append() { echo more >>"$1"; }
overwrite() { echo other >"$1"; }
user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
file_calls() {
	try append "$1"
	try overwrite "$1"
	try dd if=/dev/zero of="$1" bs=1 count=1 conv=notrunc
	try truncate -s 2 "$1"
	try chmod 600 "$1"
	try chown 1:1 "$1"
	try touch "$1"
	try touch -d 2001-01-01 "$1"
	try setfattr -n user.name -v value "$1"
	try ln "$1" linked
	try mv "$1" moved
	try mv other "$1"
	try rm -f "$1"
	try cat "$1"
}
attributes() { lsattr -d "$1" | cut -c 1-20 | tr -d e; }
echo content >file
echo other >other
chmod 666 file
mkdir directory
echo inside >directory/inside
mkdir directory/sub
for flag in i a; do
	echo "== $flag"
	try user chattr "+$flag" file
	try chattr "+$flag" file
	attributes file
	file_calls file
	try user chattr "-$flag" file
	try chattr +d file
	attributes file
	try chattr "-$flag" file
	try append file
	attributes file
	cat file

	try chattr "+$flag" directory
	attributes directory
	try touch directory/new
	try mkdir directory/newer
	try ln -s x directory/link
	try append directory/inside
	try rm -f directory/inside
	try mv directory/inside moved
	try mv other directory/other
	try rmdir directory/sub
	try touch directory/sub/deeper
	try chmod 700 directory
	try rmdir directory
	ls directory
	try chattr "-$flag" directory
	rm -rf directory/new directory/newer directory/link directory/sub/deeper
	[ -e directory/other ] && mv directory/other other
done
rm -rf file other directory linked moved "$error"
