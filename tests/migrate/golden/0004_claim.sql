-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: claim(uuid, text, integer, timestamp with time zone[], bigint[], boolean, boolean, integer[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.claim(worker uuid, queue text, batch integer, from_times timestamp with time zone[], from_ids bigint[], careful boolean DEFAULT false, suspect boolean DEFAULT false, kinds integer[] DEFAULT NULL::integer[]) RETURNS TABLE(id bigint, hint tid, kind text, args jsonb, attempt smallint, max_attempts smallint, priority smallint, run_at timestamp with time zone, timeout_ms bigint, about jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET work_mem TO '64MB'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_column
DECLARE
  ids       bigint[]      := '{}';
  tids      tid[]         := '{}';
  buckets   smallint[]    := '{}';
  times     timestamptz[] := '{}';
  found     record;
  took      integer;
  got       integer := 0;
  more      integer;
  new_lease bigint;
  started   timestamptz;
  reached   jsonb := '[]';
  next_at   timestamptz;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction', MESSAGE = 'claim must run in READ COMMITTED';
  END IF;
  -- 1. Take tickets: highest bucket first, each bucket one bounded range of the index, each range
  --    opened only if those before it did not fill the batch.
  IF suspect AND careful THEN
    -- As below: a suspect whose row is held stays in its place, and the next one is taken.
    WITH pick AS MATERIALIZED (
      SELECT k.ctid, k.id, t.ctid AS tid FROM tickets k JOIN tasks t ON t.id = k.id
      WHERE k.queue = claim.queue AND k.bucket = -1 AND k.run_at <= clock() AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
      ORDER BY k.run_at, k.id LIMIT 1 FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT p.ctid FROM pick p)))
    SELECT array_agg(p.id), array_agg(p.tid) INTO ids, tids FROM pick p;
  ELSIF suspect THEN
    WITH pick AS MATERIALIZED (
      SELECT k.ctid, k.id, k.tid FROM tickets k
      WHERE k.queue = claim.queue AND k.bucket = -1 AND k.run_at <= clock() AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
      ORDER BY k.run_at, k.id LIMIT 1 FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT p.ctid FROM pick p)))
    SELECT array_agg(p.id), array_agg(p.tid) INTO ids, tids FROM pick p;
  ELSIF NOT careful THEN
    WITH pick AS MATERIALIZED (
      SELECT r.ctid, r.id, r.tid, r.bucket, r.run_at FROM (
        SELECT b4.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 4 AND (k.run_at, k.id) >= (from_times[5], from_ids[5]) AND k.run_at <= clock()
                            AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b4
        UNION ALL
        SELECT b3.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 3 AND (k.run_at, k.id) >= (from_times[4], from_ids[4]) AND k.run_at <= clock()
                            AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b3
        UNION ALL
        SELECT b2.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 2 AND (k.run_at, k.id) >= (from_times[3], from_ids[3]) AND k.run_at <= clock()
                            AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b2
        UNION ALL
        SELECT b1.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 1 AND (k.run_at, k.id) >= (from_times[2], from_ids[2]) AND k.run_at <= clock()
                            AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b1
        UNION ALL
        SELECT b0.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 0 AND (k.run_at, k.id) >= (from_times[1], from_ids[1]) AND k.run_at <= clock()
                            AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b0
      ) r LIMIT claim.batch),
    gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT p.ctid FROM pick p)))
    SELECT array_agg(p.id), array_agg(p.tid), array_agg(p.bucket), array_agg(p.run_at)
    INTO ids, tids, buckets, times FROM pick p;
  ELSE
    -- Somebody holds a task's row. Lock ticket and task together or step over both: the ticket of a
    -- locked task stays in its place.
    FOR b IN REVERSE 4..0 LOOP
      WITH pick AS MATERIALIZED (
        SELECT k.ctid, k.id, t.ctid AS tid, k.bucket, k.run_at FROM tickets k JOIN tasks t ON t.id = k.id
        WHERE k.queue = claim.queue AND k.bucket = b AND (k.run_at, k.id) >= (from_times[b + 1], from_ids[b + 1]) AND k.run_at <= clock()
          AND (kinds IS NULL OR k.kind_hash = ANY (kinds))
        ORDER BY k.run_at, k.id LIMIT claim.batch - cardinality(ids) FOR UPDATE SKIP LOCKED),
      gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT p.ctid FROM pick p)))
      SELECT array_agg(p.id) AS ids, array_agg(p.tid) AS tids, array_agg(p.bucket) AS buckets, array_agg(p.run_at) AS times
      INTO found FROM pick p;
      ids := ids || found.ids; tids := tids || found.tids;
      buckets := buckets || found.buckets; times := times || found.times;
    END LOOP;
  END IF;
  took := coalesce(cardinality(ids), 0);

  -- 2. The batch's lease, then its tasks by their hints, checked against id and status. The id is compared
  --    in a way that no index serves: beside "t.id = u.id" a plan made while the table was empty would
  --    walk the whole primary key rather than follow the hints.
  IF took > 0 THEN
    INSERT INTO leases AS l (worker, task_ids) SELECT w.id, ids FROM workers w WHERE w.id = claim.worker
    RETURNING l.id, l.claimed_at INTO new_lease, started;
    IF new_lease IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'MR004', MESSAGE = format('worker %s is not registered', claim.worker),
        HINT = 'It was taken for dead and rescued; register it again.';
    END IF;

    RETURN QUERY
    UPDATE tasks t
    SET status = 'running', attempt = least(t.attempt + 1, t.max_attempts), started_at = started, lease = new_lease, worker = claim.worker
    FROM unnest(tids, ids) AS u (tid, id)
    WHERE t.ctid = u.tid AND t.id IS NOT DISTINCT FROM u.id AND t.status IN ('pending', 'scheduled', 'retrying')
      AND (t.expires_at <= clock() AND t.attempt = 0 AND t.status <> 'retrying') IS NOT TRUE
    RETURNING t.id, t.ctid, t.kind, t.args, t.attempt, t.max_attempts, t.priority, t.run_at,
              (extract(epoch FROM t.timeout) * 1000)::bigint,
              CASE WHEN num_nonnulls(t.correlation, t.tenant, t.metadata, t.traceparent) > 0 THEN jsonb_strip_nulls(jsonb_build_object(
              'correlation', t.correlation, 'tenant', t.tenant, 'metadata', t.metadata, 'traceparent', t.traceparent)) END;
    GET DIAGNOSTICS got = ROW_COUNT;

    -- 3. The rest by id, in a new statement and so with a new snapshot: a row that moved, or that
    --    somebody edited while statement 2 ran and that it therefore skipped.
    IF got < took THEN
      RETURN QUERY
      UPDATE tasks t
      SET status = 'running', attempt = least(t.attempt + 1, t.max_attempts), started_at = started, lease = new_lease, worker = claim.worker
      WHERE t.id = ANY (ids) AND t.status IN ('pending', 'scheduled', 'retrying')
        AND (t.expires_at <= clock() AND t.attempt = 0 AND t.status <> 'retrying') IS NOT TRUE
      RETURNING t.id, t.ctid, t.kind, t.args, t.attempt, t.max_attempts, t.priority, t.run_at,
                (extract(epoch FROM t.timeout) * 1000)::bigint,
              CASE WHEN num_nonnulls(t.correlation, t.tenant, t.metadata, t.traceparent) > 0 THEN jsonb_strip_nulls(jsonb_build_object(
              'correlation', t.correlation, 'tenant', t.tenant, 'metadata', t.metadata, 'traceparent', t.traceparent)) END;
      GET DIAGNOSTICS more = ROW_COUNT;
      got := got + more;
    END IF;

    -- 4. Tickets of tasks that are not to run (expired, cancelled by hand, deleted) are gone for good.
    IF got < took THEN
      PERFORM expire_claimed(ids);
    END IF;
    IF got = 0 THEN
      DELETE FROM leases l WHERE l.id = new_lease;
      new_lease := NULL;
    ELSIF got < took THEN
      UPDATE leases l SET task_ids = ARRAY(SELECT t.id FROM tasks t WHERE t.id = ANY (ids) AND t.lease = new_lease) WHERE l.id = new_lease;
    END IF;

    -- Cursors come from tickets, not from tasks: the last ticket taken in each bucket.
    IF suspect THEN
      NULL;
    ELSIF buckets[1] = buckets[took] THEN
      reached := jsonb_build_array(jsonb_build_array(buckets[took], times[took], ids[took]));
    ELSE
      SELECT jsonb_agg(jsonb_build_array(l.bucket, times[l.n], ids[l.n])) INTO reached
      FROM (SELECT p.bucket, max(p.n) AS n FROM unnest(buckets) WITH ORDINALITY AS p (bucket, n) GROUP BY p.bucket) l;
    END IF;
  ELSE
    -- Of tickets that this worker would leave alone only the nearest few are stepped over: there may be very many.
    SELECT min(n.run_at) INTO next_at
    FROM unnest('{-1,0,1,2,3,4}'::smallint[]) AS b (bucket)
    CROSS JOIN LATERAL (
      SELECT coalesce(min(f.run_at) FILTER (WHERE kinds IS NULL OR f.kind_hash = ANY (kinds)), CASE WHEN count(*) = 16 THEN max(f.run_at) END) AS run_at
      FROM (SELECT k.run_at, k.kind_hash FROM tickets k WHERE k.queue = claim.queue AND k.bucket = b.bucket AND k.run_at > clock()
            ORDER BY k.run_at LIMIT 16) f) n;
  END IF;

  RETURN QUERY SELECT new_lease, NULL::tid, NULL::text, jsonb_build_object(
    'took', took, 'reached', reached, 'started_at', started,
    'xmin', pg_snapshot_xmin(pg_current_snapshot())::text,
    'next_in_ms', ceil(extract(epoch FROM next_at - clock()) * 1000)), NULL::smallint, NULL::smallint, NULL::smallint, NULL::timestamptz, NULL::bigint, NULL::jsonb;
