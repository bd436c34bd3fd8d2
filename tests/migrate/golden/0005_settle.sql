-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: assert_lease(bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.assert_lease(task bigint, lease bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  PERFORM FROM tasks t WHERE t.id = assert_lease.task AND t.lease = assert_lease.lease AND t.status = 'running' FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR001', MESSAGE = format('task %s is not running under lease %s', task, lease),
      HINT = 'It was rescued and runs, or ran, elsewhere: roll back.';
  END IF;
END $$;

-- Name: FUNCTION assert_lease(task bigint, lease bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.assert_lease(task bigint, lease bigint) IS 'For a handler''s own transaction, as its last statement before COMMIT: fails unless the task still runs under this lease, and keeps it so
until the transaction ends. Not earlier, because rescue steps over the row meanwhile. Anyone may call it. Locks the task''s row.
Errors: MR001 the lease was lost.';

-- Name: complete(uuid, bigint[], tid[], bigint[], jsonb[], bigint[], boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.complete(worker uuid, ids bigint[], hints tid[], leases bigint[], results jsonb[] DEFAULT NULL::jsonb[], done bigint[] DEFAULT '{}'::bigint[], careful boolean DEFAULT false) RETURNS TABLE(id bigint, verdict text)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_column
DECLARE
  want integer := cardinality(ids);
  got  integer := 0;
  more integer;
BEGIN
  IF want > 0 AND NOT careful THEN
    UPDATE tasks t SET status = 'completed', finished_at = clock(), result = u.result
    FROM unnest(hints, ids, leases, results) AS u (tid, id, lease, result)
    WHERE t.ctid = u.tid AND t.id IS NOT DISTINCT FROM u.id AND t.status = 'running' AND t.lease = u.lease AND t.worker = complete.worker;
    GET DIAGNOSTICS got = ROW_COUNT;
  END IF;
  IF got < want THEN
    IF careful THEN
      WITH mine AS MATERIALIZED (
        SELECT t.id FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE SKIP LOCKED)
      UPDATE tasks t SET status = 'completed', finished_at = clock(), result = u.result
      FROM unnest(ids, leases, results) AS u (id, lease, result)
      WHERE t.id = ANY (ids) AND t.id = u.id AND t.id IN (SELECT m.id FROM mine m) AND t.status = 'running' AND t.lease = u.lease AND t.worker = complete.worker;
    ELSE
      UPDATE tasks t SET status = 'completed', finished_at = clock(), result = u.result
      FROM unnest(ids, leases, results) AS u (id, lease, result)
      WHERE t.id = ANY (ids) AND t.id = u.id AND t.status = 'running' AND t.lease = u.lease AND t.worker = complete.worker;
    END IF;
    GET DIAGNOSTICS more = ROW_COUNT;
    IF got + more < want THEN
      RETURN QUERY SELECT * FROM unsettled(complete.worker, ids, leases);
    END IF;
  END IF;
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
  END IF;
  IF cardinality(done) > 0 THEN
    DELETE FROM leases l WHERE l.id = ANY (done) AND l.worker = complete.worker;
  END IF;
END $$;

-- Name: FUNCTION complete(worker uuid, ids bigint[], hints tid[], leases bigint[], results jsonb[], done bigint[], careful boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.complete(worker uuid, ids bigint[], hints tid[], leases bigint[], results jsonb[], done bigint[], careful boolean) IS 'For the worker that holds the leases: records tasks as completed, with results (null: none), and drops the leases in done.
Returns the exceptions (see unsettled). Locks those tasks until commit. Errors: 55P03 a row is held, repeat with careful.';

-- Name: complete_task(bigint, bigint, jsonb); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.complete_task(task bigint, lease bigint, result jsonb DEFAULT NULL::jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  -- Not repeatable like complete(): if it was recorded before, then what else this transaction wrote is there already.
  UPDATE tasks t SET status = 'completed', finished_at = clock(), result = complete_task.result
  WHERE t.id = complete_task.task AND t.lease = complete_task.lease AND t.status = 'running';
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR001', MESSAGE = format('task %s is not running under lease %s', task, lease),
      HINT = 'It was rescued and runs, or ran, elsewhere: roll back.';
  END IF;
  IF current_setting('transaction_isolation') <> 'read committed' OR EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ARRAY[task]);
  END IF;
END $$;

-- Name: FUNCTION complete_task(task bigint, lease bigint, result jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.complete_task(task bigint, lease bigint, result jsonb) IS 'For a handler''s own transaction, as its last statement before COMMIT: records the task as completed together with what the transaction
wrote, so that both happen exactly once or not at all. Anyone may call it. Locks the task''s row. Errors: MR001 the lease was lost, or the
task''s end is recorded already.';

-- Name: died_last(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.died_last(errors jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT coalesce(starts_with(errors -> -1 ->> 'message', 'the worker died while it ran this task'), false) $$;

-- Name: FUNCTION died_last(errors jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.died_last(errors jsonb) IS 'Private. Whether the last thing that is known of a task is that its worker died with it, as give_back() writes it: then it is a suspect. Inlined where it is used, so it has no search_path of its own. Locks nothing.';

-- Name: drop_leases(uuid, bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.drop_leases(worker uuid, done bigint[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  dropped integer;
BEGIN
  DELETE FROM leases l WHERE l.id = ANY (done) AND l.worker = drop_leases.worker;
  GET DIAGNOSTICS dropped = ROW_COUNT;
  RETURN dropped;
END $$;

-- Name: FUNCTION drop_leases(worker uuid, done bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.drop_leases(worker uuid, done bigint[]) IS 'Private, for workers: deletes leases whose every task was settled in an earlier transaction. Locks those lease rows.';

-- Name: fail(uuid, bigint[], bigint[], text[], boolean[], interval[], boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.fail(worker uuid, ids bigint[], leases bigint[], messages text[], finals boolean[] DEFAULT NULL::boolean[], delays interval[] DEFAULT NULL::interval[], careful boolean DEFAULT false) RETURNS TABLE(id bigint, verdict text, status millrace.status, run_at timestamp with time zone)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_column
DECLARE
  settled bigint[];
  states  status[];
  times   timestamptz[];
  dead    bigint[];
BEGIN
  IF careful THEN
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE SKIP LOCKED;
  ELSE
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE;
  END IF;
  WITH mine AS MATERIALIZED (
    SELECT t.id, u.message, u.delay,
           CASE WHEN u.final THEN 'failed'
                WHEN EXISTS (SELECT FROM cancel_requests c WHERE c.task = t.id) THEN 'cancelled'
                WHEN t.attempt >= t.max_attempts THEN 'failed'
                ELSE 'retrying' END::status AS next
    FROM unnest(ids, leases, messages, finals, delays) AS u (id, lease, message, final, delay)
    JOIN tasks t ON t.id = u.id
    WHERE t.id = ANY (ids) AND t.status = 'running' AND t.lease = u.lease AND t.worker = fail.worker
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED),
  failed AS (
    UPDATE tasks t
    SET status = m.next,
        run_at = CASE WHEN m.next = 'retrying' THEN clock() + coalesce(m.delay, retry_delay(t.backoff, t.attempt)) ELSE t.run_at END,
        finished_at = CASE WHEN m.next <> 'retrying' THEN clock() END,
        dead_at = CASE WHEN m.next = 'failed' THEN clock() END,
        errors = with_error(t.errors, t.attempt, fail.worker, m.message)
    FROM mine m WHERE t.id = ANY (ids) AND t.id = m.id
    RETURNING t.id, t.status, t.kind, t.run_at, t.queue, t.priority, t.ctid),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
    SELECT f.queue, f.priority / 25, kind_hash(f.kind), f.run_at, f.id, f.ctid FROM failed f WHERE f.status = 'retrying')
  SELECT array_agg(f.id), array_agg(f.status), array_agg(f.run_at), array_agg(f.id) FILTER (WHERE f.status = 'failed')
  INTO settled, states, times, dead FROM failed f;
  -- Only what this call made a dead letter: a settlement that is repeated changes nothing, and forwards nothing.
  IF dead IS NOT NULL AND EXISTS (SELECT FROM dead_queues d) THEN
    PERFORM forward_dead(dead);
  END IF;
  RETURN QUERY SELECT u.id, NULL::text, u.status, u.run_at FROM unnest(settled, states, times) AS u (id, status, run_at);
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
  END IF;
  RETURN QUERY SELECT u.id, u.verdict, NULL::status, NULL::timestamptz FROM unsettled(fail.worker, ids, leases) u;
END $$;

-- Name: FUNCTION fail(worker uuid, ids bigint[], leases bigint[], messages text[], finals boolean[], delays interval[], careful boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.fail(worker uuid, ids bigint[], leases bigint[], messages text[], finals boolean[], delays interval[], careful boolean) IS 'For the worker that holds the leases: records a failed attempt of each task. It retries after delays (null: its retry policy), or
becomes a dead letter (status failed) when finals says so or its attempts are used up. Returns each task''s new status and run_at, and the
exceptions (see unsettled). Locks those tasks until commit. Errors: 55P03 a row is held, repeat with careful.';

-- Name: release(uuid, bigint[], bigint[], interval, text, boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.release(worker uuid, ids bigint[], leases bigint[], delay interval DEFAULT '00:00:00'::interval, note text DEFAULT NULL::text, careful boolean DEFAULT false) RETURNS TABLE(id bigint, verdict text)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_column
BEGIN
  IF careful THEN
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE SKIP LOCKED;
  ELSE
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE;
  END IF;
  WITH mine AS MATERIALIZED (
    SELECT t.id, died_last(t.errors) AND (release.delay > interval '0') IS NOT TRUE AS suspect,
           CASE WHEN EXISTS (SELECT FROM cancel_requests c WHERE c.task = t.id) THEN 'cancelled'
                WHEN t.attempt > 1 OR died_last(t.errors) THEN 'retrying'
                WHEN release.delay > interval '0' THEN 'scheduled'
                ELSE 'pending' END::status AS next
    FROM unnest(ids, leases) AS u (id, lease)
    JOIN tasks t ON t.id = u.id
    WHERE t.id = ANY (ids) AND t.status = 'running' AND t.lease = u.lease AND t.worker = release.worker
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED),
  released AS (
    UPDATE tasks t
    SET status = m.next, attempt = greatest(t.attempt - 1, 0),
        run_at = CASE WHEN release.delay > interval '0' THEN clock() + release.delay ELSE t.run_at END,
        finished_at = CASE WHEN m.next = 'cancelled' THEN clock() END,
        errors = CASE WHEN note IS NULL THEN t.errors ELSE with_error(t.errors, t.attempt, release.worker, release.note, note => true) END
    FROM mine m WHERE t.id = ANY (ids) AND t.id = m.id
    RETURNING t.id, t.status, t.kind, t.run_at, t.queue, t.priority, t.ctid, m.suspect)
  -- A suspect that is given back at once may not have begun, and has to run alone still. One that snoozes has run, and lived.
  INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
  SELECT r.queue, CASE WHEN r.suspect THEN -1 ELSE r.priority / 25 END, kind_hash(r.kind), r.run_at, r.id, r.ctid
  FROM released r WHERE r.status <> 'cancelled';
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
  END IF;
  RETURN QUERY SELECT * FROM unsettled(release.worker, ids, leases);
END $$;

-- Name: FUNCTION release(worker uuid, ids bigint[], leases bigint[], delay interval, note text, careful boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.release(worker uuid, ids bigint[], leases bigint[], delay interval, note text, careful boolean) IS 'For the worker that holds the leases: gives tasks back, to run again after delay, without counting the attempt. A note is
added to their error history. Without a delay a suspect goes back to the lane of suspects. A task that somebody asked to cancel is cancelled instead. Returns the exceptions (see unsettled). Locks those tasks until commit.
Errors: 55P03 a row is held, repeat with careful.';

-- Name: retry_delay(jsonb, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.retry_delay(backoff jsonb, attempt integer) RETURNS interval
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- Nothing here may overflow, or underflow, for a policy that backoff_check() accepts: it would keep a failure off the
  -- record. A hundred powers of anything go beyond every cap, and what is shorter than an interval can tell is nothing.
  SELECT make_interval(secs => CASE WHEN delay < 1e-6 OR jitter < 1e-6 THEN delay ELSE delay * (1 - jitter + 2 * jitter * random()) END)
  FROM (SELECT least(cap, CASE type WHEN 'fixed' THEN base
                                    WHEN 'linear' THEN base * greatest(attempt, 1)
                                    ELSE base * multiplier ^ (least(greatest(attempt, 1), 101) - 1) END) AS delay, jitter
        FROM (SELECT coalesce(backoff->>'type', 'exponential')           AS type,
                     coalesce((backoff->>'base')::float8, 15)            AS base,
                     coalesce((backoff->>'cap')::float8, 3600)           AS cap,
                     coalesce((backoff->>'multiplier')::float8, 2)       AS multiplier,
                     coalesce((backoff->>'jitter')::float8, 0.15)        AS jitter) policy) bounded
$$;

-- Name: FUNCTION retry_delay(backoff jsonb, attempt integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.retry_delay(backoff jsonb, attempt integer) IS 'How long to wait after this attempt failed: the policy''s delay, cut to its cap, times 1 ± jitter. null is {"type": "exponential", "base": 15, "cap": 3600, "multiplier": 2, "jitter": 0.15}. Anyone may call it; locks nothing.';

-- Name: settle_cancelled(uuid, bigint[], bigint[], text[], boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.settle_cancelled(worker uuid, ids bigint[], leases bigint[], reasons text[], careful boolean DEFAULT false) RETURNS TABLE(id bigint, verdict text)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_column
BEGIN
  IF careful THEN
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE SKIP LOCKED;
  ELSE
    PERFORM FROM tasks t WHERE t.id = ANY (ids) ORDER BY t.id FOR UPDATE;
  END IF;
  WITH mine AS MATERIALIZED (
    SELECT t.id, u.reason
    FROM unnest(ids, leases, reasons) AS u (id, lease, reason)
    JOIN tasks t ON t.id = u.id
    WHERE t.id = ANY (ids) AND t.status = 'running' AND t.lease = u.lease AND t.worker = settle_cancelled.worker
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED)
  UPDATE tasks t SET status = 'cancelled', finished_at = clock(), reason = left(m.reason, 4096)
  FROM mine m WHERE t.id = ANY (ids) AND t.id = m.id;
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
  END IF;
  RETURN QUERY SELECT * FROM unsettled(settle_cancelled.worker, ids, leases);
END $$;

-- Name: FUNCTION settle_cancelled(worker uuid, ids bigint[], leases bigint[], reasons text[], careful boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.settle_cancelled(worker uuid, ids bigint[], leases bigint[], reasons text[], careful boolean) IS 'For the worker that holds the leases: ends tasks as cancelled, because their handlers said that there is nothing left to do, with their
reasons. Returns the exceptions (see unsettled). Locks those tasks until commit. Errors: 55P03 a row is held, repeat with careful.';

-- Name: task_channel(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.task_channel(task bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_' || to_hex(hashtextextended(current_schema() || chr(2) || task, 0))
$$;

-- Name: FUNCTION task_channel(task bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.task_channel(task bigint) IS 'The NOTIFY channel that tells those who wait for a task to look again. Anyone may call it; locks nothing.';

-- Name: tell_waits(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tell_waits(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
BEGIN
  -- Above READ COMMITTED a wait that began meanwhile cannot be seen, so everybody is told.
  PERFORM pg_notify(task_channel(u.id), '') FROM unnest(ids) AS u (id)
  WHERE current_setting('transaction_isolation') <> 'read committed'
     OR EXISTS (SELECT FROM waits w WHERE w.task = u.id AND w.expires_at > clock());
END $$;

-- Name: FUNCTION tell_waits(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tell_waits(ids bigint[]) IS 'Private. Notifies those who wait for these tasks. To be called in a statement after the one that ended them, so that it sees waits that began
while that ran. Takes the cluster''s NOTIFY lock at commit, and only if somebody waits.';

-- Name: unsettled(uuid, bigint[], bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.unsettled(worker uuid, ids bigint[], leases bigint[]) RETURNS TABLE(id bigint, verdict text)
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
  -- Same lease, same worker and no longer running: this settlement, or an equal one before it, took place.
  SELECT u.id, CASE WHEN t.status = 'running' AND t.lease = u.lease AND t.worker = unsettled.worker THEN 'held' ELSE 'lost' END
  FROM unnest(ids, leases) AS u (id, lease) LEFT JOIN tasks t ON t.id = u.id
  WHERE (t.lease = u.lease AND t.worker = unsettled.worker AND t.status <> 'running') IS NOT TRUE
$$;

-- Name: FUNCTION unsettled(worker uuid, ids bigint[], leases bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.unsettled(worker uuid, ids bigint[], leases bigint[]) IS 'Private. Which of these tasks are not settled under their lease, and why. Locks nothing.';

-- Name: with_error(jsonb, integer, uuid, text, boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.with_error(errors jsonb, attempt integer, worker uuid, message text, note boolean DEFAULT false) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- A note that repeats the last one (the same attempt, given back again and again) takes its place.
  SELECT CASE WHEN note AND errors->-1->>'message' = left(message, 4096) AND (errors->-1->>'attempt')::integer = attempt THEN errors - -1
              WHEN jsonb_array_length(errors) >= 10 THEN errors - 0
              ELSE coalesce(errors, '[]') END
         || jsonb_build_object('attempt', attempt, 'at', clock(), 'worker', worker, 'message', left(message, 4096))
$$;

-- Name: FUNCTION with_error(errors jsonb, attempt integer, worker uuid, message text, note boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.with_error(errors jsonb, attempt integer, worker uuid, message text, note boolean) IS 'Private. The error history with one more entry: the latest 10 are kept, messages cut to 4096 characters; a note that only repeats the last entry replaces it.';

