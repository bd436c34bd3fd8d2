#!/bin/bash
# What an index on tasks.status would cost: drains tasks through claim() and complete() in SQL, without such an index, with
# one on the column, and with a partial one, in turns. docs/decisions/0001-task-ticket-lease.md has the figures.
#
#   bench/status_index.sh [TASKS [ROUNDS [clean|pinned]]]
#
# Uses libpq's environment. It creates and drops the schema status_index there. The server should be otherwise idle,
# because WAL is counted for the whole of it. "pinned" holds an old snapshot open while the tasks are drained.
set -euo pipefail
tasks=${1:-100000} rounds=${2:-5} horizon=${3:-clean}
root=$(cd "$(dirname "$0")/.." && pwd)
sql() { psql -X -q -t -A -v ON_ERROR_STOP=1 "$@"; }
out=$(mktemp) pin=
pins="FROM pg_stat_activity WHERE application_name = 'status_index pin'"
unpin() { # the backend sleeps: ending psql alone would leave its snapshot open
  [ -n "$pin" ] || return 0
  sql -c "SELECT pg_terminate_backend(pid) $pins" >/dev/null
  wait "$pin" || true
  pin=
  until [ "$(sql -c "SELECT count(*) $pins")" = 0 ]; do :; done
}
trap 'unpin; rm -f "$out"; sql -c "SET client_min_messages = error; DROP SCHEMA IF EXISTS status_index CASCADE"' EXIT

one() { # one ROUND VARIANT
  sql -c 'SET client_min_messages = error; DROP SCHEMA IF EXISTS status_index CASCADE'
  for file in "$root"/migrations/*.up.sql; do sql -1 -v schema=status_index -f "$file" >/dev/null; done
  case $2 in
    full) sql -c 'CREATE INDEX tasks_status ON status_index.tasks (status)' ;;
    partial) sql -c "CREATE INDEX tasks_pending ON status_index.tasks (id) WHERE status = 'pending'" ;;
  esac
  sql -v n="$tasks" >/dev/null <<'SQL'
SELECT status_index.register_worker('00000000-0000-0000-0000-000000000001', 'bench', 'here', 1, '0', '{default}', '1 hour');
SELECT count(status_index.enqueue_many('noop', (SELECT array_agg(jsonb_build_object('text', repeat('x', 80))) FROM generate_series(1, 10000))))
FROM generate_series(1, :n / 10000);
CHECKPOINT;
SQL
  if [ "$horizon" = pinned ]; then
    PGAPPNAME='status_index pin' psql -X -q -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT count(*) FROM status_index.settings' -c 'SELECT pg_sleep(3600)' >/dev/null 2>&1 &
    pin=$!
    until [ "$(sql -c "SELECT count(*) $pins AND backend_xmin IS NOT NULL AND wait_event = 'PgSleep'")" = 1 ]; do :; done
  fi
  sql >>"$out" <<SQL
SET search_path = status_index;
CREATE TEMP TABLE before AS SELECT pg_current_wal_insert_lsn() AS lsn, clock_timestamp() AS at;
DO \$\$
DECLARE
  worker uuid := '00000000-0000-0000-0000-000000000001';
  times  timestamptz[] := array_fill('-infinity'::timestamptz, '{5}');
  at_ids bigint[] := array_fill(0::bigint, '{5}');
  ids bigint[]; hints tid[]; lease bigint; foot jsonb; leases bigint[] := '{}';
BEGIN
  LOOP
    SELECT array_agg(c.id) FILTER (WHERE c.kind IS NOT NULL), array_agg(c.hint) FILTER (WHERE c.kind IS NOT NULL),
           max(c.id) FILTER (WHERE c.kind IS NULL), (array_agg(c.args) FILTER (WHERE c.kind IS NULL))[1]
    INTO ids, hints, lease, foot FROM claim(worker, 'default', 500, times, at_ids) c;
    COMMIT;
    EXIT WHEN (foot->>'took')::int = 0;
    times[3] := foot->'reached'->0->>1;
    at_ids[3] := foot->'reached'->0->>2;
    PERFORM complete(worker, ids, hints, array_fill(lease, ARRAY[cardinality(ids)]), NULL, leases);
    COMMIT;
    leases := ARRAY[lease];
  END LOOP;
END \$\$;
SELECT '$1 $2', round($tasks / extract(epoch FROM clock_timestamp() - at)), round((pg_current_wal_insert_lsn() - lsn) / $tasks)
  FROM before;
SQL
  unpin
  # In a session of its own: the counts of the one above are complete when it has ended.
  local rest
  rest=$(sql -c "SELECT round(100.0 * n_tup_hot_upd / n_tup_upd, 1), pg_relation_size(relid) / 1024, pg_indexes_size(relid) / 1024
                 FROM pg_stat_user_tables WHERE relid = 'status_index.tasks'::regclass")
  sed -i -e '/^$/d' -e "\$s/\$/|$rest/" "$out"
  tail -n 1 "$out"
}

echo 'round variant|tasks/s|WAL bytes per task|HOT %|table KiB|indexes KiB'
variants=(none full partial)
for ((round = 1; round <= rounds; round++)); do
  for variant in "${variants[@]}"; do one "$round" "$variant"; done
  variants=("${variants[@]:1}" "${variants[0]}")
done
echo "medians of the rounds, and the medians of each round's rate over that of \"none\" in the same round:"
awk -F'[ |]' '
  function median(list, n,   i, j, t, a) {
    split(list, a, " ")
    for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
  }
  { for (c = 3; c <= 7; c++) { all[$2, c] = all[$2, c] " " $c + 0 }; rate[$1, $2] = $3; if ($1 > n) n = $1 }
  END {
    split("none full partial", names, " ")
    for (v = 1; v <= 3; v++) {
      ratios = ""
      for (r = 1; r <= n; r++) ratios = ratios " " rate[r, names[v]] / rate[r, "none"]
      printf "%-8s", names[v]
      for (c = 3; c <= 7; c++) printf "|%s", median(all[names[v], c], n)
      printf "|ratio %.2f\n", median(ratios, n)
    }
  }' "$out"