END $$;

-- Name: FUNCTION claim(worker uuid, queue text, batch integer, from_times timestamp with time zone[], from_ids bigint[], careful boolean, suspect boolean, kinds integer[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.claim(worker uuid, queue text, batch integer, from_times timestamp with time zone[], from_ids bigint[], careful boolean, suspect boolean, kinds integer[]) IS 'Private, for workers: takes up to batch due tickets of a queue and makes their tasks running under one new lease.
from_times and from_ids are the cursor of each bucket, 0 to 4 (''-infinity'' and 0 sweep from the left edge). careful steps
over tasks that somebody else holds. suspect takes one task from the lane of suspects and nothing else.
kinds (kind_hash() of each) are what it takes, null: all; the tickets of others stay where they are.
about holds correlation, tenant, metadata and traceparent, those that are not null; itself null without any.
The last row (kind is null) is the batch''s footer: id is the lease; args holds took (tickets consumed: 0 means empty),
reached ([bucket, run_at, id] of the last ticket per bucket), started_at, xmin (of the snapshot) and next_in_ms (when empty: the next due).
Locks tickets and tasks until commit; READ COMMITTED and one call per transaction.
Errors: MR004 the worker is not registered; 55P03 a row is held, repeat with careful; 25001 wrong isolation level.';

-- Name: expire_claimed(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.expire_claimed(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  expired bigint[];
BEGIN
  -- One that is to be retried has begun, also if its attempt does not count: the last one of a task that died beside others.
  WITH ended AS (
    UPDATE tasks t SET status = 'cancelled', reason = 'expired', finished_at = clock()
    WHERE t.id = ANY (ids) AND t.status IN ('pending', 'scheduled') AND t.attempt = 0 AND t.expires_at <= clock()
    RETURNING t.id)
  SELECT array_agg(e.id) INTO expired FROM ended e;
  IF expired IS NOT NULL THEN
    PERFORM tell_waits(expired);
  END IF;
END $$;

-- Name: FUNCTION expire_claimed(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.expire_claimed(ids bigint[]) IS 'Private: cancels those of these tasks whose time to start is over, their tickets being gone. Locks their rows.';

-- Name: expire_tasks(integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.expire_tasks(most integer DEFAULT 1000, OUT expired integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
  due    bigint[];
  places tid[];
  ids    bigint[];
  tids   tid[];
BEGIN
  expired := 0;
  more := false;
  -- A slice of those whose time is over. Most have started, or ended, long ago: they only leave their row here.
  SELECT array_agg(o.task), array_agg(o.ctid) INTO due, places FROM (
    SELECT e.ctid, e.task FROM expiries e WHERE e.expires_at <= clock() ORDER BY e.expires_at, e.task LIMIT most FOR UPDATE SKIP LOCKED) o;
  IF due IS NULL THEN
    RETURN;
  END IF;
  -- What a claim, or a person, has in its hands is left to it. Each look-up of a ticket has all columns of its index: as one
  -- condition for both buckets, or as a join that may be turned round, it would walk through the queue's whole range.
  SELECT array_agg(d.id), array_agg(d.tid) INTO ids, tids FROM (
    SELECT t.id, k.tid
    FROM tasks t CROSS JOIN LATERAL (VALUES (t.priority / 25), (-1)) AS b (bucket)
    CROSS JOIN LATERAL (
      SELECT o.ctid AS tid FROM tickets o
      WHERE o.queue = t.queue AND o.bucket = b.bucket AND o.run_at = t.run_at AND o.id = t.id FOR UPDATE SKIP LOCKED) k
    WHERE t.id = ANY (due) AND t.expires_at <= clock() AND t.attempt = 0 AND t.status IN ('pending', 'scheduled')
    FOR UPDATE OF t SKIP LOCKED) d;
  IF ids IS NOT NULL THEN
    DELETE FROM tickets k WHERE k.ctid = ANY (tids);
    PERFORM expire_claimed(ids);
    expired := cardinality(ids);
  END IF;
  -- A task that began and was given back has no row any more: its claim looks at the time.
  DELETE FROM expiries e WHERE e.ctid = ANY (places)
    AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = e.task AND t.status IN ('pending', 'scheduled') AND t.attempt = 0 AND t.expires_at <= clock());
  -- A slice that is full has others behind it. What is left of it, because somebody has it in hand, would come first in each
  -- slice from now on and keep them from their turn, so it is looked at again after a minute.
  more := cardinality(due) = most;
  IF more THEN
    WITH left_over AS (DELETE FROM expiries e WHERE e.ctid = ANY (places) RETURNING e.task)
    INSERT INTO expiries (expires_at, task) SELECT clock() + interval '1 minute', l.task FROM left_over l ON CONFLICT DO NOTHING;
  END IF;
END $$;

-- Name: FUNCTION expire_tasks(most integer, OUT expired integer, OUT more boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.expire_tasks(most integer, OUT expired integer, OUT more boolean) IS 'Private, for workers, in turn: looks at up to so many tasks whose time to start is over and cancels those that have not; tells how many, and
whether to go on. What somebody holds is stepped over, and put off by a minute if others wait behind it. Any number may run at once. Locks their
tickets, rows and rows of expiries (SKIP LOCKED).';

-- Name: left_alone(text, integer[], integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.left_alone(queue text, kinds integer[], most integer DEFAULT 100) RETURNS TABLE(kind text, tasks bigint, handled boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
  SELECT t.kind, count(*), EXISTS (SELECT FROM workers w WHERE left_alone.queue = ANY (w.queues) AND w.seen_at > clock() - w.lease_ttl
                                     AND (w.kinds IS NULL OR t.kind = ANY (w.kinds)))
  FROM unnest('{-1,0,1,2,3,4}'::smallint[]) AS b (bucket)
  CROSS JOIN LATERAL (SELECT k.id FROM tickets k
                      WHERE k.queue = left_alone.queue AND k.bucket = b.bucket AND k.run_at <= clock() AND k.kind_hash <> ALL (kinds)
                      ORDER BY k.run_at, k.id LIMIT most) o
  JOIN tasks t ON t.id = o.id
  GROUP BY t.kind
$$;

-- Name: FUNCTION left_alone(queue text, kinds integer[], most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.left_alone(queue text, kinds integer[], most integer) IS 'Private, for workers that found nothing: the kinds of due tasks of a queue that a claim with these kinds leaves alone, how many of each among the first so many of
a bucket, and whether a live worker of the queue handles them. Locks nothing.';

