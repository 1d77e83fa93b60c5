#!/bin/sh
# Every image, mounted in a view, must be the source tree: all attributes, extended attributes, the hash of every file, and
# what tar makes of it. The same script (listing.sh) described the source tree when the images were made.
. "$(dirname "$0")/lib.sh"

# listings IMAGE: what is compared. Quick runs leave the hashes of single files to two images, since tar compares the data too.
listings() {
	case $VIEW_FULL,$1 in
	1,*) echo attributes xattrs sha256 tar ;;
	*,ext2-1k | *,ext4) echo attributes xattrs sha256-quick tar-quick ;;
	*) echo attributes xattrs tar-quick ;;
	esac
}

# copies IMAGE: copies parts of the image to the host, from inside a view, and compares them outside.
copies() {
	rm -rf "$WORK/copy"
	mkdir "$WORK/copy"
	(cd "$WORK" && on "$1" "$WORK/mnt" cp -a mnt/files/d00 mnt/links mnt/names mnt/xattrs mnt/holes copy) || return
	for part in files/d00 links names xattrs holes; do
		diff -r --no-dereference "$WORK/copy/${part##*/}" "$FIXTURES/tree/$part" || return
	done
}

for image in ${EQUALITY_IMAGES:-ext2-1k ext2-4k ext3 ext4 ext4-1k-inline ext4-bigalloc}; do
	for listing in $(listings "$image"); do
		# The mount point does not exist on the host.
		if on "$FIXTURES/$image.img" "$WORK/mnt" sh "$ACCEPTANCE/listing.sh" "$listing" "$WORK/mnt" \
			>"$WORK/listing" 2>"$WORK/errors"; then
			same "$image: $listing" "$FIXTURES/expected/$listing" "$WORK/listing"
		else
			bad "$image: $listing: the listing failed" "$WORK/errors"
		fi
	done
	check "$image: cp -a gives the files back" copies "$FIXTURES/$image.img"
	check "$image: the host sees no mount" [ ! -e "$WORK/mnt" ]
done
finish
