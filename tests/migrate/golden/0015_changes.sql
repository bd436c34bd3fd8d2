-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: changes; Type: TYPE; Schema: millrace; Owner: -
CREATE TYPE millrace.changes AS (
	done bigint,
	asked bigint,
	running bigint,
	held bigint,
	refused bigint,
	next bigint
);

-- Name: TYPE changes; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TYPE millrace.changes IS 'What a batch did. done: tasks changed; asked: running ones whose worker was asked to stop; running: left alone because they run; held: left alone because
somebody, mostly a claim, had them in hand (they still fit: repeat); refused: not revived, because another live task has their unique key; next: where to go on (after), null at the end.';

-- Name: change_priority_check(integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.change_priority_check(priority integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF (priority BETWEEN 0 AND 100) IS NOT TRUE THEN
    PERFORM refuse('priority', format('is %s; allowed is 0 to 100', coalesce(priority::text, 'null')));
  END IF;
END $$;

-- Name: FUNCTION change_priority_check(priority integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.change_priority_check(priority integer) IS 'Private. Refuses (22023) a priority that is out of range. Locks nothing.';

-- Name: change_time_check(timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.change_time_check(run_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF (run_at >= timestamptz '1970-01-01 00:00+00' AND run_at < timestamptz '10000-01-01 00:00+00') IS NOT TRUE THEN
    PERFORM refuse('run_at', format('is %s; allowed are the years 1970 to 9999', coalesce(run_at::text, 'null')));
  END IF;
END $$;

-- Name: FUNCTION change_time_check(run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.change_time_check(run_at timestamp with time zone) IS 'Private. Refuses (22023) a time that is out of range. Locks nothing.';

-- Name: delete_task(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.delete_task(id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  old tasks;
BEGIN
  FOR try IN 1..5 LOOP
    SELECT * INTO old FROM tasks t WHERE t.id = delete_task.id;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no task %s', delete_task.id);
    ELSIF old.status = 'running' THEN
      RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('task %s is running and cannot be deleted; cancel it first', delete_task.id);
    END IF;
    CONTINUE WHEN old.status IN ('pending', 'scheduled', 'retrying') AND NOT drop_ticket(old) AND try < 5;
    PERFORM FROM tasks t WHERE t.id = old.id AND t.status = old.status AND t.run_at = old.run_at FOR UPDATE;
    IF FOUND THEN
      PERFORM forget_tasks(ARRAY[old.id]);
      RETURN;
    END IF;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('task %s changes too fast to be deleted; try again', delete_task.id);
END $$;

-- Name: FUNCTION delete_task(id bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.delete_task(id bigint) IS 'Deletes a task that does not run, with its ticket, its error history, progress and log lines. Anyone who may write tasks may call it. Locks its ticket, then its row.
Errors: MR002, MR003 (it runs), 55P03.';

-- Name: forget_tasks(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.forget_tasks(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  WITH gone AS (DELETE FROM tasks t WHERE t.id = ANY (ids) RETURNING t.id, t.expires_at)
  DELETE FROM expiries e USING gone g WHERE e.expires_at = g.expires_at AND e.task = g.id;
  DELETE FROM cancel_requests c WHERE c.task = ANY (ids);
  DELETE FROM log_lines l WHERE l.task = ANY (ids);
  DELETE FROM reports r WHERE r.task = ANY (ids);
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
    DELETE FROM waits w WHERE w.task = ANY (ids);
  END IF;
END $$;

-- Name: FUNCTION forget_tasks(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.forget_tasks(ids bigint[]) IS 'Private: deletes tasks that the caller has locked, their tickets being gone, and every row that hangs on them. Keys are left: one that holds for a time holds for
it whatever becomes of its task, and the others are tidied away. Locks those rows.';

-- Name: move_task(bigint, text, integer, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.move_task(id bigint, verb text, priority integer, run_at timestamp with time zone) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  old   tasks;
  moved tasks;
  lane  smallint;
  hint  tid;
BEGIN
  FOR try IN 1..5 LOOP
    SELECT * INTO old FROM tasks t WHERE t.id = move_task.id;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no task %s', move_task.id);
    ELSIF old.status NOT IN ('pending', 'scheduled', 'retrying') THEN
      RAISE EXCEPTION USING ERRCODE = 'MR003',
        MESSAGE = format('task %s is %s and cannot be %s; only a pending, scheduled or retrying task can', move_task.id, old.status, verb);
    END IF;
    -- A suspect stays one: it has to run alone, whatever its priority.
    SELECT min(k.bucket) INTO lane FROM tickets k WHERE k.queue = old.queue AND k.bucket = -1 AND k.run_at = old.run_at AND k.id = old.id;
    -- No ticket: somebody took it, or put another in its place since this looked. Only doctor() knows a task that has none.
    CONTINUE WHEN NOT drop_ticket(old) AND try < 5;
    UPDATE tasks t
    SET priority = coalesce(move_task.priority, t.priority), run_at = coalesce(move_task.run_at, t.run_at),
        status = CASE WHEN move_task.run_at IS NULL THEN t.status ELSE status_moved(t.status, move_task.run_at) END
    WHERE t.id = old.id AND t.status = old.status AND t.run_at = old.run_at AND t.priority = old.priority AND t.queue = old.queue
    RETURNING t.ctid INTO hint;
    CONTINUE WHEN NOT FOUND;
    SELECT * INTO moved FROM tasks t WHERE t.id = old.id;
    INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
    VALUES (moved.queue, coalesce(lane, moved.priority / 25), kind_hash(moved.kind), moved.run_at, moved.id, hint);
    PERFORM wake(moved.queue, moved.run_at);
    RETURN moved.status;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('task %s changes too fast to be %s; try again', move_task.id, verb);
END $$;

-- Name: FUNCTION move_task(id bigint, verb text, priority integer, run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.move_task(id bigint, verb text, priority integer, run_at timestamp with time zone) IS 'Private: gives a task that waits for its run another priority or time, null leaving it, and a new ticket. Waits for a claim that is taking it. Locks its ticket, then its row. Errors: MR002, MR003, 55P03.';

-- Name: plan_tasks(text, jsonb, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.plan_tasks(action text, filter jsonb, sample integer DEFAULT 5) RETURNS TABLE(status millrace.status, tasks bigint, effect text, examples bigint[])
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
  scope CONSTANT jsonb := scope_of(action, filter);
BEGIN
  PERFORM page_check(sample, 1000);
  FOR status, tasks IN SELECT c.status, sum(c.tasks) FROM count_tasks(scope) c GROUP BY 1 ORDER BY 1 LOOP
    effect := CASE WHEN status = 'running' THEN CASE action WHEN 'cancel' THEN 'asked to stop' ELSE 'left alone' END
                   ELSE CASE action WHEN 'cancel' THEN 'cancelled' WHEN 'retry' THEN 'retried' WHEN 'reprioritise' THEN 'reprioritised'
                                    WHEN 'delete' THEN 'deleted' WHEN 'run_now' THEN 'made due' ELSE 'rescheduled' END END;
    examples := ARRAY(SELECT i FROM task_ids(scope || jsonb_build_object('status', status), 0, sample) i);
    RETURN NEXT;
  END LOOP;
END $$;

-- Name: FUNCTION plan_tasks(action text, filter jsonb, sample integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.plan_tasks(action text, filter jsonb, sample integer) IS 'What a change of many tasks would do now, and nothing is changed: by status how many tasks, what becomes of them, and the oldest few. action is cancel, retry, reprioritise, reschedule,
run_now or delete. Reads what count_tasks() reads. Anyone who may read may call it; locks nothing. Errors: 22023.';

-- Name: reprioritise(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.reprioritise(id bigint, priority integer) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_priority_check(priority);
  RETURN move_task(id, 'reprioritised', priority, NULL);
END $$;

-- Name: FUNCTION reprioritise(id bigint, priority integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.reprioritise(id bigint, priority integer) IS 'Gives a pending, scheduled or retrying task another priority, 0 to 100. Returns its status. Anyone who may write tasks may call it. Locks its ticket, then its row.
Errors: MR002, MR003 (it runs or has ended), 22023, 55P03.';

-- Name: reschedule(bigint, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.reschedule(id bigint, run_at timestamp with time zone) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_time_check(run_at);
  RETURN move_task(id, 'rescheduled', NULL, run_at);
END $$;

-- Name: FUNCTION reschedule(id bigint, run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.reschedule(id bigint, run_at timestamp with time zone) IS 'Lets a pending, scheduled or retrying task run at this time instead. Returns its status. A time after its expires_at lets it expire. Anyone who may write tasks may call it.
Locks its ticket, then its row. Errors: MR002, MR003 (it runs or has ended), 22023, 55P03.';

-- Name: run_now(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.run_now(id bigint) RETURNS millrace.status
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT move_task(id, 'run now', NULL, clock())
$$;

-- Name: FUNCTION run_now(id bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.run_now(id bigint) IS 'reschedule() to now.';

-- Name: scope_of(text, jsonb); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.scope_of(action text, filter jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  allowed status[];
  wrong   status;
BEGIN
  allowed := CASE WHEN action IN ('cancel', 'reprioritise', 'reschedule', 'run_now') THEN '{pending,scheduled,retrying,running}'::status[]
                  WHEN action = 'retry' THEN '{failed,cancelled}'::status[]
                  WHEN action = 'delete' THEN enum_range(NULL::status) END;
  IF allowed IS NULL THEN
    PERFORM refuse('action', format('is %s; allowed are cancel, retry, reprioritise, reschedule, run_now and delete', coalesce(quote_literal(left(action, 64)), 'null')));
  END IF;
  PERFORM parse_filter(filter);
  IF jsonb_strip_nulls(filter) = '{}' THEN
    PERFORM refuse('filter', 'is empty; say which tasks, for example {"status": "pending"}');
  END IF;
  IF filter ->> 'status' IS NULL THEN
    RETURN CASE action WHEN 'delete' THEN filter WHEN 'retry' THEN filter || '{"status": "failed"}' ELSE filter || jsonb_build_object('status', to_jsonb(allowed)) END;
  END IF;
  SELECT s INTO wrong FROM unnest(filter_value('status', 'statuses', filter -> 'status')::status[]) s WHERE s <> ALL (allowed) LIMIT 1;
  IF FOUND THEN
    PERFORM refuse('status', format('is %s; %s takes %s', wrong, action, array_to_string(allowed, ', ')));
  END IF;
  RETURN filter;
END $$;

-- Name: FUNCTION scope_of(action text, filter jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.scope_of(action text, filter jsonb) IS 'Private: the filter of the tasks that an action (cancel, retry, reprioritise, reschedule, run_now, delete) is about, its statuses spelled out. Without a status: for retry those that
failed, for delete all, otherwise those that have not ended. Locks nothing. Errors: 22023; an empty filter is refused.';

-- Name: status_moved(millrace.status, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.status_moved(status millrace.status, run_at timestamp with time zone) RETURNS millrace.status
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE WHEN status = 'retrying' THEN 'retrying' WHEN run_at > clock() THEN 'scheduled' ELSE 'pending' END::status
$$;

-- Name: FUNCTION status_moved(status millrace.status, run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.status_moved(status millrace.status, run_at timestamp with time zone) IS 'Private: the status of a task that waits for its ticket, once it is to run at this time. Locks nothing.';

-- Name: take_tickets(bigint[], text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.take_tickets(candidates bigint[], conditions text, OUT ids bigint[], OUT suspects bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $_$
BEGIN
  -- Each look-up of a ticket has all columns of its index: as one condition for both buckets, or as a join that may be turned
  -- round, it would walk through the queue's whole range.
  EXECUTE format($q$
    WITH held AS MATERIALIZED (
      SELECT t.id, k.tid, b.bucket
      FROM tasks t CROSS JOIN LATERAL (VALUES (t.priority / 25), (-1)) AS b (bucket)
      CROSS JOIN LATERAL (
        SELECT o.ctid AS tid FROM tickets o
        WHERE o.queue = t.queue AND o.bucket = b.bucket AND o.run_at = t.run_at AND o.id = t.id FOR UPDATE SKIP LOCKED) k
      WHERE t.id = ANY ($1) AND t.status IN ('pending', 'scheduled', 'retrying') AND %s
      FOR UPDATE OF t SKIP LOCKED),
    gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT h.tid FROM held h)))
    SELECT ARRAY(SELECT DISTINCT h.id FROM held h), ARRAY(SELECT h.id FROM held h WHERE h.bucket = -1) $q$, conditions)
  INTO ids, suspects USING candidates;
END $_$;

-- Name: FUNCTION take_tickets(candidates bigint[], conditions text, OUT ids bigint[], OUT suspects bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.take_tickets(candidates bigint[], conditions text, OUT ids bigint[], OUT suspects bigint[]) IS 'Private: locks those of these tasks that wait for their run and still fit, and deletes their tickets; tells which were suspects. What somebody has in hand is stepped over. Locks tickets, then tasks (SKIP LOCKED).';

