#!/bin/sh
# C projects whose sources lie on the image, compiled in a view with their output on the view's tmpfs, and natively. The
# objects and programs must be equal bit for bit: both are built under the same paths, natively by a copy of the sources.
. "$(dirname "$0")/lib.sh"

image=$FIXTURES/ext4.img
point=$WORK/mnt
# Paths that end up in debug information are made relative, so that the results can be compared.
cflags="-O2 -g -Wall -ffile-prefix-map=$point/work=SOURCE -ffile-prefix-map=$FIXTURES/tree/work=SOURCE -ffile-prefix-map=$WORK/build=OUT -ffile-prefix-map=$WORK/native=OUT"
# The view's tmpfs is gone with the view: results leave it by tar through standard output.
builds() {
	"$VIEW_BIN" run -m "ext4:$image:$point" --tmpfs "$WORK/build" -w "$WORK/build" -- sh -c "$1" - "$point/work"
}

mkdir "$WORK/native" "$WORK/results" || exit 2

# A project of three files: make with output elsewhere, then the program is run where it was built.
small='make -s -j4 -C "$1/small-project" OUT="$PWD" CFLAGS="$CFLAGS" LDFLAGS=-Wl,--build-id=none >&2 && ./calculator 6 7 "*" >&2 && tar -cf - calculator *.o'
export CFLAGS="$cflags"
mkdir "$WORK/native/small" "$WORK/results/small" "$WORK/native/real" "$WORK/results/real"
(cd "$WORK/native/small" && sh -c "$small" - "$FIXTURES/tree/work" >/dev/null 2>"$WORK/native.log")
builds "$small" 2>"$WORK/view.log" | tar -xf - -C "$WORK/results/small"
same 'make -j4 of a small project: what it prints' "$WORK/native.log" "$WORK/view.log"
for file in calculator main.o parse.o stack.o; do
	same "make -j4 of a small project: $file" "$WORK/native/small/$file" "$WORK/results/small/$file"
done

# One gcc with every stage visible: preprocessor output, assembler, dependency files, a shared library.
single='gcc $CFLAGS -save-temps=obj -MMD -shared -fPIC -o lib.so "$1/small-project/parse.c" -Wl,--build-id=none && sed -i "s#[^ ]*/work/#SOURCE/#g" lib.so-parse.d && cksum lib.so lib.so-parse.o lib.so-parse.d && gcc -E "$1/small-project/main.c" | grep -v "^#" | cksum'
mkdir "$WORK/native/single"
(cd "$WORK/native/single" && sh -c "$single" - "$FIXTURES/tree/work") >"$WORK/native.sum" 2>&1
builds "$single" >"$WORK/view.sum" 2>&1
same 'gcc by stages' "$WORK/native.sum" "$WORK/view.sum"

# A real project, configured and built out of its source directory, then its own tests.
real='"$1/c-project/configure" --static >&2 && make -s -j4 CFLAGS="-O2 -D_LARGEFILE64_SOURCE=1 -DHAVE_HIDDEN" LDFLAGS=-Wl,--build-id=none libz.a example minigzip >&2 && make -s -j4 teststatic >&2 && tar -cf - libz.a minigzip example zconf.h'
(cd "$WORK/native/real" && sh -c "$real" - "$FIXTURES/tree/work" >/dev/null 2>"$WORK/native.log")
builds "$real" 2>"$WORK/view.log" | tar -xf - -C "$WORK/results/real"
if grep -q 'zlib test OK' "$WORK/native.log"; then ok 'the real project passes its tests natively'; else bad 'the real project passes its tests natively' "$WORK/native.log"; fi
if grep -q 'zlib test OK' "$WORK/view.log"; then ok 'the real project passes its tests in the view'; else bad 'the real project passes its tests in the view' "$WORK/view.log"; fi
for file in minigzip example zconf.h; do
	same "make -j4 of a real project: $file" "$WORK/native/real/$file" "$WORK/results/real/$file"
done
for side in native results; do
	(cd "$WORK/$side/real" && for member in $(ar t libz.a | sort); do ar p libz.a "$member" | cksum; done) >"$WORK/$side.members" 2>&1
done
same 'make -j4 of a real project: members of libz.a' "$WORK/native.members" "$WORK/results.members"

# The sources may be used where a symbolic link of the host leads to them.
ln -s "$point/work/small-project" "$WORK/link"
check 'sources behind a symbolic link of the host' on "$image" "$point" make -s -C "$WORK/link" OUT="$WORK/native/small" -B
check 'the host has no mount point and no build directory' [ ! -e "$point" -a ! -e "$WORK/build" ]
finish
