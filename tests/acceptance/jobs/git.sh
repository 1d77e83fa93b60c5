# A repository's life on ext4: history, clones by hard link and by protocol, merges, gc, fsck. The same natively: the
# commits must have the same names.
source=$WORK/git-source
rounds=8
files=$FIXTURES/vendor
[ "$VIEW_FULL" = 1 ] && rounds=60
rm -rf "$source"
mkdir -p "$source"
cp -R "$files"/libc-* "$source/"

cat >"$WORK/git.script" <<'END_GIT'
set -eu
cd "$1"
export GIT_CONFIG_NOSYSTEM=1 HOME="$1" GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git config --global init.defaultBranch main
git config --global gc.auto 0
git config --global protocol.file.allow always
git init -q one
cp -R "$2"/* one/
cd one
git add .
git commit -qm start
for round in $(seq "$3"); do
	for file in $(git ls-files | sed -n "$round~53p"); do echo "// round $round" >>"$file"; done
	echo "$round" >"note-$round"
	git add .
	git commit -qm "round $round"
done
git checkout -qb side HEAD~5
seq 500 >side && git add side && git commit -qm side
git mv side moved && git commit -qm moved
git checkout -q main && git merge -q --no-edit side
git tag -a v1 -m v1
cd ..
git clone -q one hard
git clone -q "file://$1/one" wire
git clone -q --bare wire bare.git
cd wire
git config user.name n
git checkout -q -b work HEAD~3 && echo x >work && git add work && git commit -qm work && git rebase -q main
git push -q ../bare.git work
echo dirty >>note-1 && git stash -q && git stash pop -q && git checkout -q note-1
git worktree add -q -b beside ../tree
git -C ../tree status --short
rm -rf ../tree
git worktree prune
cd ../one
git remote add bare ../bare.git && git fetch -q bare
git repack -qad
git gc -q --prune=now
git fsck --full --strict --no-progress
git bundle create -q ../all.bundle --all && git bundle verify -q ../all.bundle
git diff --stat HEAD~1 | tail -n 1
git archive HEAD | sha256sum
for repository in ../hard ../wire ../bare.git; do
	git -C "$repository" gc -q
	git -C "$repository" fsck --full --no-progress
	git -C "$repository" for-each-ref
done
for repository in ../one ../hard ../wire; do git -C "$repository" status --short; done
END_GIT

fresh git 512M
natively git sh "$WORK/git.script" "$WORK/native" "$source" $rounds >"$WORK/git.native" 2>&1
check 'git: natively' [ $? = 0 ]
inside git -- sh "$WORK/git.script" "$point" "$source" $rounds >"$WORK/git.view" 2>&1
check 'git: in the view' [ $? = 0 ]
same 'git: the same commits and contents' "$WORK/git.native" "$WORK/git.view"
timeout -k 5 "$limit" "$VIEW_BIN" run -m "ext4:$WORK/git.img:$point" -- git -C "$point/one" fsck --full --no-progress >"$WORK/git.again" 2>&1
check 'git: the next view finds it whole' [ $? = 0 ]
sound git
