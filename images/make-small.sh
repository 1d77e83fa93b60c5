#!/bin/sh
# Makes images/small.ext4, the image of the README's first session, with mke2fs(8). The same input gives the same files;
# the image itself differs in nothing but the time of its making.
set -eu
cd "$(dirname "$0")"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree/notes"
cat >"$tree/README" <<'END'
This directory is an ext4 file system in a file. No program here was told so.
Read it, search it, run hello.sh: only the processes of this view see it.
END
cat >"$tree/hello.sh" <<'END'
#!/bin/sh
echo "hello from inside the image: $(pwd)"
echo "$(find . -type f | wc -l) files, $(cat notes/* | wc -w) words of notes"
END
cat >"$tree/notes/one.txt" <<'END'
A view starts equal to the host. Each option changes one thing.
END
cat >"$tree/notes/two.txt" <<'END'
When the last process of a view ends, the view is gone and the host is as it was.
END
ln -s notes/one.txt "$tree/first"
chmod 755 "$tree" "$tree/notes" "$tree/hello.sh"
chmod 644 "$tree/README" "$tree"/notes/*
find "$tree" -exec touch -h -d '2025-01-01 00:00:00 UTC' {} +

PATH=$PATH:/usr/sbin:/sbin
rm -f small.ext4
mke2fs -q -F -t ext4 -b 1024 -I 256 -N 32 -m 0 -L small -O ^resize_inode -U 6f1cbd60-3a4c-4c34-9d5e-5e0e7c9a2f03 \
	-E root_owner=0:0,hash_seed=6f1cbd60-3a4c-4c34-9d5e-5e0e7c9a2f04 -d "$tree" small.ext4 256K
debugfs -w -R 'rmdir lost+found' small.ext4
e2fsck -fn small.ext4
