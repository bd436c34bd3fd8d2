-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: enqueued; Type: TYPE; Schema: millrace; Owner: -
CREATE TYPE millrace.enqueued AS (
	id bigint,
	status millrace.status,
	created boolean,
	replaced boolean
);

-- Name: TYPE enqueued; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TYPE millrace.enqueued IS 'The answer of enqueue_once(): a task, its status (null if its row is gone), whether this call made it, or replaced what it was to do.';

-- Name: enqueue_once(text, jsonb, text, interval, text, text[], interval, interval, interval, interval, boolean, text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.enqueue_once(kind text, args jsonb DEFAULT '{}'::jsonb, key text DEFAULT NULL::text, key_for interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, unique_by text[] DEFAULT NULL::text[], unique_for interval DEFAULT NULL::interval, debounce interval DEFAULT NULL::interval, debounce_max interval DEFAULT NULL::interval, throttle interval DEFAULT NULL::interval, replace boolean DEFAULT false, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, wake boolean DEFAULT true, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_in interval DEFAULT NULL::interval, correlation text DEFAULT NULL::text, tenant text DEFAULT NULL::text, tags text[] DEFAULT NULL::text[], metadata jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text) RETURNS millrace.enqueued
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_variable
DECLARE
  made     bigint;
  holder   bigint;
  scope    text;
  identity text;
  due      timestamptz;
  answer   enqueued;
BEGIN
  PERFORM options_check(kind, queue, priority, run_at, delay, max_attempts, backoff, timeout);
  PERFORM about_check(expires_at, expires_in, correlation, tenant, tags, metadata, traceparent);
  PERFORM keys_check(key, key_for, unique_key, unique_by, unique_for, debounce, debounce_max, throttle, replace, run_at, delay);
  PERFORM args_check(args);
  made := nextval('tasks_id_seq');
  due := coalesce(run_at, clock() + coalesce(delay, debounce), clock());
  expires_at := coalesce(expires_at, clock() + expires_in);
  scope := CASE WHEN debounce IS NOT NULL THEN 'debounce' WHEN throttle IS NOT NULL THEN 'throttle'
                WHEN num_nonnulls(unique_key, unique_by) > 0 THEN 'unique' END;
  answer := (made, NULL, true, false);

  -- The idempotency key first, always: so no two calls can wait for each other.
  IF key IS NOT NULL THEN
    SELECT k.holder, k.status INTO answer.id, answer.status
    FROM take_key(kind, 'key', key, made, clock() + coalesce(key_for, interval '24 hours'), lock => false) k;
    answer.created := answer.id = made;
  END IF;
  IF answer.created AND scope IS NOT NULL THEN
    identity := identity_of(unique_key, unique_by, args);
    SELECT k.holder, k.status INTO holder, answer.status
    FROM take_key(kind, scope, identity, made, coalesce(clock() + coalesce(unique_for, throttle), '-infinity'), lock => replace OR debounce IS NOT NULL) k;
    -- It may start, or end, while this waits for its ticket: then look again. The key's row is locked, so it leads nowhere else meanwhile.
    FOR try IN 1..5 LOOP
      EXIT WHEN holder = made OR NOT (replace OR debounce IS NOT NULL);
      answer.replaced := replace_task(
        holder, args, queue, priority, due, CASE WHEN debounce IS NOT NULL THEN coalesce(debounce_max, debounce * 10) END, max_attempts, backoff,
        timeout, wake, expires_at, correlation, tenant, tags, metadata, traceparent);
      EXIT WHEN answer.replaced;
      SELECT h.task, h.status INTO holder, answer.status FROM holder_of(kind, scope, identity) h;
      -- It cannot be replaced: it has started, or is gone (null) and its key holds for a time.
      EXIT WHEN holder IS NOT NULL AND (answer.status IS NULL OR answer.status IN ('running', 'retrying', 'waiting', 'completed', 'failed', 'cancelled'));
      IF holder IS NULL THEN
        -- What is new needs a run of its own.
        UPDATE task_keys k SET task = made, until = coalesce(clock() + unique_for, '-infinity')
        WHERE k.kind = enqueue_once.kind AND k.scope = scope AND k.key = identity;
        holder := made;
      ELSIF try = 5 THEN
        RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('task %s changes too fast to be replaced; try again', holder);
      END IF;
    END LOOP;
    IF holder <> made THEN
      answer.id := holder;
      answer.created := false;
      IF key IS NOT NULL THEN
        UPDATE task_keys k SET task = holder WHERE k.kind = enqueue_once.kind AND k.scope = 'key' AND k.key = enqueue_once.key;
      END IF;
    END IF;
  END IF;
  IF answer.created THEN
    answer.status := add_task(made, kind, args, queue, priority, due, max_attempts, backoff, timeout, wake, expires_at, correlation, tenant, tags,
                              metadata, traceparent, CASE WHEN scope = 'unique' THEN identity END);
  ELSIF answer.replaced THEN
    SELECT t.status INTO answer.status FROM tasks t WHERE t.id = answer.id;
  END IF;
  RETURN answer;
END $$;

-- Name: FUNCTION enqueue_once(kind text, args jsonb, key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.enqueue_once(kind text, args jsonb, key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Adds a task in the caller''s transaction unless its key leads to one already; the answer tells which task, and whether this call made it. key: idempotency key, for key_for
(24 hours), also after the task ended. unique_key, or unique_by (fields of args; empty: all), says what is the same: one of these while it is live, and for unique_for if
given; with replace a task not yet started gets these args and options. throttle: the first within this time. debounce: while it has not started, the newest replaces it and it
runs so long from now, at most debounce_max (ten times as long) after the first. Without unique_key and unique_by these two concern the kind as a whole.
The others as in enqueue(). Who calls it needs what enqueue() needs with USAGE on tasks_id_seq, SELECT on tasks, and SELECT, INSERT and UPDATE on task_keys; for replace, debounce and
unique tasks that expire also UPDATE on tasks, SELECT and DELETE on tickets, and SELECT on waits. Waits for another transaction that enqueues the same; locks key, ticket, task. Errors: 22023, 40001, 40P01.';

-- Name: expire_task(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.expire_task(task bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  one tasks;
BEGIN
  FOR try IN 1..5 LOOP
    SELECT * INTO one FROM tasks t
    WHERE t.id = expire_task.task AND t.status IN ('pending', 'scheduled') AND t.attempt = 0 AND t.expires_at <= clock();
    EXIT WHEN NOT FOUND;
    -- No ticket: somebody took it, or put another in its place since this looked.
    CONTINUE WHEN NOT drop_ticket(one) AND try < 5;
    PERFORM expire_claimed(ARRAY[one.id]);
    EXIT;
  END LOOP;
END $$;

-- Name: FUNCTION expire_task(task bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.expire_task(task bigint) IS 'Private: cancels a task whose time to start is over, unless a claim is first. Waits for that claim. Locks its ticket, then its row.';

-- Name: holder_of(text, text, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.holder_of(kind text, scope text, key text, OUT task bigint, OUT status millrace.status) RETURNS record
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  -- Both by one snapshot: an answer that names a live task must not show its end, and the other way round.
  SELECT k.task, t.status FROM task_keys k LEFT JOIN tasks t ON t.id = k.task
  WHERE k.kind = holder_of.kind AND k.scope = holder_of.scope AND k.key = holder_of.key AND key_holds(k)
$$;

-- Name: FUNCTION holder_of(kind text, scope text, key text, OUT task bigint, OUT status millrace.status); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.holder_of(kind text, scope text, key text, OUT task bigint, OUT status millrace.status) IS 'Private: the task that a key leads to, if it holds, and its status (null if its row is gone). Locks nothing.';

-- Name: identity_of(text, text[], jsonb); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.identity_of(unique_key text, unique_by text[], args jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- jsonb prints its fields in one order. A field that is missing is left out, so that it differs from null.
  SELECT CASE
    WHEN unique_key IS NOT NULL THEN 'text ' || unique_key
    WHEN unique_by IS NULL THEN 'kind'
    WHEN cardinality(unique_by) = 0 THEN 'args ' || encode(sha256(convert_to(args::text, 'UTF8')), 'hex')
    ELSE 'by ' || encode(sha256(convert_to(to_jsonb(ARRAY(SELECT DISTINCT f FROM unnest(unique_by) f ORDER BY f))::text || (
           SELECT coalesce(jsonb_object_agg(f, args -> f), '{}')::text FROM unnest(unique_by) f WHERE args ? f), 'UTF8')), 'hex') END
$$;

-- Name: FUNCTION identity_of(unique_key text, unique_by text[], args jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.identity_of(unique_key text, unique_by text[], args jsonb) IS 'Private: the key that tells the same from another: the text itself, or a hash of the chosen args. Locks nothing.';

-- Name: task_keys; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.task_keys (
    kind text NOT NULL,
    scope text NOT NULL,
    key text NOT NULL,
    task bigint NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT task_keys_scope_check CHECK ((scope = ANY (ARRAY['key'::text, 'unique'::text, 'throttle'::text, 'debounce'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

-- Name: TABLE task_keys; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.task_keys IS 'Private. Which task a key leads to. One that no longer holds (key_holds) is taken by the next enqueue, or tidied away.';

-- Name: COLUMN task_keys.scope; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.task_keys.scope IS 'key: idempotency key; unique, throttle, debounce: of an identity given as text, or by chosen args.';

-- Name: COLUMN task_keys.until; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.task_keys.until IS 'Holds until then, whatever becomes of its task; -infinity: while its task is live.';

-- Name: key_holds(millrace.task_keys); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.key_holds(held millrace.task_keys) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  SELECT CASE held.scope
    WHEN 'debounce' THEN EXISTS (
      SELECT FROM tasks t WHERE t.id = held.task AND t.status IN ('pending', 'scheduled') AND t.attempt = 0 AND (t.expires_at <= clock()) IS NOT TRUE)
    WHEN 'unique' THEN held.until > clock() OR EXISTS (
      SELECT FROM tasks t WHERE t.id = held.task AND t.status NOT IN ('completed', 'failed', 'cancelled')
        AND (t.expires_at <= clock() AND t.attempt = 0 AND t.status <> 'retrying') IS NOT TRUE)
    ELSE held.until > clock() END
$$;

-- Name: FUNCTION key_holds(held millrace.task_keys); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.key_holds(held millrace.task_keys) IS 'Private: whether a key leads to a task that counts. After waiting for the key''s row, ask in a statement of its own: only that sees the task as it is then. Locks nothing.';

-- Name: keys_check(text, interval, text, text[], interval, interval, interval, interval, boolean, timestamp with time zone, interval); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.keys_check(key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, run_at timestamp with time zone, delay interval) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF octet_length(key) NOT BETWEEN 1 AND 256 THEN
    PERFORM refuse('key', format('has %s bytes; allowed are 1 to 256', octet_length(key)));
  END IF;
  IF key_for IS NOT NULL AND key IS NULL THEN
    PERFORM refuse('key_for', 'needs a key');
  END IF;
  IF octet_length(unique_key) NOT BETWEEN 1 AND 256 THEN
    PERFORM refuse('unique_key', format('has %s bytes; allowed are 1 to 256', octet_length(unique_key)));
  END IF;
  IF unique_by IS NOT NULL THEN
    IF unique_key IS NOT NULL THEN
      PERFORM refuse('unique_by', 'cannot be given together with unique_key');
    END IF;
    IF coalesce(array_ndims(unique_by), 1) <> 1 OR cardinality(unique_by) > 16 THEN
      PERFORM refuse('unique_by', format('has %s elements; allowed are at most 16, in one dimension', cardinality(unique_by)));
    END IF;
    IF EXISTS (SELECT FROM unnest(unique_by) AS f (name) WHERE (octet_length(f.name) BETWEEN 1 AND 128) IS NOT TRUE) THEN
      PERFORM refuse('unique_by', 'holds a field that is null, or has not 1 to 128 bytes');
    END IF;
  END IF;
  PERFORM interval_check(v.name, v.given, '1 millisecond', v.days * interval '1 day', format('1 millisecond to %s days', v.days))
  FROM (VALUES ('key_for', key_for, 3650), ('unique_for', unique_for, 3650), ('debounce', debounce, 30), ('debounce_max', debounce_max, 365),
               ('throttle', throttle, 3650)) AS v (name, given, days)
  WHERE v.given IS NOT NULL;
  IF num_nonnulls(unique_for, debounce, throttle) > 1 THEN
    PERFORM refuse(CASE WHEN throttle IS NULL THEN 'debounce' ELSE 'throttle' END, 'cannot be given together with another of unique_for, debounce and throttle');
  END IF;
  IF unique_for IS NOT NULL AND num_nulls(unique_key, unique_by) = 2 THEN
    PERFORM refuse('unique_for', 'needs unique_key or unique_by');
  END IF;
  IF debounce_max IS NOT NULL AND (debounce_max >= debounce) IS NOT TRUE THEN
    PERFORM refuse('debounce_max', 'needs debounce, and cannot be shorter than it');
  END IF;
  IF debounce IS NOT NULL AND num_nonnulls(run_at, delay) > 0 THEN
    PERFORM refuse('debounce', 'cannot be given together with run_at or delay: it says when the task runs');
  END IF;
  IF replace IS NULL OR replace AND (num_nulls(unique_key, unique_by) = 2 OR num_nonnulls(debounce, throttle) > 0) THEN
    PERFORM refuse('replace', 'needs unique_key or unique_by, and neither debounce nor throttle');
  END IF;
END $$;

-- Name: FUNCTION keys_check(key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, run_at timestamp with time zone, delay interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.keys_check(key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, run_at timestamp with time zone, delay interval) IS 'Private. Refuses (22023) keys of an enqueue that are out of range, or cannot be given together. Locks nothing.';

-- Name: replace_task(bigint, jsonb, text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.replace_task(task bigint, args jsonb, queue text, priority integer, due timestamp with time zone, longest interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  old   tasks;
  moved timestamptz;
  hint  tid;
BEGIN
  SELECT d.* INTO queue, priority, max_attempts, backoff, timeout
  FROM tasks t CROSS JOIN LATERAL with_defaults(t.kind, replace_task.queue, replace_task.priority, replace_task.max_attempts, replace_task.backoff, replace_task.timeout) d
  WHERE t.id = replace_task.task;
  FOR try IN 1..5 LOOP
    SELECT * INTO old FROM tasks t WHERE t.id = replace_task.task;
    IF NOT FOUND OR old.status NOT IN ('pending', 'scheduled') OR old.attempt > 0 THEN
      RETURN false;
    END IF;
    -- Ticket before task: this waits for a claim that has it in its hands. The task has started then. No ticket: somebody took
    -- it, or put another in its place since this looked. Only doctor() knows a task that has none.
    CONTINUE WHEN NOT drop_ticket(old) AND try < 5;
    moved := CASE WHEN longest IS NULL THEN due ELSE least(due, greatest(old.created_at + longest, old.run_at)) END;
    UPDATE tasks t
    SET args = replace_task.args, queue = replace_task.queue, priority = replace_task.priority, run_at = moved,
        status = CASE WHEN moved > clock() THEN 'scheduled' ELSE 'pending' END::status,
        max_attempts = replace_task.max_attempts, backoff = replace_task.backoff, timeout = replace_task.timeout,
        expires_at = replace_task.expires_at, correlation = replace_task.correlation, tenant = replace_task.tenant,
        tags = CASE WHEN replace_task.tags IS NOT NULL THEN replace_task.tags || '{}'::text[] END, metadata = replace_task.metadata, traceparent = replace_task.traceparent
    WHERE t.id = old.id AND t.status = old.status AND t.attempt = 0 AND t.run_at = old.run_at
    RETURNING t.ctid INTO hint;
    CONTINUE WHEN NOT FOUND;
    INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid) VALUES (queue, priority / 25, kind_hash(old.kind), moved, old.id, hint);
    IF expires_at IS NOT NULL THEN
      INSERT INTO expiries (expires_at, task) VALUES (expires_at, old.id) ON CONFLICT DO NOTHING;
    END IF;
    IF wake THEN
      PERFORM wake(queue, moved);
    END IF;
    RETURN true;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('task %s changes too fast to be replaced; try again', task);
END $$;

-- Name: FUNCTION replace_task(task bigint, args jsonb, queue text, priority integer, due timestamp with time zone, longest interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.replace_task(task bigint, args jsonb, queue text, priority integer, due timestamp with time zone, longest interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Private: gives a task that has not started new args and options; false if it has. Not later than longest after it was made, or than it was to run
(null: at due). The caller has locked its key. Waits for a claim that takes it. Locks its ticket, then its row. Errors: 55P03.';

-- Name: retake_key(millrace.tasks); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.retake_key(task millrace.tasks) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  holder bigint;
BEGIN
  SELECT k.holder INTO holder FROM take_key(task.kind, 'unique', task.unique_key, task.id, '-infinity', lock => true) k;
  IF holder <> task.id AND EXISTS (SELECT FROM tasks t WHERE t.id = holder AND t.status NOT IN ('completed', 'failed', 'cancelled')) THEN
    RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('task %s cannot be retried: task %s has its unique key and is live', task.id, holder);
  END IF;
  -- Written even if nothing changes, so that an enqueue with an older snapshot is refused.
  UPDATE task_keys k SET task = retake_key.task.id WHERE k.kind = retake_key.task.kind AND k.scope = 'unique' AND k.key = retake_key.task.unique_key;
END $$;

-- Name: FUNCTION retake_key(task millrace.tasks); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.retake_key(task millrace.tasks) IS 'Private: gives an ended task its unique key back, before it is made live again. Locks the key''s row. Errors: MR003 another task has it and is live.';

-- Name: take_key(text, text, text, bigint, timestamp with time zone, boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.take_key(kind text, scope text, key text, task bigint, until timestamp with time zone, lock boolean, OUT holder bigint, OUT status millrace.status) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  left_over bigint;
BEGIN
  LOOP
    -- 1. The answer that needs no lock.
    IF NOT lock THEN
      SELECT h.task, h.status INTO holder, status FROM holder_of(kind, scope, key) h;
      EXIT WHEN holder IS NOT NULL;
    END IF;
    -- 2. The primary key decides; a second one waits here for the first one's commit or rollback.
    INSERT INTO task_keys (kind, scope, key, task, until) VALUES (kind, scope, key, task, until) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      holder := task;
      EXIT;
    END IF;
    -- 3. Lock it, then judge it in a statement of its own.
    SELECT k.task INTO left_over FROM task_keys k WHERE k.kind = take_key.kind AND k.scope = take_key.scope AND k.key = take_key.key FOR UPDATE;
    CONTINUE WHEN NOT FOUND;  -- tidied away meanwhile
    SELECT h.task, h.status INTO holder, status FROM holder_of(kind, scope, key) h;
    EXIT WHEN holder IS NOT NULL;
    IF scope = 'unique' THEN
      -- Live all the same, if it is one whose time to start is over: that has to be on record first, and a claim may win.
      PERFORM expire_task(left_over);
      SELECT h.task, h.status INTO holder, status FROM holder_of(kind, scope, key) h;
      EXIT WHEN holder IS NOT NULL;
    END IF;
    UPDATE task_keys k SET task = take_key.task, until = take_key.until
    WHERE k.kind = take_key.kind AND k.scope = take_key.scope AND k.key = take_key.key;
    holder := task;
    EXIT;
  END LOOP;
END $$;

-- Name: FUNCTION take_key(kind text, scope text, key text, task bigint, until timestamp with time zone, lock boolean, OUT holder bigint, OUT status millrace.status); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.take_key(kind text, scope text, key text, task bigint, until timestamp with time zone, lock boolean, OUT holder bigint, OUT status millrace.status) IS 'Private: makes a key lead to this task, unless it holds already; returns the task that it leads to, and its status if that is another. lock: the row is
locked in any case. Waits for a transaction that has inserted or locked it. Locks the key''s row if it writes it. Errors: 40001 above READ COMMITTED.';

-- Name: tidy_keys(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tidy_keys(from_block bigint DEFAULT 0, blocks integer DEFAULT 128) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
  pages CONSTANT bigint := pg_relation_size('task_keys') / current_setting('block_size')::integer;
  locked tid[];
BEGIN
  IF from_block >= pages THEN
    RETURN 0;
  END IF;
  -- Lock those that seem left over, then look again: one of them may have been taken for a task that this statement cannot see.
  SELECT array_agg(o.tid) INTO locked FROM (
    SELECT k.ctid AS tid FROM task_keys k
    WHERE k.ctid >= format('(%s,0)', from_block)::tid AND k.ctid < format('(%s,0)', least(from_block + blocks, 4294967295))::tid
      AND k.until <= clock() AND NOT key_holds(k) FOR UPDATE SKIP LOCKED) o;
  IF locked IS NOT NULL THEN
    DELETE FROM task_keys k WHERE k.ctid = ANY (locked) AND k.until <= clock() AND NOT key_holds(k);
  END IF;
  RETURN CASE WHEN from_block + blocks < pages THEN from_block + blocks ELSE 0 END;
END $$;

-- Name: FUNCTION tidy_keys(from_block bigint, blocks integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tidy_keys(from_block bigint, blocks integer) IS 'Private, for workers, in turn: removes keys that no longer hold from so many pages of task_keys, from this one on, and returns where to go on, 0 to begin anew.
Locks the rows it deletes (SKIP LOCKED).';

-- Name: task_keys task_keys_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.task_keys
    ADD CONSTRAINT task_keys_pkey PRIMARY KEY (kind, scope, key);

