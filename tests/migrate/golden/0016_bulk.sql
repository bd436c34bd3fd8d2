-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: begin_changes(text, jsonb, bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.begin_changes(action text, filter jsonb, after bigint, most integer, OUT ids bigint[], OUT conditions text, OUT next bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  scope CONSTANT jsonb := scope_of(action, filter);
BEGIN
  PERFORM page_check(most, 10000);
  SELECT p.conditions INTO conditions FROM parse_filter(scope) p;
  ids := ARRAY(SELECT i FROM task_ids(scope, after, most) i);
  next := CASE WHEN cardinality(ids) = most THEN ids[most] END;
END $$;

-- Name: FUNCTION begin_changes(action text, filter jsonb, after bigint, most integer, OUT ids bigint[], OUT conditions text, OUT next bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.begin_changes(action text, filter jsonb, after bigint, most integer, OUT ids bigint[], OUT conditions text, OUT next bigint) IS 'Private: the tasks of a batch, how to look again whether they still fit, and where the next batch begins. Locks nothing. Errors: 22023.';

-- Name: cancel_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cancel_tasks(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $_$
DECLARE
  batch   record;
  taken   record;
  others  bigint[];
  asked   bigint[];
  workers uuid[];
  answer  changes;
BEGIN
  SELECT * INTO batch FROM begin_changes('cancel', filter, after, most);
  SELECT * INTO taken FROM take_tickets(batch.ids, batch.conditions);
  UPDATE tasks t SET status = 'cancelled', finished_at = clock() WHERE t.id = ANY (taken.ids);
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(taken.ids);
  END IF;
  -- While a task runs only its worker writes its row: the wish is a row of its own.
  others := without(batch.ids, taken.ids);
  EXECUTE format($q$SELECT array_agg(t.id ORDER BY t.id), array_agg(DISTINCT t.worker) FROM tasks t WHERE t.id = ANY ($1) AND t.status = 'running' AND %s$q$, batch.conditions)
  INTO asked, workers USING others;
  IF asked IS NOT NULL THEN
    INSERT INTO cancel_requests (task) SELECT a.id FROM unnest(asked) AS a (id) ORDER BY a.id ON CONFLICT DO NOTHING;
    PERFORM pg_notify(worker_channel(w.id), '') FROM unnest(workers) AS w (id);
  END IF;
  answer.done := cardinality(taken.ids);
  answer.asked := coalesce(cardinality(asked), 0);
  answer.running := 0;
  SELECT l.held INTO answer.held FROM left_over(others, batch.conditions) l;
  answer.refused := 0;
  answer.next := batch.next;
  RETURN answer;
END $_$;

-- Name: FUNCTION cancel_tasks(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cancel_tasks(filter jsonb, most integer, after bigint) IS 'Cancels a batch of the tasks that fit, at most so many (1 to 10000) with ids above after; the workers of running ones are asked to stop them. Anyone who may write tasks may
call it. Locks their tickets and rows (SKIP LOCKED), and cancel requests. Errors: 22023, 55P03 and 40P01: repeat.';

-- Name: delete_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.delete_tasks(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $_$
DECLARE
  batch  record;
  taken  record;
  ended  bigint[];
  answer changes;
BEGIN
  SELECT * INTO batch FROM begin_changes('delete', filter, after, most);
  SELECT * INTO taken FROM take_tickets(batch.ids, batch.conditions);
  EXECUTE format($q$
    WITH mine AS MATERIALIZED (
      SELECT t.id FROM tasks t WHERE t.id = ANY ($1) AND t.status NOT IN ('pending', 'scheduled', 'retrying', 'running') AND %s ORDER BY t.id FOR UPDATE SKIP LOCKED)
    SELECT coalesce(array_agg(m.id), '{}') FROM mine m $q$, batch.conditions) INTO ended USING batch.ids;
  PERFORM forget_tasks(taken.ids || ended);
  answer.done := cardinality(taken.ids) + cardinality(ended);
  answer.asked := 0;
  SELECT l.running, l.held INTO answer.running, answer.held FROM left_over(batch.ids, batch.conditions) l;
  answer.refused := 0;
  answer.next := batch.next;
  RETURN answer;
END $_$;

-- Name: FUNCTION delete_tasks(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.delete_tasks(filter jsonb, most integer, after bigint) IS 'Deletes a batch of the tasks that fit and do not run, with everything that hangs on them (delete_task()). Anyone who may write tasks may call it. Locks their tickets and rows
(SKIP LOCKED). Errors: 22023, 55P03 and 40P01: repeat.';

-- Name: left_over(bigint[], text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.left_over(candidates bigint[], conditions text, OUT running bigint, OUT held bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $_$
BEGIN
  EXECUTE format($q$SELECT count(*) FILTER (WHERE t.status = 'running'), count(*) FILTER (WHERE t.status <> 'running')
                    FROM tasks t WHERE t.id = ANY ($1) AND %s$q$, conditions) INTO running, held USING candidates;
END $_$;

-- Name: FUNCTION left_over(candidates bigint[], conditions text, OUT running bigint, OUT held bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.left_over(candidates bigint[], conditions text, OUT running bigint, OUT held bigint) IS 'Private: how many of the tasks that a batch left alone still fit, and run or not. Locks nothing.';

-- Name: move_tasks(text, jsonb, integer, bigint, integer, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.move_tasks(action text, filter jsonb, most integer, after bigint, new_priority integer, new_time timestamp with time zone) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
DECLARE
  batch  record;
  taken  record;
  answer changes;
BEGIN
  SELECT * INTO batch FROM begin_changes(action, filter, after, most);
  SELECT * INTO taken FROM take_tickets(batch.ids, batch.conditions);
  WITH moved AS (
    UPDATE tasks t
    SET priority = coalesce(new_priority, t.priority), run_at = coalesce(new_time, t.run_at),
        status = CASE WHEN new_time IS NULL THEN t.status ELSE status_moved(t.status, new_time) END
    WHERE t.id = ANY (taken.ids) RETURNING t.queue, t.priority, t.kind, t.run_at, t.id, t.ctid)
  INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
  SELECT m.queue, CASE WHEN m.id = ANY (taken.suspects) THEN -1 ELSE m.priority / 25 END, kind_hash(m.kind), m.run_at, m.id, m.ctid FROM moved m;
  PERFORM wake(q.queue, q.due) FROM (SELECT t.queue, min(t.run_at) AS due FROM tasks t WHERE t.id = ANY (taken.ids) GROUP BY t.queue) q;
  answer.done := cardinality(taken.ids);
  answer.asked := 0;
  SELECT l.running, l.held INTO answer.running, answer.held FROM left_over(without(batch.ids, taken.ids), batch.conditions) l;
  answer.refused := 0;
  answer.next := batch.next;
  RETURN answer;
END $$;

-- Name: FUNCTION move_tasks(action text, filter jsonb, most integer, after bigint, new_priority integer, new_time timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.move_tasks(action text, filter jsonb, most integer, after bigint, new_priority integer, new_time timestamp with time zone) IS 'Private: gives a batch of the tasks that fit another priority or time, null leaving it, and new tickets; wakes their queues. Locks their tickets and rows (SKIP LOCKED). Errors: 22023.';

-- Name: reprioritise_tasks(jsonb, integer, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.reprioritise_tasks(filter jsonb, priority integer, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_priority_check(priority);
  RETURN move_tasks('reprioritise', filter, most, after, priority, NULL);
END $$;

-- Name: FUNCTION reprioritise_tasks(filter jsonb, priority integer, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.reprioritise_tasks(filter jsonb, priority integer, most integer, after bigint) IS 'Gives a batch of the tasks that fit and wait for their run another priority. Anyone who may write tasks may call it. Locks their tickets and rows (SKIP LOCKED). Errors: 22023.';

-- Name: reschedule_tasks(jsonb, timestamp with time zone, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.reschedule_tasks(filter jsonb, run_at timestamp with time zone, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_time_check(run_at);
  RETURN move_tasks('reschedule', filter, most, after, NULL, run_at);
END $$;

-- Name: FUNCTION reschedule_tasks(filter jsonb, run_at timestamp with time zone, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.reschedule_tasks(filter jsonb, run_at timestamp with time zone, most integer, after bigint) IS 'Lets a batch of the tasks that fit and wait for their run do so at this time instead. Anyone who may write tasks may call it. Locks their tickets and rows (SKIP LOCKED). Errors: 22023.';

-- Name: retry_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.retry_tasks(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $_$
#variable_conflict use_variable
DECLARE
  batch   record;
  task    tasks;
  refused bigint[] := '{}';
  others  bigint[] := '{}';
  taken   bigint[];
  waits   integer := 0;
  answer  changes;
BEGIN
  SELECT * INTO batch FROM begin_changes('retry', filter, after, most);
  -- Key before task, and keys in one order, so that no two batches wait for each other.
  FOR task IN
    SELECT t.* FROM tasks t WHERE t.id = ANY (batch.ids) AND t.unique_key IS NOT NULL AND t.status IN ('failed', 'cancelled') ORDER BY t.kind, t.unique_key, t.id
  LOOP
    BEGIN
      -- Two of a batch may share a key: the first of them is to be live when the second asks, so each is revived here and now.
      PERFORM revive(task.id);
      others := others || task.id;
    EXCEPTION WHEN SQLSTATE 'MR003' THEN
      -- Unless somebody else revived it meanwhile.
      refused := refused || ARRAY(SELECT t.id FROM tasks t WHERE t.id = task.id AND t.status = task.status);
    WHEN lock_not_available THEN
      -- Who waits here keeps others from what the batch revived already: after a second in all the rest counts as held.
      waits := waits + 1;
      EXIT WHEN waits = 4;
    WHEN SQLSTATE 'MR002' THEN
      NULL;
    END;
  END LOOP;
  EXECUTE format($q$
    WITH mine AS MATERIALIZED (
      SELECT t.id FROM tasks t WHERE t.id = ANY ($1) AND t.unique_key IS NULL AND t.status IN ('failed', 'cancelled') AND %s ORDER BY t.id FOR UPDATE SKIP LOCKED)
    SELECT coalesce(array_agg(m.id), '{}') FROM mine m $q$, batch.conditions) INTO taken USING batch.ids;
  DELETE FROM cancel_requests c WHERE c.task = ANY (taken);
  DELETE FROM expiries e USING tasks t WHERE t.id = ANY (taken) AND e.expires_at = t.expires_at AND e.task = t.id;
  WITH revived AS (
    UPDATE tasks t SET status = 'pending', attempt = 0, run_at = clock(), started_at = NULL, finished_at = NULL, dead_at = NULL, expires_at = NULL, reason = NULL
    WHERE t.id = ANY (taken) RETURNING t.queue, t.priority, t.kind, t.run_at, t.id, t.ctid)
  INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
  SELECT r.queue, r.priority / 25, kind_hash(r.kind), r.run_at, r.id, r.ctid FROM revived r;
  PERFORM wake(q.queue) FROM (SELECT DISTINCT t.queue FROM tasks t WHERE t.id = ANY (taken)) q;
  answer.done := cardinality(taken) + cardinality(others);
  answer.asked := 0;
  answer.running := 0;
  SELECT l.held INTO answer.held FROM left_over(without(batch.ids, taken || others || refused), batch.conditions) l;
  answer.refused := cardinality(refused);
  answer.next := batch.next;
  RETURN answer;
END $_$;

-- Name: FUNCTION retry_tasks(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.retry_tasks(filter jsonb, most integer, after bigint) IS 'Revives a batch of the failed tasks that fit (cancelled ones if the filter says that status), each as retry() does: a new budget of attempts, the error history kept. Anyone who may write
tasks may call it. Locks unique keys, those that have one, then rows (SKIP LOCKED, but for those with a key: it waits for four of them, 250 ms each, and leaves
the others with a key as held). Errors: 22023, 55P03 and 40P01: repeat.';

-- Name: run_tasks_now(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.run_tasks_now(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT move_tasks('run_now', filter, most, after, NULL, clock())
$$;

-- Name: FUNCTION run_tasks_now(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.run_tasks_now(filter jsonb, most integer, after bigint) IS 'reschedule_tasks() to now.';

-- Name: without(bigint[], bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.without(ids bigint[], these bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT ARRAY(SELECT unnest(ids) EXCEPT SELECT unnest(these) ORDER BY 1)
$$;

-- Name: FUNCTION without(ids bigint[], these bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.without(ids bigint[], these bigint[]) IS 'Private: ids without these. Locks nothing.';

