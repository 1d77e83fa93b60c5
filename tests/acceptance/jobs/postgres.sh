# PostgreSQL on an image, its Unix socket and shared memory included; then the whole view is killed while clients commit,
# and no row whose COMMIT was answered may be missing.
postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
seconds=8
rounds=1
if [ "$VIEW_FULL" = 1 ]; then
	seconds=60
	rounds=10
fi

cat >"$WORK/postgres.script" <<'END_POSTGRES'
set -eu
data=$1/data
PATH=$2:$PATH
export PGHOST=$data PGUSER=postgres PGDATABASE=postgres
initdb -D "$data" -A trust -U postgres --no-instructions >/dev/null
printf "listen_addresses = ''\nunix_socket_directories = '%s'\n" "$data" >>"$data/postgresql.conf"
pg_ctl -s -w -t 120 -D "$data" -l "$data/log" start
[ -S "$data/.s.PGSQL.5432" ] && echo 'a socket on the image'
pgbench -i -q -s 2 2>&1 | tail -n 1
pgbench -c 4 -j 2 -T "$3" 2>&1 | grep -E '^(tps|number of failed)'
psql -Atc 'select sum(abalance) = (select sum(bbalance) from pgbench_branches) and sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
psql -Atc 'create table big as select i, repeat(md5(i::text), 20) as text from generate_series(1, 20000) as i; create index on big(text)' \
	-c 'select count(*), sum(hashtext(text)) from big' -c 'vacuum full big' -c 'select count(*), sum(hashtext(text)) from big' -c checkpoint
pg_ctl -s -w -t 120 -D "$data" -m fast stop
pg_checksums -D "$data" --enable --no-sync --progress >/dev/null 2>&1
pg_checksums -D "$data" --check | grep 'Bad checksums'
END_POSTGRES

cat >"$WORK/postgres.serve" <<'END_SERVE'
set -eu
data=$1/data
PATH=$2:$PATH
export PGHOST=$data PGUSER=postgres PGDATABASE=postgres
rm -f "$data/postmaster.pid"
pg_ctl -s -w -t 120 -D "$data" -l "$data/log" start
psql -qc 'create table if not exists kept(round int, writer int, id int, filler text)'
for writer in 1 2 3 4; do
	seq 1000000 | sed "s/.*/insert into kept values($3, $writer, &, repeat('x', 700)) returning id;/" | psql -qAt >"$4/answered-$3-$writer" 2>/dev/null &
done
wait
END_SERVE

cat >"$WORK/postgres.look" <<'END_LOOK'
set -eu
data=$1/data
PATH=$2:$PATH
export PGHOST=$data PGUSER=postgres PGDATABASE=postgres
rm -f "$data/postmaster.pid"
pg_ctl -s -w -t 120 -D "$data" -l "$data/log" start
# The last line may be half there: only what ends in a newline was read whole.
for writer in 1 2 3 4; do
	answered=$(sed -n '$!p' "$4/answered-$3-$writer" | tail -n 1)
	there=$(psql -Atc "select count(*) from kept where round = $3 and writer = $writer and id <= ${answered:-0} and length(filler) = 700")
	echo "writer $writer: ${answered:-0} answered, $there there"
	[ "${answered:-0}" = "$there" ] && [ "${answered:-0}" -gt 0 ]
done
pg_ctl -s -w -t 120 -D "$data" -m fast stop
pg_checksums -D "$data" --check | grep 'Bad checksums:  0'
echo 'all there'
END_LOOK

fresh postgres 700M
natively postgres sh "$WORK/postgres.script" "$WORK/native" "$postgres" $seconds >"$WORK/postgres.native" 2>&1
check 'postgres: natively' [ $? = 0 ]
inside postgres -- sh "$WORK/postgres.script" "$point" "$postgres" $seconds >"$WORK/postgres.view" 2>&1
status=$?
[ $status = 0 ] && ok 'postgres: in the view' || bad "postgres: in the view, status $status" "$WORK/postgres.view"
for side in native view; do
	echo "     pgbench, $side: $(grep '^tps' "$WORK/postgres.$side")"
	grep -Ev '^(tps|done in)' "$WORK/postgres.$side" >"$WORK/postgres.$side.same"
done
same 'postgres: answers as natively' "$WORK/postgres.native.same" "$WORK/postgres.view.same"
sound postgres

for round in $(seq $rounds); do
	"$VIEW_BIN" run --name "jobs-postgres-$round" -m "ext4:$WORK/postgres.img:$point:rw" -- \
		sh "$WORK/postgres.serve" "$point" "$postgres" "$round" "$WORK" >"$WORK/postgres.serve.out" 2>&1 &
	view=$!
	# Kill it once every writer has had answers, at a moment that differs from round to round.
	tries=0
	while [ $tries -lt 3000 ] && [ "$(cat "$WORK/answered-$round"-4 2>/dev/null | wc -l)" -lt 50 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	sleep "1.$((round * 37 % 100))"
	kill -9 "$("$VIEW_BIN" ls --json | /usr/bin/python3 -c '
import json, sys
print(next(view["supervisor_pid"] for view in json.load(sys.stdin)["views"] if view["name"] == sys.argv[1]))' "jobs-postgres-$round")"
	wait $view
	settled "$WORK/postgres.img"
	timeout -k 5 "$limit" "$VIEW_BIN" run -m "ext4:$WORK/postgres.img:$point:rw" -- sh "$WORK/postgres.look" "$point" "$postgres" "$round" "$WORK" >"$WORK/postgres.look.out" 2>&1
	says "postgres: killed, round $round: every committed row is there" '^all there$' "$WORK/postgres.look.out"
	grep -h '^writer' "$WORK/postgres.look.out" | sed 's/^/     /'
	sound postgres
done
