#!/bin/sh
# remount.sh POINT: when a mounted file system can be made read-only, by mount(8). For posix.sh, on the kernel's tmpfs and in views.
cd / || exit
read_only() {
	if mount -o remount,ro "$1" 2>/dev/null; then
		echo "$2: read-only"
	else
		echo "$2: busy"
	fi
}
writes() {
	if (: >"$1/new") 2>/dev/null; then
		echo "$2: written"
	else
		echo "$2: nothing written"
	fi
}
echo content >"$1/file"
exec 3>>"$1/file"
read_only "$1" 'open for writing'
exec 3>&-
exec 3<"$1/file"
read_only "$1" 'open for reading'
writes "$1" read-only
mount -o remount,rw "$1"
writes "$1" writable
rm "$1/file"
read_only "$1" 'removed but open'
exec 3<&-
read_only "$1" 'removed and closed'
mount -o remount,rw "$1"
rm "$1/new"
