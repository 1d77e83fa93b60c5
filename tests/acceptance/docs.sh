#!/bin/sh
# Documents that the binary generates are those in the checkout.
. "$(dirname "$0")/lib.sh"

"$VIEW_BIN" compat >"$WORK/compat.md" 2>"$WORK/compat.err" || cat "$WORK/compat.err"
same 'docs/compat.md is what `view compat` prints' "$CHECKOUT/docs/compat.md" "$WORK/compat.md"
for shell in bash zsh fish; do
	check "completions for $shell" sh -c '"$VIEW_BIN" completions "$1" | grep -q mounts' - "$shell"
done
"$VIEW_BIN" man >"$WORK/view.1" 2>&1
says 'a man page' '^\.TH' "$WORK/view.1"
finish
