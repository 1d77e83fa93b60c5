#!/bin/sh
# usage: listing.sh attributes|xattrs|sha256|sha256-quick|tar|tar-quick DIRECTORY
# Prints everything that native tools say of the tree at DIRECTORY, in an order that does not depend on the file system.
# The same script describes the source tree and the mounted image; the two outputs must be equal byte for byte.
# lost+found, which only an image has, is left out.
# `-quick` leaves out the sparse 5 GB file, whose zeros take most of the time.
set -eu
LC_ALL=C TZ=UTC
export LC_ALL TZ
what=$1
cd "$2"

case $what in
attributes)
	# Type, mode, owner, group, link count, mtime and link target of every name; the size of all but directories
	# (a directory's size is the file system's own affair); numbers of device nodes; which names are one inode.
	{
		find . -mindepth 1 -path ./lost+found -prune -o -type d -printf '%p %y %#m %U %G %n %T@\0'
		find . -mindepth 1 ! -type d -printf '%p %y %#m %U %G %n %s %T@ %l\0'
		find . \( -type b -o -type c \) -printf '%p ' -exec stat -c '%t:%T' {} \; | tr '\n' '\0'
	} | sort -z | tr '\0\n' '\n?'
	find . ! -type d -links +1 -printf '%i %p\0' | sort -z | awk -v RS='\0' '
		{ inode = $1; sub(/^[0-9]+ /, "") }
		inode != last { if (line != "") print line; line = "one inode:"; last = inode }
		{ line = line " " $0 }
		END { if (line != "") print line }' | sort
	;;
xattrs)
	find . -mindepth 1 -path ./lost+found -prune -o -print0 | sort -z | xargs -0r getfattr -h -d -m '^(user|security|system)\.' -e hex -- 2>/dev/null
	;;
sha256)
	find . -type f -print0 | sort -z | xargs -0r sha256sum -z -- | tr '\0\n' '\n?'
	;;
sha256-quick)
	find . -type f ! -name sparse-5g -print0 | sort -z | xargs -0r sha256sum -z -- | tr '\0\n' '\n?'
	;;
tar)
	tar --warning=no-file-ignored -cf - --sort=name --format=pax --numeric-owner --exclude=lost+found --pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime -- * | sha256sum
	;;
tar-quick)
	tar --warning=no-file-ignored -cf - --sort=name --format=pax --numeric-owner --exclude=sparse-5g \
		--exclude=lost+found --pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime -- * | sha256sum
	;;
*)
	echo "listing.sh: unknown listing: $what" >&2
	exit 2
	;;
esac
