#!/bin/sh
# kernel-reader.sh DIRECTORY: what the kernel's own ext4 reads in images, for scripts that may not mount. Started by root in a mount
# namespace of its own; ends when DIRECTORY is removed or whoever started it has ended.
#
# It makes DIRECTORY/ready, or DIRECTORY/refused with the reason where this machine cannot mount an image. A script then
# renames a file that holds the path of an image to DIRECTORY/N.image, and waits for DIRECTORY/N.done: 0 when N.attributes, N.xattrs and
# N.sha256 hold what listing.sh says of the image, else N.error says why not. Images are mounted read-only; a journal that needs a replay
# is an error.
directory=$1
listing=$(dirname "$0")/listing.sh
point=$directory/point
umask 022
mkdir -p "$point"

attach() {
	mount -t ext4 -o ro,loop "$1" "$point"
}

read_image() {
	attach "$1" || return
	local status=0 what
	for what in attributes xattrs sha256; do
		sh "$listing" $what "$point" >"$2.$what" || status=1
	done
	umount "$point" && return $status
}

trial=$directory/trial.img
if mke2fs -q -t ext4 "$trial" 1M && attach "$trial" && umount "$point"; then
	: >"$directory/ready"
else
	mv "$directory/error" "$directory/refused"
	exit 1
fi >/dev/null 2>"$directory/error"

while [ -d "$directory" ] && kill -0 $PPID 2>/dev/null; do
	for request in "$directory"/*.image; do
		[ -e "$request" ] || continue
		name=${request%.image}
		read_image "$(cat "$request")" "$name" 2>"$name.error" </dev/null
		echo $? >"$name.status"
		rm "$request"
		mv "$name.status" "$name.done"
	done
	sleep 0.1
done
