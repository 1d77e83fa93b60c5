# A C project and a Rust project whose sources, objects and temporary files all lie on the image.
cat >"$WORK/make.script" <<'END_MAKE'
set -eu
mkdir -p "$1/c" "$1/tmp"
export TMPDIR="$1/tmp"
cp -R "$2/." "$1/c"
cd "$1/c"
./configure --prefix="$1/installed" >&2
make -s -j2 >&2
make -s check >&2
make -s install >&2
cd ..
cp c/test/example.c use.c
gcc -O2 -Iinstalled/include -o use use.c installed/lib/libz.a
(mkdir run && cd run && ../use)
make -s -C c -q && echo 'up to date'
touch c/inflate.c
make -s -C c -q || echo 'out of date'
make -s -C c >&2 && make -s -C c -q && echo 'up to date again'
(cd c && for member in $(ar t libz.a | sort); do ar p libz.a "$member" | cksum; done)
END_MAKE
fresh make 128M
natively make sh "$WORK/make.script" "$WORK/native" "$FIXTURES/c-project/source" >"$WORK/make.native" 2>"$WORK/make.native.log"
check 'make: natively' [ $? = 0 ]
inside make -- sh "$WORK/make.script" "$point" "$FIXTURES/c-project/source" >"$WORK/make.view" 2>"$WORK/make.view.log"
status=$?
[ $status = 0 ] && ok 'make: in the view' || bad "make: in the view, status $status" "$WORK/make.view.log"
same 'make: tests, time stamps and objects as natively' "$WORK/make.native" "$WORK/make.view"
sound make

# cargo, with the toolchain of the host and the dependencies' sources on the image. In full: view itself, and it runs.
package=fuse-compat
[ "$VIEW_FULL" = 1 ] && package=view
cat >"$WORK/cargo.script" <<'END_CARGO'
set -eu
mkdir "$1/tmp" "$1/home" "$1/source" "$1/source/.cargo"
cp -R "$3/vendor" "$1/vendor"
cd "$2"
cp -R Cargo.toml Cargo.lock fuse-compat fsmods host tests xtask "$1/source"
cd "$1/source"
printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' "$1/vendor" >.cargo/config.toml
export TMPDIR="$1/tmp" CARGO_HOME="$1/home" CARGO_TARGET_DIR="$1/target" CARGO_TERM_COLOR=never CARGO_INCREMENTAL=1
export PATH="$3/rust/bin:$PATH"
unset RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTFLAGS CARGO RUSTC || true
build() {
	cargo build --offline --locked --jobs 2 --package "$4" 2>&1
}
build "$@" >&2
build "$@" | grep -c Compiling || true
echo '// changed' >>fuse-compat/src/lib.rs
build "$@" | grep Compiling | sed 's/ (.*//' | sort
END_CARGO
fresh cargo 1500M
inside cargo -- sh "$WORK/cargo.script" "$point" "$CHECKOUT" "$FIXTURES" $package >"$WORK/cargo.view" 2>"$WORK/cargo.view.log"
status=$?
[ $status = 0 ] && ok 'cargo: in the view' || bad "cargo: in the view, status $status" "$WORK/cargo.view.log"
says 'cargo: nothing is built twice' '^0$' "$WORK/cargo.view"
says 'cargo: what has changed is built anew' 'Compiling fuse-compat' "$WORK/cargo.view"
if [ "$VIEW_FULL" = 1 ]; then
	mkdir "$WORK/native/cargo"
	natively cargo sh "$WORK/cargo.script" "$WORK/native/cargo" "$CHECKOUT" "$FIXTURES" $package >"$WORK/cargo.native" 2>"$WORK/cargo.native.log"
	check 'cargo: natively' [ $? = 0 ]
	same 'cargo: what is built anew, as natively' "$WORK/cargo.native" "$WORK/cargo.view"
	"$VIEW_BIN" run -m "ext4:$WORK/cargo.img:$point" -- sh -c '"$1/target/debug/view" --version && "$1/target/debug/view" compat | cksum' - "$point" >"$WORK/cargo.run" 2>&1
	check 'cargo: the program that was built runs' [ $? = 0 ]
fi
sound cargo
