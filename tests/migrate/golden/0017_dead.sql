-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: dead_target(millrace.tasks); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.dead_target(task millrace.tasks) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- A kind's is for its first death only: otherwise it would lead back to where it leads.
  SELECT coalesce((SELECT d.target FROM dead_queues d WHERE d.kind = task.kind AND d.target <> task.queue AND task.forwarded_from IS NULL),
                  (SELECT d.target FROM dead_queues d WHERE d.queue = task.queue))
$$;

-- Name: FUNCTION dead_target(task millrace.tasks); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.dead_target(task millrace.tasks) IS 'Private: the queue that a dead letter is forwarded to, its kind''s before its queue''s; null: none. Locks nothing.';

-- Name: forward_dead(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.forward_dead(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  targets text[];
BEGIN
  WITH due AS MATERIALIZED (
    SELECT t.*, dead_target(t) AS target FROM tasks t
    WHERE t.id = ANY (ids) AND t.status = 'failed'
    ORDER BY t.id),
  made AS (
    INSERT INTO tasks (kind, queue, priority, max_attempts, timeout, backoff, args, correlation, tenant, tags, metadata, traceparent, forwarded_from)
    SELECT u.kind, u.target, u.priority, u.max_attempts, u.timeout, u.backoff, u.args, u.correlation, u.tenant,
           CASE WHEN u.tags IS NOT NULL THEN u.tags || '{}'::text[] END, u.metadata, u.traceparent, u.id FROM due u WHERE u.target IS NOT NULL
    RETURNING id, ctid, kind, queue, priority, run_at, forwarded_from),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
    SELECT m.queue, m.priority / 25, kind_hash(m.kind), m.run_at, m.id, m.ctid FROM made m),
  linked AS (
    UPDATE tasks t SET forwarded_to = m.id FROM made m WHERE t.id = ANY (ids) AND t.id = m.forwarded_from)
  SELECT array_agg(DISTINCT m.queue) INTO targets FROM made m;
  PERFORM wake(q.target) FROM unnest(targets) AS q (target);
END $$;

-- Name: FUNCTION forward_dead(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.forward_dead(ids bigint[]) IS 'Private: forwards these tasks, each of which the caller has just made a dead letter, if their kind or queue has a dead-letter queue. The caller has locked their rows. Locks nothing else but its new rows.';

-- Name: purge_dead(timestamp with time zone, jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.purge_dead(before timestamp with time zone, filter jsonb DEFAULT '{}'::jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF before IS NULL OR NOT isfinite(before) THEN
    PERFORM refuse('before', format('is %s; allowed is a time', coalesce(before::text, 'null')));
  END IF;
  IF jsonb_typeof(filter) = 'object' AND filter ?| ARRAY['status', 'dead_until'] THEN
    PERFORM refuse('filter', 'has status or dead_until; allowed is neither, for they follow from "before"');
  END IF;
  RETURN delete_tasks(filter || jsonb_build_object('status', 'failed', 'dead_until', before), most, after);
END $$;

-- Name: FUNCTION purge_dead(before timestamp with time zone, filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.purge_dead(before timestamp with time zone, filter jsonb, most integer, after bigint) IS 'Deletes a batch of the dead letters that died before a time, and fit the filter, which has no status and no dead_until of its own; otherwise as delete_tasks(). Errors: 22023, 55P03 and 40P01: repeat.';

-- Name: set_dead_queue(text, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.set_dead_queue(queue text, target text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
#variable_conflict use_variable
DECLARE
  hop  text := target;
  hops integer := 0;
BEGIN
  IF (octet_length(queue) BETWEEN 1 AND 128) IS NOT TRUE THEN
    PERFORM refuse('queue', format('has %s bytes; allowed are 1 to 128', coalesce(octet_length(queue)::text, 'no')));
  END IF;
  IF target IS NULL THEN
    DELETE FROM dead_queues d WHERE d.queue = queue;
    RETURN;
  END IF;
  IF octet_length(target) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('target', format('has %s bytes; allowed are 1 to 128', octet_length(target)));
  END IF;
  -- Two at once could close a circle that neither sees. With a snapshot that is older than its lock, so could one after the other.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction', MESSAGE = 'set_dead_queue must run in READ COMMITTED';
  END IF;
  LOCK TABLE dead_queues IN SHARE ROW EXCLUSIVE MODE;
  WHILE hop IS NOT NULL LOOP
    IF hop = queue THEN
      PERFORM refuse('target', format('is %s, whose dead letters would come back to %s', quote_literal(target), quote_literal(queue)));
    END IF;
    -- A circle that was written past this function has no end, and this holds a lock.
    hops := hops + 1;
    IF hops > 1000 THEN
      PERFORM refuse('target', format('is %s, from where dead letters go through more than 1000 queues, or in a circle', quote_literal(target)));
    END IF;
    hop := (SELECT d.target FROM dead_queues d WHERE d.queue = hop);
  END LOOP;
  INSERT INTO dead_queues AS d (queue, target) VALUES (queue, target) ON CONFLICT ON CONSTRAINT dead_queues_queue_key DO UPDATE SET target = excluded.target;
END $$;

-- Name: FUNCTION set_dead_queue(queue text, target text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.set_dead_queue(queue text, target text) IS 'Forwards what becomes a dead letter in a queue from now on: a new task of the same kind, args and options in the target queue, from where it is not forwarded again unless that queue
has a target of its own. null: no more. Anyone who may write dead_queues may call it. Locks that table against others who do this. Errors: 22023 (a circle), 55P03, 25001 (above READ
COMMITTED, where circles cannot be seen).';

-- Name: set_dead_queue_of_kind(text, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.set_dead_queue_of_kind(kind text, target text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
#variable_conflict use_variable
BEGIN
  IF (octet_length(kind) BETWEEN 1 AND 128) IS NOT TRUE THEN
    PERFORM refuse('kind', format('has %s bytes; allowed are 1 to 128', coalesce(octet_length(kind)::text, 'no')));
  END IF;
  IF target IS NULL THEN
    DELETE FROM dead_queues d WHERE d.kind = kind;
    RETURN;
  END IF;
  IF octet_length(target) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('target', format('has %s bytes; allowed are 1 to 128', octet_length(target)));
  END IF;
  INSERT INTO dead_queues AS d (kind, target) VALUES (kind, target) ON CONFLICT ON CONSTRAINT dead_queues_kind_key DO UPDATE SET target = excluded.target;
END $$;

-- Name: FUNCTION set_dead_queue_of_kind(kind text, target text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.set_dead_queue_of_kind(kind text, target text) IS 'Forwards what becomes a dead letter of a kind from now on, whichever queue it is in, to the target queue, as set_dead_queue() does, which it goes before. A task that was forwarded already
goes by its queue alone. null: no more. Anyone who may write dead_queues may call it. Locks that row. Errors: 22023, 55P03.';

