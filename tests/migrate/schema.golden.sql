-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: millrace; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA millrace;

--
-- Name: changes; Type: TYPE; Schema: millrace; Owner: -
--

CREATE TYPE millrace.changes AS (
	done bigint,
	asked bigint,
	running bigint,
	held bigint,
	refused bigint,
	next bigint
);

--
-- Name: TYPE changes; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TYPE millrace.changes IS 'What a batch did. done: tasks changed; asked: running ones whose worker was asked to stop; running: left alone because they run; held: left alone because
somebody, mostly a claim, had them in hand (they still fit: repeat); refused: not revived, because another live task has their unique key; next: where to go on (after), null at the end.';

--
-- Name: status; Type: TYPE; Schema: millrace; Owner: -
--

CREATE TYPE millrace.status AS ENUM (
    'waiting',
    'pending',
    'scheduled',
    'retrying',
    'running',
    'completed',
    'failed',
    'cancelled'
);

--
-- Name: enqueued; Type: TYPE; Schema: millrace; Owner: -
--

CREATE TYPE millrace.enqueued AS (
	id bigint,
	status millrace.status,
	created boolean,
	replaced boolean
);

--
-- Name: TYPE enqueued; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TYPE millrace.enqueued IS 'The answer of enqueue_once(): a task, its status (null if its row is gone), whether this call made it, or replaced what it was to do.';

--
-- Name: lock_attempt; Type: TYPE; Schema: millrace; Owner: -
--

CREATE TYPE millrace.lock_attempt AS (
	acquired boolean,
	token bigint,
	owner text,
	expires_at timestamp with time zone
);

--
-- Name: TYPE lock_attempt; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TYPE millrace.lock_attempt IS 'What acquire_lock() answers. Not acquired: token is null, owner is who has it, expires_at when it expires; all null if that cannot be seen yet.';

--
-- Name: about_check(timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.about_check(expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  field record;
BEGIN
  IF expires_in IS NOT NULL THEN
    IF expires_at IS NOT NULL THEN
      PERFORM refuse('expires_in', 'cannot be given together with expires_at');
    END IF;
    IF expires_in NOT BETWEEN interval '1 millisecond' AND interval '100 years' THEN
      PERFORM refuse('expires_in', format('is %s; allowed is 1 millisecond to 100 years', expires_in));
    END IF;
  ELSIF expires_at IS NOT NULL AND NOT (expires_at >= timestamptz '1970-01-01 00:00+00' AND expires_at < timestamptz '10000-01-01 00:00+00') THEN
    PERFORM refuse('expires_at', format('is %s; allowed are the years 1970 to 9999', expires_at));
  END IF;
  IF octet_length(correlation) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('correlation', format('has %s bytes; allowed are 1 to 128', octet_length(correlation)));
  END IF;
  IF octet_length(tenant) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('tenant', format('has %s bytes; allowed are 1 to 128', octet_length(tenant)));
  END IF;
  IF tags IS NOT NULL AND (array_ndims(tags) IS DISTINCT FROM 1 OR cardinality(tags) > 16) THEN
    PERFORM refuse('tags', format('has %s elements in %s dimensions; allowed are 1 to 16 in one', cardinality(tags), coalesce(array_ndims(tags), 0)));
  END IF;
  IF EXISTS (SELECT FROM unnest(tags) AS t (tag) WHERE (octet_length(t.tag) BETWEEN 1 AND 64) IS NOT TRUE) THEN
    PERFORM refuse('tags', 'holds one that is null, or has not 1 to 64 bytes');
  END IF;
  IF metadata IS NOT NULL THEN
    IF jsonb_typeof(metadata) <> 'object' THEN
      PERFORM refuse('metadata', format('must be a JSON object of texts, not %s', jsonb_typeof(metadata)));
    END IF;
    IF octet_length(metadata::text) > 8192 THEN
      PERFORM refuse('metadata', format('has %s bytes; allowed are 8192', octet_length(metadata::text)));
    END IF;
    FOR field IN SELECT * FROM jsonb_each(metadata) LOOP
      IF jsonb_typeof(field.value) <> 'string' OR octet_length(field.key) NOT BETWEEN 1 AND 64 THEN
        PERFORM refuse('metadata', format('holds %s, which is no text with a name of 1 to 64 bytes', quote_literal(left(field.key, 64))));
      END IF;
    END LOOP;
  END IF;
  -- The version ff and ids of zeros are what the standard calls invalid.
  IF traceparent !~ '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' THEN
    PERFORM refuse('traceparent', format('is %s, which is no W3C trace context', quote_literal(left(traceparent, 64))));
  END IF;
END $_$;

--
-- Name: FUNCTION about_check(expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.about_check(expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Private. Refuses (22023) what an enqueue says about a task beyond its options, if out of range. Locks nothing.';

--
-- Name: acquire_lock(text, text, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.acquire_lock(name text, owner text, ttl interval DEFAULT '00:00:30'::interval) RETURNS millrace.lock_attempt
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  seen locks;
BEGIN
  PERFORM lock_check(name, ttl);
  IF owner IS NULL THEN PERFORM refuse('owner', 'must not be null'); END IF;
  IF octet_length(owner) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('owner', format('has %s bytes; allowed is 1 to 128', octet_length(owner)));
  END IF;
  -- A row may go while we look at it; it does not go again and again.
  FOR turn IN 1 .. 3 LOOP
    SELECT l.* INTO seen FROM locks l WHERE l.name = acquire_lock.name;
    IF seen.name IS NOT NULL AND seen.expires_at > clock() AND seen.owner = acquire_lock.owner THEN
      UPDATE locks l SET expires_at = greatest(l.expires_at, clock() + ttl)
      WHERE l.name = acquire_lock.name AND l.token = seen.token AND l.expires_at > clock() RETURNING l.* INTO seen;
      IF FOUND THEN
        RETURN (true, seen.token, seen.owner, seen.expires_at);
      END IF;
      CONTINUE;
    END IF;
    IF seen.name IS NULL THEN
      -- Expired as it is born: it is taken below, under its row lock, where its token is drawn. A token drawn for this INSERT
      -- could be older than that of somebody who came and went while it waited for the name.
      INSERT INTO locks AS l (name, owner, acquired_at, expires_at)
      VALUES (acquire_lock.name, acquire_lock.owner, clock(), '-infinity') ON CONFLICT ON CONSTRAINT locks_pkey DO NOTHING;
    END IF;
    PERFORM FROM locks l WHERE l.name = acquire_lock.name AND l.expires_at <= clock() FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
      UPDATE locks l SET token = DEFAULT, owner = acquire_lock.owner, acquired_at = clock(), expires_at = clock() + ttl
      WHERE l.name = acquire_lock.name RETURNING l.* INTO seen;
      RETURN (true, seen.token, seen.owner, seen.expires_at);
    END IF;
    SELECT l.* INTO seen FROM locks l WHERE l.name = acquire_lock.name;
    EXIT WHEN seen.name IS NOT NULL AND NOT (seen.owner = acquire_lock.owner AND seen.expires_at > clock());
  END LOOP;
  RETURN (false, NULL::bigint, seen.owner, seen.expires_at);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  -- Somebody's transaction is taking it and has not ended: it is not ours to have.
  RETURN (false, NULL::bigint, NULL::text, NULL::timestamptz);
END $$;

--
-- Name: FUNCTION acquire_lock(name text, owner text, ttl interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.acquire_lock(name text, owner text, ttl interval) IS 'Takes the lock of this name if nobody holds it, for ttl (1 second to 1 day) from when this transaction began; it is held once the transaction
commits. Who acquires what it holds already extends it and gets the same token, so repeating a call whose answer was lost is safe. It does not wait for a
holder; it answers at once, or within 2 seconds if a transaction that takes the name has not ended. An expired lock is not taken while a transaction
that asserted it is open. Anyone who may write locks may call it. Locks the lock''s row. Errors: 22023, 40001 (above READ COMMITTED: repeat).';

--
-- Name: add_task(bigint, text, jsonb, text, integer, timestamp with time zone, integer, jsonb, interval, boolean, timestamp with time zone, text, text, text[], jsonb, text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.add_task(task bigint, kind text, args jsonb, queue text, priority integer, due timestamp with time zone, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text, unique_key text DEFAULT NULL::text) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
DECLARE
  first CONSTANT status := CASE WHEN due > clock() THEN 'scheduled' ELSE 'pending' END;
  hint  tid;
BEGIN
  -- What the call leaves open its kind may have declared.
  -- PL/pgSQL keeps arrays in a form of its own, whose header is longer than that of the next version of the row: as it is,
  -- the tags would seem to change with the claim, and no update would be HOT. An operator's result has the short one.
  INSERT INTO tasks AS t (id, kind, queue, status, priority, run_at, max_attempts, timeout, backoff, args,
                          expires_at, correlation, tenant, tags, metadata, traceparent, unique_key)
  OVERRIDING SYSTEM VALUE
  SELECT task, add_task.kind, coalesce(queue, k.queue, 'default'), first, coalesce(priority, k.priority, 50), due, coalesce(max_attempts, k.max_attempts, 5),
         coalesce(timeout, k.timeout), coalesce(backoff, k.backoff), args,
         expires_at, correlation, tenant, CASE WHEN tags IS NOT NULL THEN tags || '{}'::text[] END, metadata, traceparent, unique_key
  FROM (SELECT) AS one LEFT JOIN kinds k ON k.kind = add_task.kind
  RETURNING t.ctid, t.queue, t.priority INTO hint, queue, priority;
  INSERT INTO tickets (queue, bucket, run_at, id, tid) VALUES (queue, priority / 25, due, task, hint);
  IF expires_at IS NOT NULL THEN
    INSERT INTO expiries (expires_at, task) VALUES (expires_at, task);
  END IF;
  IF wake THEN
    PERFORM wake(queue, due);
  END IF;
  RETURN first;
END $$;

--
-- Name: FUNCTION add_task(task bigint, kind text, args jsonb, queue text, priority integer, due timestamp with time zone, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text, unique_key text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.add_task(task bigint, kind text, args jsonb, queue text, priority integer, due timestamp with time zone, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text, unique_key text) IS 'Private. Adds a task under this id, with everything that was said about it, all of it checked before; null: what its kind declares (kinds). Locks nothing but its new rows.';

--
-- Name: along_road(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.along_road(road text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- Each OFFSET 0 binds the planner's hands: statistics of what is live are old, and would have it compare every task with every id.
  SELECT format('(%s OFFSET 0) r CROSS JOIN LATERAL (SELECT * FROM tasks o WHERE o.id = r.id OFFSET 0) t', road)
$$;

--
-- Name: FUNCTION along_road(road text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.along_road(road text) IS 'Private: the FROM of a statement that looks up one task t after the other, by the ids of a query. Locks nothing.';

--
-- Name: args_check(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.args_check(args jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  size integer := octet_length(args::text);
  most integer;
BEGIN
  IF args IS NULL OR jsonb_typeof(args) <> 'object' THEN
    PERFORM refuse('args', format('must be a JSON object, not %s', coalesce(jsonb_typeof(args), 'SQL null')));
  END IF;
  SELECT s.args_bytes_max INTO most FROM settings s;
  IF size > most THEN
    PERFORM refuse('args', format('has %s bytes; allowed are %s (settings.args_bytes_max)', size, most));
  END IF;
  -- Each level takes two characters, so short args need no walk. The root is level 0.
  IF size > 256 AND jsonb_path_exists(args, 'strict $.**{128} ? (@.type() == "object" || @.type() == "array")') THEN
    PERFORM refuse('args', 'is nested more than 128 levels deep');
  END IF;
END $_$;

--
-- Name: FUNCTION args_check(args jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.args_check(args jsonb) IS 'Private. Refuses (22023) args that are no object, too large or nested too deep. Locks nothing.';

--
-- Name: assert_lease(bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.assert_lease(task bigint, lease bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
  PERFORM FROM tasks t WHERE t.id = assert_lease.task AND t.lease = assert_lease.lease AND t.status = 'running' FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR001', MESSAGE = format('task %s is not running under lease %s', task, lease),
      HINT = 'It was rescued and runs, or ran, elsewhere: roll back.';
  END IF;
END $$;

--
-- Name: FUNCTION assert_lease(task bigint, lease bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.assert_lease(task bigint, lease bigint) IS 'For a handler''s own transaction, as its last statement before COMMIT: fails unless the task still runs under this lease, and keeps it so
until the transaction ends. Not earlier, because rescue steps over the row meanwhile. Anyone may call it. Locks the task''s row.
Errors: MR001 the lease was lost.';

--
-- Name: assert_lock(text, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.assert_lock(name text, token bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
  PERFORM lock_check(name);
  PERFORM FROM locks l WHERE l.name = assert_lock.name AND l.token = assert_lock.token AND l.expires_at > clock() FOR KEY SHARE;
  IF NOT FOUND THEN PERFORM lock_lost(name, token); END IF;
END $$;

--
-- Name: FUNCTION assert_lock(name text, token bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.assert_lock(name text, token bigint) IS 'For a transaction that writes what the lock protects: fails unless the lock is held with this token, and until the transaction ends nobody else can
acquire it, also if it expires meanwhile. The holder may extend it, also from another session. Anyone who may write locks may call it. Locks the lock''s
row FOR KEY SHARE. Errors: MR001 (lost), 22023, 55P03, 40001 (above READ COMMITTED: repeat).';

--
-- Name: attach_session(uuid); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.attach_session(worker uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  DELETE FROM worker_sessions s WHERE s.worker = attach_session.worker
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.pid AND a.backend_start = s.backend_start);
  INSERT INTO worker_sessions (worker, pid, backend_start)
  SELECT attach_session.worker, a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()
  ON CONFLICT DO NOTHING;
END $$;

--
-- Name: FUNCTION attach_session(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.attach_session(worker uuid) IS 'Private, for workers: ties this database session to a worker, so that rescue can end it. (pid, backend_start) names a session for good. Locks the worker''s ended sessions'' rows.';

--
-- Name: attend_wish(uuid, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.attend_wish(worker uuid, state text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  wish text;
BEGIN
  UPDATE workers w SET state = attend_wish.state WHERE w.id = attend_wish.worker AND w.state <> attend_wish.state;
  SELECT w.wish INTO wish FROM workers w WHERE w.id = attend_wish.worker;
  RETURN coalesce(wish, 'run');
END $$;

--
-- Name: FUNCTION attend_wish(worker uuid, state text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.attend_wish(worker uuid, state text) IS 'Private, for workers: says what it does and returns what is asked of it. Locks its row if that changed.';

--
-- Name: backoff_check(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.backoff_check(backoff jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  field record;
  num   float8;
BEGIN
  IF backoff IS NULL THEN RETURN; END IF;
  IF jsonb_typeof(backoff) <> 'object' OR coalesce(backoff->>'type', '') NOT IN ('exponential', 'linear', 'fixed') THEN
    PERFORM refuse('backoff', 'must be an object with a "type" of exponential, linear or fixed');
  END IF;
  IF NOT backoff ? 'base' THEN
    PERFORM refuse('backoff.base', 'is missing: the first delay, in seconds');
  END IF;
  FOR field IN SELECT * FROM jsonb_each(backoff) LOOP
    CONTINUE WHEN field.key = 'type';
    IF field.key NOT IN ('base', 'cap', 'multiplier', 'jitter') THEN
      PERFORM refuse('backoff.' || left(field.key, 64), 'is unknown; known are type, base, cap, multiplier and jitter');
    END IF;
    IF jsonb_typeof(field.value) <> 'number' THEN
      PERFORM refuse('backoff.' || field.key, 'must be a number');
    END IF;
    num := field.value::numeric;
    IF field.key IN ('base', 'cap') AND NOT num BETWEEN 0 AND 31536000 THEN
      PERFORM refuse('backoff.' || field.key, format('is %s; allowed are 0 to 31536000 seconds', field.value));
    ELSIF field.key = 'multiplier' AND NOT num BETWEEN 1 AND 100 THEN
      PERFORM refuse('backoff.multiplier', format('is %s; allowed is 1 to 100', field.value));
    ELSIF field.key = 'jitter' AND NOT num BETWEEN 0 AND 0.5 THEN
      PERFORM refuse('backoff.jitter', format('is %s; allowed is 0 to 0.5', field.value));
    END IF;
  END LOOP;
EXCEPTION WHEN numeric_value_out_of_range THEN
  PERFORM refuse('backoff', 'holds a number that is out of range');
END $$;

--
-- Name: FUNCTION backoff_check(backoff jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.backoff_check(backoff jsonb) IS 'Private. Refuses (22023) what is no retry policy. One is {"type": "exponential" | "linear" | "fixed", "base": seconds, "cap": seconds = 3600, "multiplier": 2, "jitter": 0.15}. Locks nothing.';

--
-- Name: begin_changes(text, jsonb, bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION begin_changes(action text, filter jsonb, after bigint, most integer, OUT ids bigint[], OUT conditions text, OUT next bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.begin_changes(action text, filter jsonb, after bigint, most integer, OUT ids bigint[], OUT conditions text, OUT next bigint) IS 'Private: the tasks of a batch, how to look again whether they still fit, and where the next batch begins. Locks nothing. Errors: 22023.';

--
-- Name: begin_wait(bigint, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.begin_wait(task bigint, follow boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  wait bigint;
BEGIN
  INSERT INTO waits AS w (task, follow, expires_at)
  VALUES (begin_wait.task, begin_wait.follow, clock() + interval '1 minute') RETURNING w.id INTO wait;
  RETURN wait;
END $$;

--
-- Name: FUNCTION begin_wait(task bigint, follow boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.begin_wait(task bigint, follow boolean) IS 'For whoever waits for a task: LISTEN on task_channel(task), call this and commit, then look at the task, and look again whenever told. An end
that was being recorded before this was committed tells nobody: take pg_current_xact_id() then, and until
pg_snapshot_xmin(pg_current_snapshot()) has reached it, look again after a while too. follow: be told of progress as well. Lasts a minute; renew_wait() prolongs it.
Anyone with INSERT on waits may call it; locks only its new row.';

--
-- Name: cancel(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cancel(id bigint) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  task tasks;
BEGIN
  -- Ticket before task. A claim may win the race for the ticket: then the task is running, and only its
  -- worker writes its row, so the wish is left in a row of its own.
  FOR try IN 1..5 LOOP
    SELECT * INTO task FROM tasks t WHERE t.id = cancel.id;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no task %s', cancel.id);
    END IF;
    IF task.status IN ('completed', 'failed') THEN
      RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('task %s is %s and cannot be cancelled', cancel.id, task.status);
    ELSIF task.status = 'cancelled' THEN
      RETURN 'cancelled';
    ELSIF task.status = 'running' THEN
      INSERT INTO cancel_requests (task) VALUES (cancel.id) ON CONFLICT DO NOTHING;
      PERFORM pg_notify(worker_channel(task.worker), '');
      PERFORM FROM tasks t WHERE t.id = cancel.id AND t.status = 'running' AND t.lease = task.lease;
      IF FOUND THEN
        RETURN 'running';
      END IF;
    ELSE
      -- No ticket: somebody took it, or put another in its place since this looked. Only doctor() knows a task that has none.
      CONTINUE WHEN NOT drop_ticket(task) AND task.status <> 'waiting' AND try < 5;
      UPDATE tasks t SET status = 'cancelled', finished_at = clock()
      WHERE t.id = cancel.id AND t.status = task.status AND t.run_at = task.run_at;
      IF FOUND THEN
        PERFORM tell_waits(ARRAY[cancel.id]);
        RETURN 'cancelled';
      END IF;
    END IF;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('task %s changes too fast to be cancelled; try again', cancel.id);
END $$;

--
-- Name: FUNCTION cancel(id bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cancel(id bigint) IS 'Cancels a task. Returns ''cancelled'', or ''running'' if it runs: then its worker is asked to stop it, and it ends as cancelled unless it completes first.
Anyone who may write tasks may call it. Locks its ticket, then its row. Errors: MR002, MR003 (completed or failed), 55P03.';

--
-- Name: cancel_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cancel_tasks(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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

--
-- Name: FUNCTION cancel_tasks(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cancel_tasks(filter jsonb, most integer, after bigint) IS 'Cancels a batch of the tasks that fit, at most so many (1 to 10000) with ids above after; the workers of running ones are asked to stop them. Anyone who may write tasks may
call it. Locks their tickets and rows (SKIP LOCKED), and cancel requests. Errors: 22023, 55P03 and 40P01: repeat.';

--
-- Name: cancellations(uuid); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cancellations(worker uuid) RETURNS bigint[]
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
  SELECT ARRAY(SELECT c.task FROM cancel_requests c JOIN tasks t ON t.id = c.task WHERE t.worker = cancellations.worker AND t.status = 'running')
$$;

--
-- Name: FUNCTION cancellations(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cancellations(worker uuid) IS 'Private, for workers: which of its running tasks somebody asked to cancel. Locks nothing.';

--
-- Name: change_priority_check(integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.change_priority_check(priority integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF (priority BETWEEN 0 AND 100) IS NOT TRUE THEN
    PERFORM refuse('priority', format('is %s; allowed is 0 to 100', coalesce(priority::text, 'null')));
  END IF;
END $$;

--
-- Name: FUNCTION change_priority_check(priority integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.change_priority_check(priority integer) IS 'Private. Refuses (22023) a priority that is out of range. Locks nothing.';

--
-- Name: change_time_check(timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.change_time_check(run_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF (run_at >= timestamptz '1970-01-01 00:00+00' AND run_at < timestamptz '10000-01-01 00:00+00') IS NOT TRUE THEN
    PERFORM refuse('run_at', format('is %s; allowed are the years 1970 to 9999', coalesce(run_at::text, 'null')));
  END IF;
END $$;

--
-- Name: FUNCTION change_time_check(run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.change_time_check(run_at timestamp with time zone) IS 'Private. Refuses (22023) a time that is out of range. Locks nothing.';

--
-- Name: claim(uuid, text, integer, timestamp with time zone[], bigint[], boolean, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.claim(worker uuid, queue text, batch integer, from_times timestamp with time zone[], from_ids bigint[], careful boolean DEFAULT false, suspect boolean DEFAULT false) RETURNS TABLE(id bigint, hint tid, kind text, args jsonb, attempt smallint, max_attempts smallint, priority smallint, run_at timestamp with time zone, timeout_ms bigint, about jsonb)
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
  IF suspect THEN
    WITH pick AS MATERIALIZED (
      SELECT k.ctid, k.id, k.tid FROM tickets k
      WHERE k.queue = claim.queue AND k.bucket = -1 AND k.run_at <= clock()
      ORDER BY k.run_at, k.id LIMIT 1 FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT p.ctid FROM pick p)))
    SELECT array_agg(p.id), array_agg(p.tid) INTO ids, tids FROM pick p;
  ELSIF NOT careful THEN
    WITH pick AS MATERIALIZED (
      SELECT r.ctid, r.id, r.tid, r.bucket, r.run_at FROM (
        SELECT b4.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 4 AND (k.run_at, k.id) >= (from_times[5], from_ids[5]) AND k.run_at <= clock()
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b4
        UNION ALL
        SELECT b3.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 3 AND (k.run_at, k.id) >= (from_times[4], from_ids[4]) AND k.run_at <= clock()
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b3
        UNION ALL
        SELECT b2.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 2 AND (k.run_at, k.id) >= (from_times[3], from_ids[3]) AND k.run_at <= clock()
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b2
        UNION ALL
        SELECT b1.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 1 AND (k.run_at, k.id) >= (from_times[2], from_ids[2]) AND k.run_at <= clock()
                          ORDER BY k.run_at, k.id FOR UPDATE SKIP LOCKED) b1
        UNION ALL
        SELECT b0.* FROM (SELECT k.ctid, k.id, k.tid, k.bucket, k.run_at FROM tickets k
                          WHERE k.queue = claim.queue AND k.bucket = 0 AND (k.run_at, k.id) >= (from_times[1], from_ids[1]) AND k.run_at <= clock()
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
      AND (t.expires_at <= clock() AND t.attempt = 0) IS NOT TRUE
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
        AND (t.expires_at <= clock() AND t.attempt = 0) IS NOT TRUE
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
    SELECT min(n.run_at) INTO next_at
    FROM unnest('{-1,0,1,2,3,4}'::smallint[]) AS b (bucket)
    CROSS JOIN LATERAL (SELECT k.run_at FROM tickets k
                        WHERE k.queue = claim.queue AND k.bucket = b.bucket AND k.run_at > clock()
                        ORDER BY k.run_at LIMIT 1) n;
  END IF;

  RETURN QUERY SELECT new_lease, NULL::tid, NULL::text, jsonb_build_object(
    'took', took, 'reached', reached, 'started_at', started,
    'xmin', pg_snapshot_xmin(pg_current_snapshot())::text,
    'next_in_ms', ceil(extract(epoch FROM next_at - clock()) * 1000)), NULL::smallint, NULL::smallint, NULL::smallint, NULL::timestamptz, NULL::bigint, NULL::jsonb;
END $$;

--
-- Name: FUNCTION claim(worker uuid, queue text, batch integer, from_times timestamp with time zone[], from_ids bigint[], careful boolean, suspect boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.claim(worker uuid, queue text, batch integer, from_times timestamp with time zone[], from_ids bigint[], careful boolean, suspect boolean) IS 'Private, for workers: takes up to batch due tickets of a queue and makes their tasks running under one new lease.
from_times and from_ids are the cursor of each bucket, 0 to 4 (''-infinity'' and 0 sweep from the left edge). careful steps
over tasks that somebody else holds. suspect takes one task from the lane of suspects and nothing else.
about holds correlation, tenant, metadata and traceparent, those that are not null; itself null without any.
The last row (kind is null) is the batch''s footer: id is the lease; args holds took (tickets consumed: 0 means empty),
reached ([bucket, run_at, id] of the last ticket per bucket), started_at, xmin (of the snapshot) and next_in_ms (when empty: the next due).
Locks tickets and tasks until commit; READ COMMITTED and one call per transaction.
Errors: MR004 the worker is not registered; 55P03 a row is held, repeat with careful; 25001 wrong isolation level.';

--
-- Name: clock(); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.clock() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$SELECT pg_catalog.now()$$;

--
-- Name: FUNCTION clock(); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.clock() IS 'The one source of time for every decision of the queue. A test may replace it to shift time; nothing else may. Anyone may call it; locks nothing.';

--
-- Name: clock_change(text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.clock_change(zone text, since timestamp with time zone, until timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  before CONSTANT interval := zone_offset(zone, since);
  low    bigint := extract(epoch FROM since)::bigint;
  high   bigint := extract(epoch FROM until)::bigint;
BEGIN
  WHILE high - low > 1 LOOP
    IF zone_offset(zone, to_timestamp((low + high) / 2)) = before THEN
      low := (low + high) / 2;
    ELSE
      high := (low + high) / 2;
    END IF;
  END LOOP;
  RETURN to_timestamp(high);
END $$;

--
-- Name: FUNCTION clock_change(zone text, since timestamp with time zone, until timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.clock_change(zone text, since timestamp with time zone, until timestamp with time zone) IS 'Private: when the zone''s clocks change between two times at which they differ. Locks nothing.';

--
-- Name: complete(uuid, bigint[], tid[], bigint[], jsonb[], bigint[], boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION complete(worker uuid, ids bigint[], hints tid[], leases bigint[], results jsonb[], done bigint[], careful boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.complete(worker uuid, ids bigint[], hints tid[], leases bigint[], results jsonb[], done bigint[], careful boolean) IS 'For the worker that holds the leases: records tasks as completed, with results (null: none), and drops the leases in done.
Returns the exceptions (see unsettled). Locks those tasks until commit. Errors: 55P03 a row is held, repeat with careful.';

--
-- Name: complete_task(bigint, bigint, jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.complete_task(task bigint, lease bigint, result jsonb DEFAULT NULL::jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
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

--
-- Name: FUNCTION complete_task(task bigint, lease bigint, result jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.complete_task(task bigint, lease bigint, result jsonb) IS 'For a handler''s own transaction, as its last statement before COMMIT: records the task as completed together with what the transaction
wrote, so that both happen exactly once or not at all. Anyone may call it. Locks the task''s row. Errors: MR001 the lease was lost, or the
task''s end is recorded already.';

--
-- Name: count_tasks(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.count_tasks(filter jsonb DEFAULT '{}'::jsonb) RETURNS TABLE(queue text, kind text, status millrace.status, tasks bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'on'
    AS $$
DECLARE
  parsed record;
BEGIN
  SELECT * INTO parsed FROM parse_filter(filter);
  IF parsed.road IS NOT NULL THEN
    PERFORM set_config('enable_seqscan', 'off', true);
  END IF;
  RETURN QUERY EXECUTE format('SELECT t.queue, t.kind, t.status, count(*) FROM %s WHERE %s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3',
    CASE WHEN parsed.road IS NULL THEN 'tasks t' ELSE along_road(format('SELECT DISTINCT w.id FROM (%s) w', parsed.road)) END, parsed.conditions);
END $$;

--
-- Name: FUNCTION count_tasks(filter jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.count_tasks(filter jsonb) IS 'How many tasks fit a filter, by queue, kind and status. Reads all of them: the live or dead ones if that is what is asked for, otherwise the whole history. stats() tells of
the live without reading it. Anyone who may read may call it; locks nothing. Errors: 22023.';

--
-- Name: cron_field(text, text, integer, integer, text[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cron_field(item text, field text, low integer, high integer, names text[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  part  text[] := regexp_match(item, '^(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?$');
  first integer;
  last  integer;
  step  integer := 1;
  mask  bigint := 0;
BEGIN
  IF part IS NULL OR (part[1] = '*' AND part[2] IS NOT NULL) THEN
    PERFORM refuse('rule', format('has "%s" as %s; allowed are values, ranges such as 1-5, steps such as */10, and lists of them', left(item, 32), field));
  END IF;
  IF part[3] IS NOT NULL THEN
    IF length(part[3]) > 4 OR part[3]::integer NOT BETWEEN 1 AND high THEN
      PERFORM refuse('rule', format('has the step "%s" in %s; allowed is 1 to %s', left(part[3], 32), field, high));
    END IF;
    step := part[3]::integer;
  END IF;
  IF part[1] = '*' THEN
    first := low;
    last := CASE WHEN field = 'weekday' THEN 6 ELSE high END;
  ELSE
    first := cron_value(part[1], field, low, high, names);
    last := CASE WHEN part[2] IS NOT NULL THEN cron_value(part[2], field, low, high, names)
                 WHEN part[3] IS NOT NULL THEN CASE WHEN field = 'weekday' THEN 6 ELSE high END
                 ELSE first END;
    -- FRI-SUN ends with the Sunday that follows.
    IF field = 'weekday' AND part[2] IS NOT NULL AND last = 0 AND first > 0 THEN
      last := 7;
    END IF;
    IF first > last THEN
      PERFORM refuse('rule', format('has the range "%s" in %s; allowed are ranges that do not wrap around: write two, with a comma', left(item, 32), field));
    END IF;
  END IF;
  FOR value IN first..last BY step LOOP
    mask := mask | (1::bigint << CASE WHEN field = 'weekday' THEN value % 7 ELSE value END);
  END LOOP;
  RETURN mask;
END $_$;

--
-- Name: FUNCTION cron_field(item text, field text, low integer, high integer, names text[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cron_field(item text, field text, low integer, high integer, names text[]) IS 'Private: one element of a cron field as a mask of its values. Locks nothing. Errors: 22023.';

--
-- Name: cron_fields(text, text, integer, integer, text[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cron_fields(fields text, field text, low integer, high integer, names text[] DEFAULT '{}'::text[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  item text;
  mask bigint := 0;
BEGIN
  FOREACH item IN ARRAY string_to_array(fields, ',') LOOP
    mask := mask | cron_field(item, field, low, high, names);
  END LOOP;
  RETURN mask;
END $$;

--
-- Name: FUNCTION cron_fields(fields text, field text, low integer, high integer, names text[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cron_fields(fields text, field text, low integer, high integer, names text[]) IS 'Private: a list of elements of a cron field as a mask of its values. Locks nothing. Errors: 22023.';

--
-- Name: cron_parse(text[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cron_parse(fields text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  days_of_week CONSTANT text[] := '{SUN,MON,TUE,WED,THU,FRI,SAT}';
  item    text;
  part    text[];
  seconds bigint;
  minutes bigint;
  hours   bigint;
  months  bigint;
  days    bigint := 0;      -- 1 to 31
  near    bigint := 0;      -- nearest weekday to the 1st to 31st
  last    boolean := false; -- the last day
  last_w  boolean := false; -- the last weekday
  week    bigint := 0;      -- 0 to 6
  nth     bigint := 0;      -- bit 5 * weekday + n - 1
  final   bigint := 0;      -- last such weekday of the month
  any_day CONSTANT boolean := fields[4] IN ('*', '?');
  any_dow CONSTANT boolean := fields[6] IN ('*', '?');
  longest integer;
BEGIN
  seconds := cron_fields(fields[1], 'second', 0, 59);
  minutes := cron_fields(fields[2], 'minute', 0, 59);
  hours   := cron_fields(fields[3], 'hour', 0, 23);
  months  := cron_fields(fields[5], 'month', 1, 12, '{JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC}');
  IF NOT any_day THEN
    FOREACH item IN ARRAY string_to_array(fields[4], ',') LOOP
      IF upper(item) = 'L' THEN
        last := true;
      ELSIF upper(item) = 'LW' THEN
        last_w := true;
      ELSIF item ~* '^[0-9]+W$' THEN
        near := near | (1::bigint << cron_value(rtrim(item, 'wW'), 'day of month', 1, 31, '{}'));
      ELSIF item ~* 'L|W' THEN
        PERFORM refuse('rule', format('has "%s" as day of month; allowed are 1 to 31, L, LW and such as 15W', left(item, 32)));
      ELSE
        days := days | cron_field(item, 'day of month', 1, 31, '{}');
      END IF;
    END LOOP;
  END IF;
  IF NOT any_dow THEN
    FOREACH item IN ARRAY string_to_array(fields[6], ',') LOOP
      IF item LIKE '%#%' THEN
        part := regexp_match(item, '^([0-9A-Za-z]+)#([1-5])$');
        IF part IS NULL THEN
          PERFORM refuse('rule', format('has "%s" as weekday; allowed after # is 1 to 5, such as MON#2', left(item, 32)));
        END IF;
        nth := nth | (1::bigint << (cron_value(part[1], 'weekday', 0, 7, days_of_week) % 7 * 5 + part[2]::integer - 1));
      ELSIF item ~* '^([0-7]|[a-z]{3})L$' THEN
        final := final | (1::bigint << (cron_value(left(item, -1), 'weekday', 0, 7, days_of_week) % 7));
      ELSIF upper(item) = 'L' THEN
        PERFORM refuse('rule', 'has "L" as weekday; allowed is L after a weekday, such as FRIL or 5L');
      ELSE
        week := week | cron_field(item, 'weekday', 0, 7, days_of_week);
      END IF;
    END LOOP;
  END IF;
  -- A day that none of the months has: nothing else can fire.
  IF any_dow AND NOT (any_day OR last OR last_w) THEN
    longest := CASE WHEN months & 5546 <> 0 THEN 31 WHEN months & 2640 <> 0 THEN 30 ELSE 29 END;
    IF (days | near) & ((1::bigint << longest + 1) - 1) = 0 THEN
      PERFORM refuse('rule', format('names day %s of months that have at most %s, so it would never fire', replace(fields[4], ',', ', '), longest));
    END IF;
  END IF;
  RETURN jsonb_build_object(
    's', seconds, 'm', minutes, 'h', hours, 'mon', months,
    -- Hours that are not named run through every change of clocks.
    'free', fields[3] ~ '^(\*|0-23)(/[0-9]+)?$' OR hours = 16777215,
    'any_day', any_day, 'any_dow', any_dow, 'dom', days, 'near', near, 'last', last, 'last_w', last_w,
    'dow', week, 'nth', nth, 'final', final);
END $_$;

--
-- Name: FUNCTION cron_parse(fields text[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cron_parse(fields text[]) IS 'Private: the plan of six cron fields, seconds first. Locks nothing. Errors: 22023.';

--
-- Name: cron_value(text, text, integer, integer, text[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.cron_value(value text, field text, low integer, high integer, names text[]) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  named integer := array_position(names, upper(value));
BEGIN
  IF named IS NOT NULL THEN
    -- The names of months begin with 1, those of weekdays with 0.
    RETURN named - 1 + CASE WHEN field = 'month' THEN 1 ELSE 0 END;
  END IF;
  IF value !~ '^[0-9]{1,4}$' OR value::integer NOT BETWEEN low AND high THEN
    PERFORM refuse('rule', format('has "%s" as %s; allowed are %s to %s%s', left(value, 32), field, low, high,
                                  CASE WHEN names <> '{}' THEN ' and ' || names[1] || ' to ' || names[cardinality(names)] ELSE '' END));
  END IF;
  RETURN value::integer;
END $_$;

--
-- Name: FUNCTION cron_value(value text, field text, low integer, high integer, names text[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.cron_value(value text, field text, low integer, high integer, names text[]) IS 'Private: one number or name of a cron field. Locks nothing. Errors: 22023.';

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: tasks; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.tasks (
    id bigint NOT NULL,
    kind text NOT NULL,
    queue text DEFAULT 'default'::text NOT NULL,
    status millrace.status DEFAULT 'pending'::millrace.status NOT NULL,
    priority smallint DEFAULT 50 NOT NULL,
    attempt smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 5 NOT NULL,
    run_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    created_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    dead_at timestamp with time zone,
    lease bigint,
    worker uuid,
    timeout interval,
    backoff jsonb,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    result jsonb,
    errors jsonb,
    expires_at timestamp with time zone,
    reason text,
    correlation text,
    tenant text,
    tags text[],
    metadata jsonb,
    traceparent text,
    unique_key text,
    forwarded_to bigint,
    forwarded_from bigint,
    CONSTRAINT tasks_in_range CHECK ((((priority >= 0) AND (priority <= 100)) AND ((attempt >= 0) AND (attempt <= max_attempts)) AND ((max_attempts >= 1) AND (max_attempts <= 1000)) AND (kind <> ''::text) AND (queue <> ''::text) AND ((dead_at IS NULL) OR (status = 'failed'::millrace.status))))
)
WITH (fillfactor='28');

--
-- Name: TABLE tasks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.tasks IS 'One row per task, from enqueue to retention.';

--
-- Name: COLUMN tasks.priority; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.priority IS '0 to 100, higher first, in buckets of 25; first come first served within a bucket.';

--
-- Name: COLUMN tasks.attempt; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.attempt IS 'How many runs were begun and not given back: a budget against max_attempts, not a fence.';

--
-- Name: COLUMN tasks.run_at; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.run_at IS 'Not to be claimed before this time.';

--
-- Name: COLUMN tasks.lease; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.lease IS 'The lease of the last claim; kept after settling, so that a repeated settlement is recognised.';

--
-- Name: COLUMN tasks.backoff; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.backoff IS 'Retry policy, as backoff_check() describes it; null is the default policy.';

--
-- Name: COLUMN tasks.errors; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.errors IS 'The latest 10 failed attempts: [{"attempt", "at", "worker", "message"}], messages cut to 4096 characters.';

--
-- Name: COLUMN tasks.expires_at; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.expires_at IS 'If no attempt has begun by then, none will: the task is cancelled with the reason expired.';

--
-- Name: COLUMN tasks.reason; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.reason IS 'Why it was cancelled: expired, or what its handler said; null if somebody cancelled it.';

--
-- Name: COLUMN tasks.correlation; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.correlation IS 'Ties together what belongs together; tasks that its handler enqueues inherit it.';

--
-- Name: COLUMN tasks.tenant; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.tenant IS 'The customer or user that it is for.';

--
-- Name: COLUMN tasks.metadata; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.metadata IS 'Texts by name, for handlers and people.';

--
-- Name: COLUMN tasks.traceparent; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.traceparent IS 'W3C trace context of whoever enqueued it.';

--
-- Name: COLUMN tasks.unique_key; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.unique_key IS 'Under which key it is unique while it is live (task_keys); set at enqueue only.';

--
-- Name: COLUMN tasks.forwarded_to; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.forwarded_to IS 'The task that took its place in a dead-letter queue when it last became a dead letter (dead_queues).';

--
-- Name: COLUMN tasks.forwarded_from; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.tasks.forwarded_from IS 'The dead letter that it was made from.';

--
-- Name: dead_target(millrace.tasks); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.dead_target(task millrace.tasks) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- A kind's is for its first death only: otherwise it would lead back to where it leads.
  SELECT coalesce((SELECT d.target FROM dead_queues d WHERE d.kind = task.kind AND d.target <> task.queue AND task.forwarded_from IS NULL),
                  (SELECT d.target FROM dead_queues d WHERE d.queue = task.queue))
$$;

--
-- Name: FUNCTION dead_target(task millrace.tasks); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.dead_target(task millrace.tasks) IS 'Private: the queue that a dead letter is forwarded to, its kind''s before its queue''s; null: none. Locks nothing.';

--
-- Name: delete_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.delete_schedule(name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  DELETE FROM schedule_ticks k WHERE k.schedule = one.id;
  DELETE FROM schedules s WHERE s.id = one.id;
END $$;

--
-- Name: FUNCTION delete_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.delete_schedule(name text) IS 'Deletes a schedule and the record of its ticks; its tasks stay. Locks its row. Errors: MR002, 55P03.';

--
-- Name: delete_task(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.delete_task(id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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

--
-- Name: FUNCTION delete_task(id bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.delete_task(id bigint) IS 'Deletes a task that does not run, with its ticket, its error history, progress and log lines. Anyone who may write tasks may call it. Locks its ticket, then its row.
Errors: MR002, MR003 (it runs), 55P03.';

--
-- Name: delete_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.delete_tasks(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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

--
-- Name: FUNCTION delete_tasks(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.delete_tasks(filter jsonb, most integer, after bigint) IS 'Deletes a batch of the tasks that fit and do not run, with everything that hangs on them (delete_task()). Anyone who may write tasks may call it. Locks their tickets and rows
(SKIP LOCKED). Errors: 22023, 55P03 and 40P01: repeat.';

--
-- Name: depth(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.depth(queue text DEFAULT 'default'::text) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
  SELECT count(*) FROM tickets k WHERE k.queue = depth.queue AND k.run_at <= clock()
$$;

--
-- Name: FUNCTION depth(queue text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.depth(queue text) IS 'How many tasks of a queue could be claimed now. Reads its tickets. Anyone who may read may call it; locks nothing.';

--
-- Name: deregister_worker(uuid); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.deregister_worker(worker uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  DELETE FROM worker_sessions s WHERE s.worker = deregister_worker.worker;
  DELETE FROM workers w WHERE w.id = deregister_worker.worker;
END $$;

--
-- Name: FUNCTION deregister_worker(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.deregister_worker(worker uuid) IS 'Private, for workers: a clean goodbye after everything was settled or released. A lease left behind is rescued by others. Locks the worker''s row.';

--
-- Name: doctor(); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.doctor() RETURNS TABLE(problem text, task bigint, lease bigint, detail text)
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
  SELECT 'task without a ticket', t.id, NULL::bigint, format('it is %s but nothing can claim it', t.status)
  FROM tasks t WHERE t.status IN ('pending', 'scheduled', 'retrying') AND NOT EXISTS (SELECT FROM tickets k WHERE k.id = t.id)
  UNION ALL
  SELECT 'task with several tickets', k.id, NULL, format('it has %s', count(*)) FROM tickets k GROUP BY k.id HAVING count(*) > 1
  UNION ALL
  SELECT 'ticket without a task to run', k.id, NULL, format('the task is %s', coalesce(t.status::text, 'gone'))
  FROM tickets k LEFT JOIN tasks t ON t.id = k.id WHERE (t.status IN ('pending', 'scheduled', 'retrying')) IS NOT TRUE
  UNION ALL
  SELECT 'running task outside any lease', t.id, t.lease, 'no worker answers for it'
  FROM tasks t WHERE t.status = 'running' AND NOT EXISTS (SELECT FROM leases l WHERE l.id = t.lease AND t.id = ANY (l.task_ids))
  UNION ALL
  SELECT 'lease without a live worker', NULL, l.id, format('worker %s; rescue will take it', l.worker)
  FROM leases l WHERE NOT EXISTS (SELECT FROM workers w WHERE w.id = l.worker AND w.seen_at >= clock() - w.lease_ttl)
$$;

--
-- Name: FUNCTION doctor(); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.doctor() IS 'Where tasks, tickets and leases disagree, one row each; none is the healthy answer. Reads the whole tasks table: minutes on a very long history. Anyone who may read may call it; locks nothing.';

--
-- Name: drop_leases(uuid, bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION drop_leases(worker uuid, done bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.drop_leases(worker uuid, done bigint[]) IS 'Private, for workers: deletes leases whose every task was settled in an earlier transaction. Locks those lease rows.';

--
-- Name: drop_ticket(millrace.tasks); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.drop_ticket(task millrace.tasks) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  -- Two statements, each with all columns of the index: one for both buckets may walk the whole index.
  DELETE FROM tickets k WHERE k.queue = task.queue AND k.bucket = task.priority / 25 AND k.run_at = task.run_at AND k.id = task.id;
  IF NOT FOUND THEN
    DELETE FROM tickets k WHERE k.queue = task.queue AND k.bucket = -1 AND k.run_at = task.run_at AND k.id = task.id;
  END IF;
  RETURN FOUND;
END $$;

--
-- Name: FUNCTION drop_ticket(task millrace.tasks); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.drop_ticket(task millrace.tasks) IS 'Private: deletes a task''s ticket by its claim index; tells whether there was one. Waits for a claim that is taking it. Locks the ticket.';

--
-- Name: end_wait(bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.end_wait(task bigint, wait bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  DELETE FROM waits w WHERE w.task = end_wait.task AND w.id = end_wait.wait;
END $$;

--
-- Name: FUNCTION end_wait(task bigint, wait bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.end_wait(task bigint, wait bigint) IS 'For whoever waited: forgets the wait. Locks its row.';

--
-- Name: enqueue(text, jsonb, text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.enqueue(kind text, args jsonb DEFAULT '{}'::jsonb, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, wake boolean DEFAULT true, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_in interval DEFAULT NULL::interval, correlation text DEFAULT NULL::text, tenant text DEFAULT NULL::text, tags text[] DEFAULT NULL::text[], metadata jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
DECLARE
  due  timestamptz;
  task bigint;
  hint tid;
BEGIN
  -- What the call leaves open its kind may have declared: see the insert.
  -- What is plainly good is told by one expression; a call of the checks costs more than the inserts' planning.
  IF (octet_length(kind) BETWEEN 1 AND 128 AND octet_length(coalesce(queue, 'default')) BETWEEN 1 AND 128 AND coalesce(priority, 50) BETWEEN 0 AND 100
      AND coalesce(max_attempts, 5) BETWEEN 1 AND 1000 AND num_nulls(run_at, delay, backoff, timeout, expires_at, expires_in, correlation, tenant, tags, metadata, traceparent) = 11
      AND jsonb_typeof(args) = 'object' AND octet_length(args::text) <= 256) IS NOT TRUE THEN
    PERFORM options_check(kind, queue, priority, run_at, delay, max_attempts, backoff, timeout);
    PERFORM args_check(args);
    IF num_nonnulls(expires_at, expires_in, correlation, tenant, tags, metadata, traceparent) > 0 THEN
      PERFORM about_check(expires_at, expires_in, correlation, tenant, tags, metadata, traceparent);
      task := nextval('tasks_id_seq');
      PERFORM add_task(task, kind, args, queue, priority, coalesce(run_at, clock() + delay, clock()), max_attempts, backoff, timeout, wake,
                       coalesce(expires_at, clock() + expires_in), correlation, tenant, tags, metadata, traceparent);
      RETURN task;
    END IF;
  END IF;
  due := coalesce(run_at, clock() + delay, clock());
  INSERT INTO tasks AS t (kind, queue, status, priority, run_at, max_attempts, timeout, backoff, args)
  SELECT enqueue.kind, coalesce(queue, k.queue, 'default'), CASE WHEN due > clock() THEN 'scheduled'::status ELSE 'pending'::status END,
         coalesce(priority, k.priority, 50), due, coalesce(max_attempts, k.max_attempts, 5), coalesce(timeout, k.timeout), coalesce(backoff, k.backoff), args
  FROM (SELECT) AS one LEFT JOIN kinds k ON k.kind = enqueue.kind
  RETURNING t.id, t.ctid, t.queue, t.priority INTO task, hint, queue, priority;
  INSERT INTO tickets (queue, bucket, run_at, id, tid) VALUES (queue, priority / 25, due, task, hint);
  -- This is wake(), written out: a call would cost more than what it does.
  IF wake AND (current_setting('transaction_isolation') <> 'read committed' OR EXISTS (
       SELECT FROM workers w WHERE w.wants_wake AND enqueue.queue = ANY (w.queues) AND w.seen_at > clock() - w.lease_ttl
         AND due <= clock() + w.poll_interval)) THEN
    PERFORM pg_notify('millrace_' || to_hex(hashtextextended(current_schema() || chr(1) || queue, 0)), '');
  END IF;
  RETURN task;
END $$;

--
-- Name: FUNCTION enqueue(kind text, args jsonb, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.enqueue(kind text, args jsonb, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Adds a task in the caller''s transaction and returns its id. Anyone with INSERT may call it; locks nothing but its new rows. wake => false for callers that will PREPARE TRANSACTION. What is null is as the kind declares (kinds), or else the default: queue default, priority 50, 5 attempts, exponential backoff, no timeout. Not started by expires_at (or expires_in from now), it never will be. Errors: 22023.';

--
-- Name: enqueue_many(text, jsonb[], text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.enqueue_many(kind text, args jsonb[], queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, wake boolean DEFAULT true, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_in interval DEFAULT NULL::interval, correlation text DEFAULT NULL::text, tenant text DEFAULT NULL::text, tags text[] DEFAULT NULL::text[], metadata jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
DECLARE
  due   timestamptz;
  tasks bigint[];
BEGIN
  PERFORM options_check(kind, queue, priority, run_at, delay, max_attempts, backoff, timeout);
  PERFORM about_check(expires_at, expires_in, correlation, tenant, tags, metadata, traceparent);
  -- Most args are plainly good; only the others are worth a call each.
  PERFORM args_check(a) FROM unnest(args) a
  WHERE (jsonb_typeof(a) = 'object' AND octet_length(a::text) <= 256) IS NOT TRUE
     OR octet_length(a::text) > (SELECT s.args_bytes_max FROM settings s);
  SELECT d.* INTO queue, priority, max_attempts, backoff, timeout FROM with_defaults(kind, queue, priority, max_attempts, backoff, timeout) d;
  due := coalesce(run_at, clock() + coalesce(delay, interval '0'));
  expires_at := coalesce(expires_at, clock() + expires_in);
  WITH added AS (
    INSERT INTO tasks AS t (kind, queue, status, priority, run_at, max_attempts, timeout, backoff, args,
                            expires_at, correlation, tenant, tags, metadata, traceparent)
    SELECT kind, queue, CASE WHEN due > clock() THEN 'scheduled' ELSE 'pending' END::status, priority, due,
           max_attempts, timeout, backoff, a, expires_at, correlation, tenant,
           CASE WHEN tags IS NOT NULL THEN tags || '{}'::text[] END, metadata, traceparent
    FROM unnest(args) a
    RETURNING t.id, t.ctid),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, run_at, id, tid)
    SELECT queue, priority / 25, due, a.id, a.ctid FROM added a)
  SELECT coalesce(array_agg(a.id), '{}') INTO tasks FROM added a;
  IF expires_at IS NOT NULL THEN
    INSERT INTO expiries (expires_at, task) SELECT expires_at, a.id FROM unnest(tasks) AS a (id);
  END IF;
  IF wake AND cardinality(tasks) > 0 THEN
    PERFORM wake(queue, due);
  END IF;
  RETURN tasks;
END $$;

--
-- Name: FUNCTION enqueue_many(kind text, args jsonb[], queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.enqueue_many(kind text, args jsonb[], queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Adds one task per element of args, all or none, and returns their ids in the same order. Otherwise as enqueue().';

--
-- Name: enqueue_once(text, jsonb, text, interval, text, text[], interval, interval, interval, interval, boolean, text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.enqueue_once(kind text, args jsonb DEFAULT '{}'::jsonb, key text DEFAULT NULL::text, key_for interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, unique_by text[] DEFAULT NULL::text[], unique_for interval DEFAULT NULL::interval, debounce interval DEFAULT NULL::interval, debounce_max interval DEFAULT NULL::interval, throttle interval DEFAULT NULL::interval, replace boolean DEFAULT false, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, wake boolean DEFAULT true, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, expires_in interval DEFAULT NULL::interval, correlation text DEFAULT NULL::text, tenant text DEFAULT NULL::text, tags text[] DEFAULT NULL::text[], metadata jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text) RETURNS millrace.enqueued
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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
      EXIT WHEN answer.status IN ('running', 'retrying', 'waiting', 'completed', 'failed', 'cancelled');
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

--
-- Name: FUNCTION enqueue_once(kind text, args jsonb, key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.enqueue_once(kind text, args jsonb, key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Adds a task in the caller''s transaction unless its key leads to one already; the answer tells which task, and whether this call made it. key: idempotency key, for key_for
(24 hours), also after the task ended. unique_key, or unique_by (fields of args; empty: all), says what is the same: one of these while it is live, and for unique_for if
given; with replace a task not yet started gets these args and options. throttle: the first within this time. debounce: while it has not started, the newest replaces it and it
runs so long from now, at most debounce_max (ten times as long) after the first. Without unique_key and unique_by these two concern the kind as a whole.
The others as in enqueue(). Anyone who may write tasks may call it. Waits for another transaction that enqueues the same; locks key, ticket, task. Errors: 22023, 40001, 40P01.';

--
-- Name: schedules; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.schedules (
    id bigint NOT NULL,
    name text NOT NULL,
    rule text NOT NULL,
    plan jsonb NOT NULL,
    zone text NOT NULL,
    gap text NOT NULL,
    fold text NOT NULL,
    anchor timestamp with time zone NOT NULL,
    jitter interval NOT NULL,
    misfire text NOT NULL,
    misfire_max integer NOT NULL,
    grace interval NOT NULL,
    exclusive text NOT NULL,
    kind text NOT NULL,
    args jsonb NOT NULL,
    queue text,
    priority smallint,
    max_attempts smallint,
    backoff jsonb,
    timeout interval,
    tags text[],
    paused boolean DEFAULT false NOT NULL,
    next_tick timestamp with time zone,
    next_at timestamp with time zone,
    owed_tick timestamp with time zone,
    last_tick timestamp with time zone,
    last_task bigint,
    problem text,
    created_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    changed_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    CONSTRAINT schedules_exclusive_check CHECK ((exclusive = ANY (ARRAY['no'::text, 'skip'::text, 'queue'::text]))),
    CONSTRAINT schedules_fold_check CHECK ((fold = ANY (ARRAY['first'::text, 'last'::text, 'both'::text]))),
    CONSTRAINT schedules_gap_check CHECK ((gap = ANY (ARRAY['skip'::text, 'shift'::text]))),
    CONSTRAINT schedules_misfire_check CHECK ((misfire = ANY (ARRAY['skip'::text, 'one'::text, 'all'::text])))
)
WITH (fillfactor='50');

--
-- Name: TABLE schedules; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.schedules IS 'One row per recurring schedule. Change it with put_schedule(), pause_schedule() and the like.';

--
-- Name: COLUMN schedules.plan; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.schedules.plan IS 'The rule as rule_parse() read it.';

--
-- Name: COLUMN schedules.queue; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.schedules.queue IS 'Null, as the next four: as the kind declares it at the time of the tick.';

--
-- Name: COLUMN schedules.next_tick; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.schedules.next_tick IS 'The next tick that was not fired yet; null when the rule has no more.';

--
-- Name: COLUMN schedules.next_at; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.schedules.next_at IS 'When a worker is to look at it: the next tick and its jitter, or sooner while a tick is owed. Null while paused.';

--
-- Name: COLUMN schedules.owed_tick; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.schedules.owed_tick IS 'exclusive = queue: the tick that waits for the previous task to end.';

--
-- Name: COLUMN schedules.problem; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.schedules.problem IS 'Why it could not be fired at its last try; tried again every minute, and its ticks meanwhile are late, not lost: see misfire.';

--
-- Name: enqueue_tick(millrace.schedules, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.enqueue_tick(schedule millrace.schedules, tick timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  -- The text of a time holds nothing that JSON would have to escape.
  stamp text := to_char(tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
BEGIN
  RETURN enqueue(schedule.kind, replace(schedule.args::text, '{{tick}}', stamp)::jsonb, schedule.queue, schedule.priority,
                 max_attempts => schedule.max_attempts, backoff => schedule.backoff, timeout => schedule.timeout, tags => schedule.tags);
END $$;

--
-- Name: FUNCTION enqueue_tick(schedule millrace.schedules, tick timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.enqueue_tick(schedule millrace.schedules, tick timestamp with time zone) IS 'Private: adds the task of a tick; {{tick}} in its args becomes the tick''s time in UTC. Errors: those of enqueue().';

--
-- Name: expire_claimed(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.expire_claimed(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  expired bigint[];
BEGIN
  WITH ended AS (
    UPDATE tasks t SET status = 'cancelled', reason = 'expired', finished_at = clock()
    WHERE t.id = ANY (ids) AND t.status IN ('pending', 'scheduled', 'retrying') AND t.attempt = 0 AND t.expires_at <= clock()
    RETURNING t.id)
  SELECT array_agg(e.id) INTO expired FROM ended e;
  IF expired IS NOT NULL THEN
    PERFORM tell_waits(expired);
  END IF;
END $$;

--
-- Name: FUNCTION expire_claimed(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.expire_claimed(ids bigint[]) IS 'Private: cancels those of these tasks whose time to start is over, their tickets being gone. Locks their rows.';

--
-- Name: expire_task(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.expire_task(task bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one tasks;
BEGIN
  FOR try IN 1..5 LOOP
    SELECT * INTO one FROM tasks t
    WHERE t.id = expire_task.task AND t.status IN ('pending', 'scheduled', 'retrying') AND t.attempt = 0 AND t.expires_at <= clock();
    EXIT WHEN NOT FOUND;
    -- No ticket: somebody took it, or put another in its place since this looked.
    CONTINUE WHEN NOT drop_ticket(one) AND try < 5;
    PERFORM expire_claimed(ARRAY[one.id]);
    EXIT;
  END LOOP;
END $$;

--
-- Name: FUNCTION expire_task(task bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.expire_task(task bigint) IS 'Private: cancels a task whose time to start is over, unless a claim is first. Waits for that claim. Locks its ticket, then its row.';

--
-- Name: expire_tasks(integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.expire_tasks(most integer DEFAULT 1000, OUT expired integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
  due    bigint[];
  places tid[];
  ids    bigint[];
  tids   tid[];
  swept  integer;
BEGIN
  expired := 0;
  more := false;
  -- A slice of those whose time is over. Most have started, or ended, long ago: they only leave their row here.
  SELECT array_agg(o.task), array_agg(o.ctid) INTO due, places FROM (
    SELECT e.ctid, e.task FROM expiries e WHERE e.expires_at <= clock() ORDER BY e.expires_at, e.task LIMIT most FOR UPDATE SKIP LOCKED) o;
  IF due IS NULL THEN
    RETURN;
  END IF;
  -- What a claim, or a person, has in its hands is left to it.
  SELECT array_agg(d.id), array_agg(d.tid) INTO ids, tids FROM (
    SELECT t.id, k.ctid AS tid
    FROM tasks t JOIN tickets k ON k.queue = t.queue AND k.bucket IN (t.priority / 25, -1) AND k.run_at = t.run_at AND k.id = t.id
    WHERE t.id = ANY (due) AND t.expires_at <= clock() AND t.attempt = 0 AND t.status IN ('pending', 'scheduled', 'retrying')
    FOR UPDATE OF k, t SKIP LOCKED) d;
  IF ids IS NOT NULL THEN
    DELETE FROM tickets k WHERE k.ctid = ANY (tids);
    PERFORM expire_claimed(ids);
    expired := cardinality(ids);
  END IF;
  -- A task that began and was given back has no row any more: its claim looks at the time.
  DELETE FROM expiries e WHERE e.ctid = ANY (places)
    AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = e.task AND t.status IN ('pending', 'scheduled', 'retrying') AND t.attempt = 0 AND t.expires_at <= clock());
  GET DIAGNOSTICS swept = ROW_COUNT;
  more := swept > 0 AND cardinality(due) = most;
END $$;

--
-- Name: FUNCTION expire_tasks(most integer, OUT expired integer, OUT more boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.expire_tasks(most integer, OUT expired integer, OUT more boolean) IS 'Private, for workers, in turn: looks at up to so many tasks whose time to start is over and cancels those that have not; tells how many, and
whether to go on. Any number may run at once. Locks their tickets, rows and rows of expiries (SKIP LOCKED).';

--
-- Name: extend_lock(text, bigint, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.extend_lock(name text, token bigint, ttl interval DEFAULT '00:00:30'::interval) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  until timestamptz;
BEGIN
  PERFORM lock_check(name, ttl);
  UPDATE locks l SET expires_at = greatest(l.expires_at, clock() + ttl)
  WHERE l.name = extend_lock.name AND l.token = extend_lock.token AND l.expires_at > clock() RETURNING l.expires_at INTO until;
  IF NOT FOUND THEN PERFORM lock_lost(name, token); END IF;
  RETURN until;
END $$;

--
-- Name: FUNCTION extend_lock(name text, token bigint, ttl interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.extend_lock(name text, token bigint, ttl interval) IS 'For the holder: the lock expires ttl (1 second to 1 day) from when this transaction began, if that is later than it was. Returns when. What has
expired cannot be extended, even if nobody has taken it. Anyone who may write locks may call it. Locks the lock''s row, but stands in the way of no
assert_lock(), nor that in its way. Errors: MR001 (lost), 22023, 55P03.';

--
-- Name: fail(uuid, bigint[], bigint[], text[], boolean[], interval[], boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.fail(worker uuid, ids bigint[], leases bigint[], messages text[], finals boolean[] DEFAULT NULL::boolean[], delays interval[] DEFAULT NULL::interval[], careful boolean DEFAULT false) RETURNS TABLE(id bigint, verdict text, status millrace.status, run_at timestamp with time zone)
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
  RETURN QUERY
  WITH mine AS MATERIALIZED (
    SELECT t.id, u.message, clock() + coalesce(u.delay, retry_delay(t.backoff, t.attempt)) AS next_at,
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
        run_at = CASE WHEN m.next = 'retrying' THEN m.next_at ELSE t.run_at END,
        finished_at = CASE WHEN m.next <> 'retrying' THEN clock() END,
        dead_at = CASE WHEN m.next = 'failed' THEN clock() END,
        errors = with_error(t.errors, t.attempt, fail.worker, m.message)
    FROM mine m WHERE t.id = ANY (ids) AND t.id = m.id
    RETURNING t.id, t.status, t.run_at, t.queue, t.priority, t.ctid),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, run_at, id, tid)
    SELECT f.queue, f.priority / 25, f.run_at, f.id, f.ctid FROM failed f WHERE f.status = 'retrying')
  SELECT f.id, NULL::text, f.status, f.run_at FROM failed f;
  IF EXISTS (SELECT FROM dead_queues d) THEN
    PERFORM forward_dead(ids);
  END IF;
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
  END IF;
  RETURN QUERY SELECT u.id, u.verdict, NULL::status, NULL::timestamptz FROM unsettled(fail.worker, ids, leases) u;
END $$;

--
-- Name: FUNCTION fail(worker uuid, ids bigint[], leases bigint[], messages text[], finals boolean[], delays interval[], careful boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.fail(worker uuid, ids bigint[], leases bigint[], messages text[], finals boolean[], delays interval[], careful boolean) IS 'For the worker that holds the leases: records a failed attempt of each task. It retries after delays (null: its retry policy), or
becomes a dead letter (status failed) when finals says so or its attempts are used up. Returns each task''s new status and run_at, and the
exceptions (see unsettled). Locks those tasks until commit. Errors: 55P03 a row is held, repeat with careful.';

--
-- Name: filter_fields(); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.filter_fields() RETURNS TABLE(field text, shape text, condition text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  VALUES ('ids', 'ids', 't.id = ANY (%L::bigint[])'),
         ('status', 'statuses', 't.status = ANY (%L::status[])'),
         ('kind', 'names', 't.kind = ANY (%L::text[])'),
         ('queue', 'names', 't.queue = ANY (%L::text[])'),
         ('correlation', 'name', 't.correlation = %L'),
         ('tenant', 'name', 't.tenant = %L'),
         ('tags', 'names', 't.tags @> %L::text[]'),
         ('created_from', 'time', 't.created_at >= %L::timestamptz'),
         ('created_until', 'time', 't.created_at < %L::timestamptz'),
         ('finished_from', 'time', 't.finished_at >= %L::timestamptz'),
         ('finished_until', 'time', 't.finished_at < %L::timestamptz'),
         ('dead_from', 'time', 't.dead_at >= %L::timestamptz'),
         ('dead_until', 'time', 't.dead_at < %L::timestamptz')
$$;

--
-- Name: FUNCTION filter_fields(); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.filter_fields() IS 'The fields of a filter: what each may be (name: a text; names, statuses, ids: one or several of them; time) and what it asks of a task. Of several
kinds, queues, statuses and ids one must fit, of tags all; from is inclusive, until is not. Anyone may call it; locks nothing.';

--
-- Name: filter_value(text, text, jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.filter_value(field text, shape text, given jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  several CONSTANT jsonb := CASE WHEN jsonb_typeof(given) = 'array' THEN given ELSE jsonb_build_array(given) END;
  wrong   text;
BEGIN
  IF shape IN ('name', 'time') AND jsonb_typeof(given) <> 'string' THEN
    PERFORM refuse(field, format('must be a text, not %s', jsonb_typeof(given)));
  END IF;
  IF shape = 'time' THEN
    BEGIN
      IF isfinite((given #>> '{}')::timestamptz) THEN
        RETURN (given #>> '{}')::timestamptz::text;
      END IF;
    EXCEPTION WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
      NULL;
    END;
    PERFORM refuse(field, format('is %s; allowed are times such as 2026-12-24T18:00:00Z', left(given::text, 64)));
  END IF;
  IF jsonb_array_length(several) NOT BETWEEN 1 AND 10000 THEN
    PERFORM refuse(field, format('has %s elements; allowed are 1 to 10000', jsonb_array_length(several)));
  END IF;
  SELECT e.value::text INTO wrong FROM jsonb_array_elements(several) e
  WHERE NOT CASE shape WHEN 'ids' THEN jsonb_typeof(e.value) = 'number' AND e.value::text ~ '^[0-9]{1,18}$'
                       WHEN 'statuses' THEN e.value #>> '{}' IN (SELECT s::text FROM unnest(enum_range(NULL::status)) s)
                       ELSE jsonb_typeof(e.value) = 'string' AND octet_length(e.value #>> '{}') BETWEEN 1 AND 128 END
  LIMIT 1;
  IF FOUND THEN
    PERFORM refuse(field, format('is %s; allowed are %s', left(wrong, 64), CASE shape WHEN 'ids' THEN 'ids of tasks'
      WHEN 'statuses' THEN (SELECT string_agg(s::text, ', ') FROM unnest(enum_range(NULL::status)) s) ELSE 'texts of 1 to 128 bytes' END));
  END IF;
  RETURN CASE shape WHEN 'name' THEN given #>> '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(several))::text END;
END $_$;

--
-- Name: FUNCTION filter_value(field text, shape text, given jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.filter_value(field text, shape text, given jsonb) IS 'Private: a field of a filter as the text of an SQL literal. Locks nothing. Errors: 22023.';

--
-- Name: fire_schedule(millrace.schedules); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.fire_schedule(due millrace.schedules) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  late   CONSTANT timestamptz := clock() - due.grace - due.jitter;
  before CONSTANT timestamptz := due.next_tick - interval '1 millisecond';
  ticks  timestamptz[] := '{}';
  next   timestamptz   := due.next_tick;
  missed timestamptz;
  fired  integer := 0;
  live   boolean;
BEGIN
  -- 1. Which ticks. Those later than grace were missed; the policy says which of them are made up for.
  IF next <= late THEN
    IF due.misfire <> 'skip' THEN
      ticks := latest_ticks(due, before, late, CASE due.misfire WHEN 'one' THEN 1 ELSE due.misfire_max END);
    END IF;
    missed := (latest_ticks(due, before, coalesce(ticks[1] - interval '1 millisecond', late), 1))[1];
    IF missed IS NOT NULL THEN
      INSERT INTO schedule_ticks (schedule, tick, outcome) VALUES (due.id, missed, 'missed') ON CONFLICT DO NOTHING;
    END IF;
    next := tick_after(due, coalesce(ticks[cardinality(ticks)], missed));
  END IF;
  WHILE tick_at(due, next) <= clock() AND cardinality(ticks) < 1000 LOOP
    ticks := ticks || next;
    next := tick_after(due, next);
  END LOOP;
  IF due.owed_tick IS NOT NULL THEN
    ticks := due.owed_tick || ticks;
    due.owed_tick := NULL;
  END IF;

  -- 2. Their tasks. Tick and task commit together, and the primary key refuses a tick that was fired before.
  FOR i IN 1..cardinality(ticks) LOOP
    live := due.exclusive <> 'no' AND EXISTS (
      SELECT FROM tasks t WHERE t.id = due.last_task AND t.status NOT IN ('completed', 'failed', 'cancelled'));
    IF live AND due.exclusive = 'queue' THEN
      -- At most one waits; a later one takes its place.
      IF due.owed_tick IS NOT NULL THEN
        INSERT INTO schedule_ticks (schedule, tick, outcome) VALUES (due.id, due.owed_tick, 'replaced') ON CONFLICT DO NOTHING;
      END IF;
      due.owed_tick := ticks[i];
      CONTINUE;
    END IF;
    INSERT INTO schedule_ticks (schedule, tick, outcome)
    VALUES (due.id, ticks[i], CASE WHEN live THEN 'held' ELSE 'enqueued' END) ON CONFLICT DO NOTHING;
    IF FOUND AND NOT live THEN
      due.last_task := enqueue_tick(due, ticks[i]);
      due.last_tick := ticks[i];
      UPDATE schedule_ticks k SET task = due.last_task WHERE k.schedule = due.id AND k.tick = ticks[i];
      fired := fired + 1;
    END IF;
  END LOOP;

  UPDATE schedules s
  SET next_tick = next, owed_tick = due.owed_tick, last_tick = due.last_tick, last_task = due.last_task, problem = NULL,
      next_at = least(tick_at(due, next), CASE WHEN due.owed_tick IS NOT NULL THEN clock() + interval '500 milliseconds' END)
  WHERE s.id = due.id;
  -- Now and then, so that it costs next to nothing.
  IF random() < 0.02 THEN
    PERFORM tidy_ticks(due.id);
  END IF;
  RETURN fired;
END $$;

--
-- Name: FUNCTION fire_schedule(due millrace.schedules); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.fire_schedule(due millrace.schedules) IS 'Private: fires the due ticks of a schedule whose row the caller has locked, and sets its next; returns how many tasks it added. Errors: those of enqueue().';

--
-- Name: fire_schedules(integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.fire_schedules(most integer DEFAULT 50) RETURNS TABLE(fired integer, next_in_ms double precision)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
  due schedules;
BEGIN
  fired := 0;
  FOR due IN
    SELECT * FROM schedules s WHERE s.next_at <= clock() ORDER BY s.next_at LIMIT most FOR UPDATE SKIP LOCKED
  LOOP
    BEGIN
      fired := fired + fire_schedule(due);
    EXCEPTION WHEN OTHERS THEN
      -- What passes (a deadlock, a lock, a shutdown) is the worker's to repeat.
      IF SQLSTATE ~ '^(40|53|55|57|58)' THEN
        RAISE;
      END IF;
      -- One bad schedule must not stop the others. Its tick stays, to be fired once it is mended.
      UPDATE schedules s SET problem = left(SQLERRM, 4096), next_at = clock() + interval '1 minute' WHERE s.id = due.id;
    END;
  END LOOP;
  SELECT greatest(0, extract(epoch FROM s.next_at - clock()) * 1000)::double precision INTO next_in_ms
  FROM schedules s WHERE s.next_at IS NOT NULL ORDER BY s.next_at LIMIT 1;
  RETURN NEXT;
END $$;

--
-- Name: FUNCTION fire_schedules(most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.fire_schedules(most integer) IS 'Private, for workers: fires up to so many due schedules, those that no other worker has in hand, each in a subtransaction of its own. Returns how many tasks
it added and in how many milliseconds the next schedule is due (null: none is). Locks those schedules'' rows (SKIP LOCKED). READ COMMITTED and one call per transaction.';

--
-- Name: forget_kind(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.forget_kind(kind text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
  DELETE FROM kinds k WHERE k.kind = forget_kind.kind;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('no worker declared a kind "%s"', left(forget_kind.kind, 128));
  END IF;
END $$;

--
-- Name: FUNCTION forget_kind(kind text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.forget_kind(kind text) IS 'Forgets what workers declared of a kind; its tasks stay. The next worker that handles it declares it again. Anyone who may write kinds may call it. Locks its row. Errors: MR002, 55P03.';

--
-- Name: forget_tasks(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.forget_tasks(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
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

--
-- Name: FUNCTION forget_tasks(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.forget_tasks(ids bigint[]) IS 'Private: deletes tasks that the caller has locked, their tickets being gone, and every row that hangs on them. Keys are left: one that holds for a time holds for
it whatever becomes of its task, and the others are tidied away. Locks those rows.';

--
-- Name: forward_dead(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

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
  -- Those that this transaction made dead letters. A settlement that is repeated changes nothing, and forwards nothing.
  WITH due AS MATERIALIZED (
    SELECT t.*, dead_target(t) AS target FROM tasks t
    WHERE t.id = ANY (ids) AND t.status = 'failed' AND t.dead_at = clock()
      AND NOT EXISTS (SELECT FROM tasks f WHERE f.id = t.forwarded_to AND f.created_at = clock())
    ORDER BY t.id),
  made AS (
    INSERT INTO tasks (kind, queue, priority, max_attempts, timeout, backoff, args, correlation, tenant, tags, metadata, traceparent, forwarded_from)
    SELECT u.kind, u.target, u.priority, u.max_attempts, u.timeout, u.backoff, u.args, u.correlation, u.tenant,
           CASE WHEN u.tags IS NOT NULL THEN u.tags || '{}'::text[] END, u.metadata, u.traceparent, u.id FROM due u WHERE u.target IS NOT NULL
    RETURNING id, ctid, queue, priority, run_at, forwarded_from),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, run_at, id, tid) SELECT m.queue, m.priority / 25, m.run_at, m.id, m.ctid FROM made m),
  linked AS (
    UPDATE tasks t SET forwarded_to = m.id FROM made m WHERE t.id = ANY (ids) AND t.id = m.forwarded_from)
  SELECT array_agg(DISTINCT m.queue) INTO targets FROM made m;
  PERFORM wake(q.target) FROM unnest(targets) AS q (target);
END $$;

--
-- Name: FUNCTION forward_dead(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.forward_dead(ids bigint[]) IS 'Private: forwards those of these tasks that became dead letters in this transaction, if their kind or queue has a dead-letter queue. The caller has locked their rows. Locks nothing else but its new rows.';

--
-- Name: give_back(bigint, boolean, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.give_back(lease_id bigint, began boolean, alone boolean) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
DECLARE
  lease leases;
  moved integer;
BEGIN
  SELECT * INTO lease FROM leases l WHERE l.id = lease_id;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  -- Tasks that somebody holds are stepped over: the lease then stays, and the next cycle meets them again.
  PERFORM FROM tasks t WHERE t.id = ANY (lease.task_ids) AND t.lease = lease_id AND t.status = 'running' ORDER BY t.id FOR UPDATE SKIP LOCKED;
  WITH mine AS MATERIALIZED (
    SELECT t.id,
           CASE WHEN EXISTS (SELECT FROM cancel_requests c WHERE c.task = t.id) THEN 'cancelled'
                WHEN began AND alone AND t.attempt >= t.max_attempts THEN 'failed'
                WHEN began OR t.attempt > 1 THEN 'retrying'
                ELSE 'pending' END::status AS next
    FROM tasks t WHERE t.id = ANY (lease.task_ids) AND t.lease = lease_id AND t.status = 'running'
    ORDER BY t.id FOR UPDATE SKIP LOCKED),
  given AS (
    UPDATE tasks t
    SET status = m.next,
        -- A settlement that comes after all is told that the lease was lost, also before anybody claims the task again.
        lease = NULL,
        -- Only a death while running alone uses up the last attempt.
        attempt = CASE WHEN NOT began THEN greatest(t.attempt - 1, 0)
                       WHEN m.next = 'retrying' THEN least(t.attempt, t.max_attempts - 1)
                       ELSE t.attempt END,
        finished_at = CASE WHEN m.next IN ('failed', 'cancelled') THEN clock() END,
        dead_at = CASE WHEN m.next = 'failed' THEN clock() END,
        errors = CASE WHEN began THEN with_error(t.errors, t.attempt, t.worker,
                                        'the worker died while it ran this task ' || CASE WHEN alone THEN 'alone' ELSE 'beside others' END)
                      ELSE t.errors END
    FROM mine m WHERE t.id = ANY (lease.task_ids) AND t.id = m.id
    RETURNING t.id, t.status, t.run_at, t.queue, t.priority, t.ctid),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, run_at, id, tid)
    SELECT g.queue, CASE WHEN began THEN -1 ELSE g.priority / 25 END, g.run_at, g.id, g.ctid
    FROM given g WHERE g.status IN ('pending', 'retrying'))
  SELECT count(*) INTO moved FROM given;
  IF EXISTS (SELECT FROM dead_queues d) THEN
    PERFORM forward_dead(lease.task_ids);
  END IF;
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(lease.task_ids);
  END IF;
  DELETE FROM leases l WHERE l.id = lease_id
    AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = ANY (lease.task_ids) AND t.lease = lease_id AND t.status = 'running');
  RETURN moved;
END $$;

--
-- Name: FUNCTION give_back(lease_id bigint, began boolean, alone boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.give_back(lease_id bigint, began boolean, alone boolean) IS 'Private: makes the running tasks of a lease claimable again and drops the lease once none runs. began: the tasks may have begun, so the
attempt counts and they go to the lane of suspects; alone: the worker ran nothing else, so a last attempt is used up. Returns how many tasks
moved. Locks those tasks (held ones are stepped over), then the lease.';

--
-- Name: heartbeat(uuid, bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.heartbeat(worker uuid, named bigint[]) RETURNS TABLE(registered boolean, lost bigint[], cancelled bigint[], suspects text[])
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
  me    workers;
  stray bigint;
BEGIN
  UPDATE workers w SET seen_at = clock(), ran_at_death = NULL WHERE w.id = heartbeat.worker RETURNING * INTO me;
  IF NOT FOUND THEN
    RETURN QUERY SELECT false, named, '{}'::bigint[], '{}'::text[];
    RETURN;
  END IF;
  -- A lease that its worker does not know: the answer of its claim was lost, so its tasks never began.
  FOR stray IN
    SELECT l.id FROM leases l
    WHERE l.worker = heartbeat.worker AND l.claimed_at < clock() - me.lease_ttl AND l.id <> ALL (named) ORDER BY l.id
  LOOP
    PERFORM give_back(stray, began => false, alone => false);
  END LOOP;
  RETURN QUERY SELECT true,
    ARRAY(SELECT n.id FROM unnest(named) AS n (id) WHERE NOT EXISTS (SELECT FROM leases l WHERE l.id = n.id)),
    cancellations(heartbeat.worker),
    ARRAY(SELECT q.name FROM unnest(me.queues) AS q (name)
          WHERE EXISTS (SELECT FROM tickets k WHERE k.queue = q.name AND k.bucket = -1 AND k.run_at <= clock()));
END $$;

--
-- Name: FUNCTION heartbeat(worker uuid, named bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.heartbeat(worker uuid, named bigint[]) IS 'Private, for workers: keeps a worker present. named are the leases it knows; its own leases older than lease_ttl that it does not name are given back.
Returns whether it is still registered (if not, all its leases are lost: register again), which named leases are gone, which of its running tasks somebody
asked to cancel, and which of its queues have suspects waiting. Locks the worker''s row, then what it gives back.';

--
-- Name: holder_of(text, text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION holder_of(kind text, scope text, key text, OUT task bigint, OUT status millrace.status); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.holder_of(kind text, scope text, key text, OUT task bigint, OUT status millrace.status) IS 'Private: the task that a key leads to, if it holds, and its status (null if its row is gone). Locks nothing.';

--
-- Name: identity_of(text, text[], jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION identity_of(unique_key text, unique_by text[], args jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.identity_of(unique_key text, unique_by text[], args jsonb) IS 'Private: the key that tells the same from another: the text itself, or a hash of the chosen args. Locks nothing.';

--
-- Name: task_keys; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.task_keys (
    kind text NOT NULL,
    scope text NOT NULL,
    key text NOT NULL,
    task bigint NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT task_keys_scope_check CHECK ((scope = ANY (ARRAY['key'::text, 'unique'::text, 'throttle'::text, 'debounce'::text])))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

--
-- Name: TABLE task_keys; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.task_keys IS 'Private. Which task a key leads to. One that no longer holds (key_holds) is taken by the next enqueue, or tidied away.';

--
-- Name: COLUMN task_keys.scope; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.task_keys.scope IS 'key: idempotency key; unique, throttle, debounce: of an identity given as text, or by chosen args.';

--
-- Name: COLUMN task_keys.until; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.task_keys.until IS 'Holds until then, whatever becomes of its task; -infinity: while its task is live.';

--
-- Name: key_holds(millrace.task_keys); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.key_holds(held millrace.task_keys) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
  SELECT CASE held.scope
    WHEN 'debounce' THEN EXISTS (
      SELECT FROM tasks t WHERE t.id = held.task AND t.status IN ('pending', 'scheduled') AND t.attempt = 0 AND (t.expires_at <= clock()) IS NOT TRUE)
    WHEN 'unique' THEN held.until > clock() OR EXISTS (
      SELECT FROM tasks t WHERE t.id = held.task AND t.status NOT IN ('completed', 'failed', 'cancelled')
        AND (t.expires_at <= clock() AND t.attempt = 0) IS NOT TRUE)
    ELSE held.until > clock() END
$$;

--
-- Name: FUNCTION key_holds(held millrace.task_keys); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.key_holds(held millrace.task_keys) IS 'Private: whether a key leads to a task that counts. After waiting for the key''s row, ask in a statement of its own: only that sees the task as it is then. Locks nothing.';

--
-- Name: keys_check(text, interval, text, text[], interval, interval, interval, interval, boolean, timestamp with time zone, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.keys_check(key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, run_at timestamp with time zone, delay interval) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one record;
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
  FOR one IN
    SELECT * FROM (VALUES ('key_for', key_for, interval '3650 days'), ('unique_for', unique_for, interval '3650 days'), ('debounce', debounce, interval '30 days'),
                          ('debounce_max', debounce_max, interval '365 days'), ('throttle', throttle, interval '3650 days')) AS v (name, given, most)
  LOOP
    IF one.given NOT BETWEEN interval '1 millisecond' AND one.most THEN
      PERFORM refuse(one.name, format('is %s; allowed is 1 millisecond to %s', one.given, one.most));
    END IF;
  END LOOP;
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

--
-- Name: FUNCTION keys_check(key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, run_at timestamp with time zone, delay interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.keys_check(key text, key_for interval, unique_key text, unique_by text[], unique_for interval, debounce interval, debounce_max interval, throttle interval, replace boolean, run_at timestamp with time zone, delay interval) IS 'Private. Refuses (22023) keys of an enqueue that are out of range, or cannot be given together. Locks nothing.';

--
-- Name: latest_ticks(millrace.schedules, timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.latest_ticks(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS timestamp with time zone[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  span   interval := interval '1 second';
  few    timestamptz := until;         -- since here there are not more than most
  many   timestamptz;                  -- since here there are more
  kept   timestamptz[] := '{}';
  ticks  timestamptz[];
BEGIN
  -- A rule of every second may have been asleep for years, so ticks are not walked over one by one: windows that
  -- double find a start with too many, and halving finds the one with just enough. No two ticks share a second.
  LOOP
    many := greatest(since, until - span);
    ticks := ticks_within(schedule, many, until, most + 1);
    EXIT WHEN cardinality(ticks) > most;
    IF many <= since OR cardinality(ticks) = most THEN
      RETURN ticks;
    END IF;
    kept := ticks;
    few := many;
    span := span * 2;
  END LOOP;
  WHILE few - many > interval '250 milliseconds' LOOP
    ticks := ticks_within(schedule, many + (few - many) / 2, until, most + 1);
    IF cardinality(ticks) > most THEN
      many := many + (few - many) / 2;
    ELSE
      kept := ticks;
      few := many + (few - many) / 2;
      EXIT WHEN cardinality(kept) = most;
    END IF;
  END LOOP;
  RETURN kept;
END $$;

--
-- Name: FUNCTION latest_ticks(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.latest_ticks(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) IS 'Private: the last ticks of a schedule after since and not after until, at most so many, oldest first. Locks nothing.';

--
-- Name: left_over(bigint[], text); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION left_over(candidates bigint[], conditions text, OUT running bigint, OUT held bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.left_over(candidates bigint[], conditions text, OUT running bigint, OUT held bigint) IS 'Private: how many of the tasks that a batch left alone still fit, and run or not. Locks nothing.';

--
-- Name: list_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.list_tasks(filter jsonb DEFAULT '{}'::jsonb, most integer DEFAULT 50, before bigint DEFAULT NULL::bigint) RETURNS SETOF millrace.tasks
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  PERFORM page_check(most, 1000);
  IF filter ? 'tags' THEN
    PERFORM set_config('enable_bitmapscan', 'on', true);
  END IF;
  RETURN QUERY EXECUTE task_query(filter, 't.*', true, before, most);
END $$;

--
-- Name: FUNCTION list_tasks(filter jsonb, most integer, before bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.list_tasks(filter jsonb, most integer, before bigint) IS 'A page of the tasks that fit a filter (filter_fields()), newest first: at most so many (1 to 1000), with ids below before, which is the last id of the page before.
It reads what is live for live statuses, the dead letters for failed or dead_from and dead_until, and otherwise walks the primary key (or the index of correlation, tenant
or tags) from the newest task backwards until the page is full: the whole history if what is asked for is rare. Anyone who may read may call it; locks nothing. Errors: 22023.';

--
-- Name: lock_check(text, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.lock_check(name text, ttl interval DEFAULT '00:01:00'::interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF name IS NULL THEN PERFORM refuse('name', 'must not be null'); END IF;
  IF octet_length(name) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('name', format('has %s bytes; allowed is 1 to 128', octet_length(name)));
  END IF;
  IF ttl IS NULL THEN PERFORM refuse('ttl', 'must not be null'); END IF;
  IF ttl NOT BETWEEN interval '1 second' AND interval '1 day' THEN
    PERFORM refuse('ttl', format('is %s; allowed is 1 second to 1 day', ttl));
  END IF;
END $$;

--
-- Name: FUNCTION lock_check(name text, ttl interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.lock_check(name text, ttl interval) IS 'Private: refuses a name or a ttl that is out of range. Locks nothing. Errors: 22023.';

--
-- Name: locks; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.locks (
    name text NOT NULL,
    token bigint NOT NULL,
    owner text NOT NULL,
    acquired_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

--
-- Name: TABLE locks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.locks IS 'Private. One row per lock that is held, or has expired and not been tidied away. Look at held_locks; change it with acquire_lock() and the like.';

--
-- Name: COLUMN locks.token; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.locks.token IS 'From one sequence, taken while the row is locked, so that the tokens of a name only grow, also when its row is removed and made anew.';

--
-- Name: held_locks; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.held_locks AS
 SELECT l.name,
    l.owner,
    l.token,
    l.acquired_at,
    l.expires_at
   FROM millrace.locks l
  WHERE (l.expires_at > millrace.clock());

--
-- Name: VIEW held_locks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.held_locks IS 'The locks that are held now: by whom, with which token, since when, and when they expire unless they are extended.';

--
-- Name: lock_holder(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.lock_holder(name text) RETURNS SETOF millrace.held_locks
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM lock_check(name);
  RETURN QUERY SELECT h.* FROM held_locks h WHERE h.name = lock_holder.name;
END $$;

--
-- Name: FUNCTION lock_holder(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.lock_holder(name text) IS 'Who holds this lock: one row of held_locks, or none. It may have changed by the time that you read it. Anyone who may read locks may call it; locks nothing. Errors: 22023.';

--
-- Name: lock_lost(text, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.lock_lost(name text, token bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  now_held held_locks;
BEGIN
  SELECT h.* INTO now_held FROM held_locks h WHERE h.name = lock_lost.name;
  RAISE EXCEPTION USING ERRCODE = 'MR001',
    MESSAGE = format('lock "%s" is not held with token %s (any more): %s', name, coalesce(token::text, 'null'),
                     CASE WHEN now_held.name IS NULL THEN 'nobody holds it'
                          ELSE format('%s holds it with token %s', now_held.owner, now_held.token) END),
    HINT = 'It expired, was released, or was taken over: roll back what was done under it.';
END $$;

--
-- Name: FUNCTION lock_lost(name text, token bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.lock_lost(name text, token bigint) IS 'Private: raises MR001 and says who holds the lock now. Locks nothing.';

--
-- Name: mend(); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.mend() RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  found  record;
  mended integer := 0;
  more   integer;
BEGIN
  -- What the dead left is rescued as a worker would: their leases are gone afterwards.
  SELECT count(*) INTO mended FROM doctor() d WHERE d.problem = 'lease without a live worker';
  IF mended > 0 THEN
    PERFORM rescue();
    SELECT mended - count(*) INTO mended FROM doctor() d WHERE d.problem = 'lease without a live worker';
  END IF;
  -- Against enqueues, claims and settlements only this order is safe: look, lock the task, look again.
  FOR found IN SELECT d.problem, d.task FROM doctor() d WHERE d.task IS NOT NULL ORDER BY d.task LOOP
    PERFORM FROM tasks t WHERE t.id = found.task FOR UPDATE;
    more := 0;
    IF found.problem = 'task without a ticket' THEN
      INSERT INTO tickets (queue, bucket, run_at, id, tid)
      SELECT t.queue, t.priority / 25, t.run_at, t.id, t.ctid FROM tasks t
      WHERE t.id = found.task AND t.status IN ('pending', 'scheduled', 'retrying') AND NOT EXISTS (SELECT FROM tickets k WHERE k.id = t.id);
      GET DIAGNOSTICS more = ROW_COUNT;
    ELSIF found.problem = 'task with several tickets' THEN
      DELETE FROM tickets k WHERE k.ctid IN (SELECT o.ctid FROM tickets o WHERE o.id = found.task ORDER BY o.run_at OFFSET 1 FOR UPDATE SKIP LOCKED);
      GET DIAGNOSTICS more = ROW_COUNT;
    ELSIF found.problem = 'ticket without a task to run' THEN
      DELETE FROM tickets k WHERE k.ctid IN (
        SELECT o.ctid FROM tickets o WHERE o.id = found.task
          AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = o.id AND t.status IN ('pending', 'scheduled', 'retrying')) FOR UPDATE SKIP LOCKED);
      GET DIAGNOSTICS more = ROW_COUNT;
    ELSIF found.problem = 'running task outside any lease' THEN
      UPDATE tasks t SET status = 'retrying', lease = NULL, attempt = least(t.attempt, t.max_attempts - 1), run_at = clock()
      WHERE t.id = found.task AND t.status = 'running' AND NOT EXISTS (SELECT FROM leases l WHERE l.id = t.lease AND t.id = ANY (l.task_ids));
      GET DIAGNOSTICS more = ROW_COUNT;
      IF more > 0 THEN
        INSERT INTO tickets (queue, bucket, run_at, id, tid)
        SELECT t.queue, t.priority / 25, t.run_at, t.id, t.ctid FROM tasks t WHERE t.id = found.task;
      END IF;
    END IF;
    mended := mended + more;
  END LOOP;
  RETURN mended;
END $$;

--
-- Name: FUNCTION mend(); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.mend() IS 'Mends what doctor() finds; for the dead it does what rescue() does. Returns how many problems it mended. For people, rarely: it reads the whole tasks table. Locks dead workers'' rows, and the tasks it mends. Errors: 55P03.';

--
-- Name: move_task(bigint, text, integer, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.move_task(id bigint, verb text, priority integer, run_at timestamp with time zone) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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
    INSERT INTO tickets (queue, bucket, run_at, id, tid) VALUES (moved.queue, coalesce(lane, moved.priority / 25), moved.run_at, moved.id, hint);
    PERFORM wake(moved.queue, moved.run_at);
    RETURN moved.status;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = format('task %s changes too fast to be %s; try again', move_task.id, verb);
END $$;

--
-- Name: FUNCTION move_task(id bigint, verb text, priority integer, run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.move_task(id bigint, verb text, priority integer, run_at timestamp with time zone) IS 'Private: gives a task that waits for its run another priority or time, null leaving it, and a new ticket. Waits for a claim that is taking it. Locks its ticket, then its row. Errors: MR002, MR003, 55P03.';

--
-- Name: move_tasks(text, jsonb, integer, bigint, integer, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.move_tasks(action text, filter jsonb, most integer, after bigint, new_priority integer, new_time timestamp with time zone) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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
    WHERE t.id = ANY (taken.ids) RETURNING t.queue, t.priority, t.run_at, t.id, t.ctid)
  INSERT INTO tickets (queue, bucket, run_at, id, tid)
  SELECT m.queue, CASE WHEN m.id = ANY (taken.suspects) THEN -1 ELSE m.priority / 25 END, m.run_at, m.id, m.ctid FROM moved m;
  PERFORM wake(q.queue, q.due) FROM (SELECT t.queue, min(t.run_at) AS due FROM tasks t WHERE t.id = ANY (taken.ids) GROUP BY t.queue) q;
  answer.done := cardinality(taken.ids);
  answer.asked := 0;
  SELECT l.running, l.held INTO answer.running, answer.held FROM left_over(without(batch.ids, taken.ids), batch.conditions) l;
  answer.refused := 0;
  answer.next := batch.next;
  RETURN answer;
END $$;

--
-- Name: FUNCTION move_tasks(action text, filter jsonb, most integer, after bigint, new_priority integer, new_time timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.move_tasks(action text, filter jsonb, most integer, after bigint, new_priority integer, new_time timestamp with time zone) IS 'Private: gives a batch of the tasks that fit another priority or time, null leaving it, and new tickets; wakes their queues. Locks their tickets and rows (SKIP LOCKED). Errors: 22023.';

--
-- Name: next_bit(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.next_bit(mask bigint, at integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE WHEN at < 63 AND mask >> at <> 0 THEN at + round(ln(((mask >> at) & -(mask >> at))::float8) / ln(2::float8))::integer END
$$;

--
-- Name: FUNCTION next_bit(mask bigint, at integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.next_bit(mask bigint, at integer) IS 'Private: the first bit of a mask that is set, not before this one, or null. Locks nothing.';

--
-- Name: next_day(jsonb, date); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.next_day(plan jsonb, since date) RETURNS date
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  months  CONSTANT bigint  := (plan->>'mon')::bigint;
  any_day CONSTANT boolean := (plan->>'any_day')::boolean;
  any_dow CONSTANT boolean := (plan->>'any_dow')::boolean;
  days    CONSTANT bigint  := (plan->>'dom')::bigint;
  near    CONSTANT bigint  := (plan->>'near')::bigint;
  last    CONSTANT boolean := (plan->>'last')::boolean;
  last_w  CONSTANT boolean := (plan->>'last_w')::boolean;
  week    CONSTANT bigint  := (plan->>'dow')::bigint;
  nth     CONSTANT bigint  := (plan->>'nth')::bigint;
  final   CONSTANT bigint  := (plan->>'final')::bigint;
  day     date    := since;
  until   date    := least(since + 36600, date '9999-12-31');
  ends    date;    -- the month's last day
  n       integer; -- day of month
  w       integer; -- weekday, 0 is Sunday
  by_day  boolean;
  by_dow  boolean;
BEGIN
  WHILE day <= until LOOP
    IF (months >> extract(month FROM day)::integer) & 1 = 0 THEN
      day := (date_trunc('month', day) + interval '1 month')::date;
      CONTINUE;
    END IF;
    IF any_day AND any_dow THEN
      RETURN day;
    END IF;
    n := extract(day FROM day)::integer;
    w := extract(dow FROM day)::integer;
    ends := (date_trunc('month', day) + interval '1 month - 1 day')::date;
    by_day := NOT any_day AND (
      (days >> n) & 1 = 1
      OR (last AND day = ends)
      OR (last_w AND w BETWEEN 1 AND 5 AND (day = ends OR (w = 5 AND ends - day <= 2)))
      OR (near <> 0 AND w BETWEEN 1 AND 5 AND (
            (near >> n) & 1 = 1
            OR (w = 1 AND n > 1 AND (near >> (n - 1)) & 1 = 1)           -- the Sunday before
            OR (w = 1 AND n = 3 AND (near >> 1) & 1 = 1)                 -- Saturday the 1st: not into the month before
            OR (w = 5 AND day < ends AND (near >> (n + 1)) & 1 = 1)      -- the Saturday after
            OR (w = 5 AND ends - day = 2 AND (near >> (n + 2)) & 1 = 1)))); -- Sunday the last: not into the next month
    by_dow := NOT any_dow AND (
      (week >> w) & 1 = 1
      OR (nth >> (w * 5 + (n - 1) / 7)) & 1 = 1
      OR ((final >> w) & 1 = 1 AND ends - day < 7));
    -- Where both are restricted, either will do: the rule of Vixie's cron.
    IF by_day OR by_dow THEN
      RETURN day;
    END IF;
    day := day + 1;
  END LOOP;
  RETURN NULL;
END $$;

--
-- Name: FUNCTION next_day(plan jsonb, since date); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.next_day(plan jsonb, since date) IS 'Private: the first day of a cron plan not before this one, within a hundred years, or null. Locks nothing.';

--
-- Name: next_tick(text, text, timestamp with time zone, text, text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.next_tick(rule text, zone text, after timestamp with time zone, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);
  PERFORM since_check('after', after);
  PERFORM since_check('anchor', coalesce(anchor, after));
  RETURN next_tick_of(rule_parse(rule), zone, after, gap, fold, anchor);
END $$;

--
-- Name: FUNCTION next_tick(rule text, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.next_tick(rule text, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone) IS 'The first tick of a rule strictly after a time, or null if there is none within a hundred years. gap and fold say what becomes of local times that a change of
clocks leaves out (skip; shift: moved by the gap''s length) or repeats (first, last, both); they apply where the hour field names hours: with *, */n or all hours a
rule runs through every change. anchor is where intervals count from (default: 1970-01-01 UTC). Anyone may call it; locks nothing. Errors: 22023.';

--
-- Name: next_tick_of(jsonb, text, timestamp with time zone, text, text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.next_tick_of(plan jsonb, zone text, after timestamp with time zone, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  since  timestamptz := date_trunc('second', after, 'UTC') + interval '1 second';
  every  CONSTANT numeric := (plan->>'every')::numeric;
  free   CONSTANT boolean := (plan->>'free')::boolean;
  base   CONSTANT timestamptz := coalesce(anchor, timestamptz 'epoch');
  day    date;
  opens  timestamp;   -- the local day's limits
  shuts  timestamp;
  before interval;    -- how far the clocks are ahead, before and after a change near this day
  behind interval;
  change timestamp;   -- the change, in UTC
  best   timestamptz;
  again  boolean := false;
BEGIN
  IF every IS NOT NULL THEN
    RETURN base + make_interval(secs => (every * (floor(extract(epoch FROM after - base) / every) + 1))::float8);
  END IF;
  day := (after AT TIME ZONE zone)::date;
  -- After a change of clocks, times of the day before may have moved into this one.
  IF zone_offset(zone, after - interval '2 days') <> zone_offset(zone, after + interval '2 days') THEN
    day := day - 2;
  END IF;
  LOOP
    day := next_day(plan, day);
    IF day IS NULL THEN
      RETURN best;
    END IF;
    opens := day;
    shuts := opens + interval '1 day';
    -- No zone is further than 16 hours from UTC.
    before := zone_offset(zone, (opens - interval '16 hours') AT TIME ZONE 'UTC');
    behind := zone_offset(zone, (shuts + interval '16 hours') AT TIME ZONE 'UTC');
    IF before = behind THEN
      best := least(best, tick_between(plan, since, opens, shuts, before));
    ELSE
      change := clock_change(zone, (opens - interval '16 hours') AT TIME ZONE 'UTC', (shuts + interval '16 hours') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
      -- Local times before the change, and those after it. In a fold some are in both; in a gap some are in neither.
      best := least(best,
        tick_between(plan, since, opens, least(shuts, change + CASE WHEN fold = 'last' AND NOT free THEN least(before, behind) ELSE before END), before),
        tick_between(plan, since, greatest(opens, change + CASE WHEN fold = 'first' AND NOT free THEN greatest(before, behind) ELSE behind END), shuts, behind),
        -- Times within a gap, moved by its length: as if the clocks had not changed yet.
        CASE WHEN gap = 'shift' AND NOT free THEN
          tick_between(plan, since, greatest(opens, change + before), least(shuts, change + behind), before) END);
    END IF;
    IF best IS NOT NULL AND (again OR before = behind) THEN
      RETURN best;
    END IF;
    -- What was moved over midnight may be later than the first tick of the next day.
    again := best IS NOT NULL;
    day := day + 1;
  END LOOP;
END $$;

--
-- Name: FUNCTION next_tick_of(plan jsonb, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.next_tick_of(plan jsonb, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone) IS 'Private: next_tick() of a rule that was parsed already. Locks nothing.';

--
-- Name: next_time(jsonb, timestamp without time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.next_time(plan jsonb, at timestamp without time zone) RETURNS timestamp without time zone
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  seconds CONSTANT bigint  := (plan->>'s')::bigint;
  minutes CONSTANT bigint  := (plan->>'m')::bigint;
  hours   CONSTANT bigint  := (plan->>'h')::bigint;
  h integer := extract(hour FROM at)::integer;
  m integer := extract(minute FROM at)::integer;
  s integer := next_bit(seconds, extract(second FROM at)::integer);
BEGIN
  IF (hours >> h) & 1 = 0 OR (minutes >> m) & 1 = 0 OR s IS NULL THEN
    s := next_bit(seconds, 0);
    m := CASE WHEN (hours >> h) & 1 = 1 THEN next_bit(minutes, m + CASE WHEN (minutes >> m) & 1 = 1 THEN 1 ELSE 0 END) END;
    IF m IS NULL THEN
      m := next_bit(minutes, 0);
      h := next_bit(hours, h + CASE WHEN (hours >> h) & 1 = 1 THEN 1 ELSE 0 END);
      IF h IS NULL THEN
        RETURN NULL;
      END IF;
    END IF;
  END IF;
  RETURN date_trunc('day', at) + make_interval(hours => h, mins => m, secs => s);
END $$;

--
-- Name: FUNCTION next_time(plan jsonb, at timestamp without time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.next_time(plan jsonb, at timestamp without time zone) IS 'Private: the first time of a cron plan on the day of a whole second, not before it, or null. Locks nothing.';

--
-- Name: options_check(text, text, integer, timestamp with time zone, interval, integer, jsonb, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.options_check(kind text, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF kind IS NULL OR octet_length(kind) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('kind', format('has %s bytes; allowed are 1 to 128', coalesce(octet_length(kind)::text, 'no')));
  END IF;
  IF octet_length(queue) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('queue', format('has %s bytes; allowed are 1 to 128', octet_length(queue)));
  END IF;
  IF priority NOT BETWEEN 0 AND 100 THEN
    PERFORM refuse('priority', format('is %s; allowed is 0 to 100', priority));
  END IF;
  IF max_attempts NOT BETWEEN 1 AND 1000 THEN
    PERFORM refuse('max_attempts', format('is %s; allowed is 1 to 1000', max_attempts));
  END IF;
  IF delay IS NOT NULL THEN
    IF run_at IS NOT NULL THEN
      PERFORM refuse('delay', 'cannot be given together with run_at');
    END IF;
    IF delay NOT BETWEEN interval '0' AND interval '100 years' THEN
      PERFORM refuse('delay', format('is %s; allowed is 0 to 100 years', delay));
    END IF;
  ELSIF run_at IS NOT NULL AND NOT (run_at >= timestamptz '1970-01-01 00:00+00' AND run_at < timestamptz '10000-01-01 00:00+00') THEN
    PERFORM refuse('run_at', format('is %s; allowed are the years 1970 to 9999', run_at));
  END IF;
  IF timeout IS NOT NULL AND timeout NOT BETWEEN interval '1 millisecond' AND interval '365 days' THEN
    PERFORM refuse('timeout', format('is %s; allowed is 1 millisecond to 365 days', timeout));
  END IF;
  IF backoff IS NOT NULL THEN
    PERFORM backoff_check(backoff);
  END IF;
END $$;

--
-- Name: FUNCTION options_check(kind text, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.options_check(kind text, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval) IS 'Private. Refuses (22023) options of an enqueue that are out of range. Locks nothing.';

--
-- Name: page_check(integer, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.page_check(most integer, allowed integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF (most BETWEEN 1 AND allowed) IS NOT TRUE THEN
    PERFORM refuse('most', format('is %s; allowed is 1 to %s', coalesce(most::text, 'null'), allowed));
  END IF;
END $$;

--
-- Name: FUNCTION page_check(most integer, allowed integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.page_check(most integer, allowed integer) IS 'Private. Refuses (22023) a number of tasks that is out of range. Locks nothing.';

--
-- Name: parse_filter(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.parse_filter(filter jsonb, OUT conditions text, OUT road text) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one      record;
  given    jsonb := '{}';
  statuses status[];
BEGIN
  IF filter IS NULL OR jsonb_typeof(filter) <> 'object' THEN
    PERFORM refuse('filter', format('must be a JSON object such as {"kind": "email", "status": "failed"}, not %s', coalesce(jsonb_typeof(filter), 'SQL null')));
  END IF;
  conditions := 'true';
  FOR one IN SELECT e.key, e.value, f.shape, f.condition FROM jsonb_each(filter) e LEFT JOIN filter_fields() f ON f.field = e.key ORDER BY e.key LOOP
    IF one.shape IS NULL THEN
      PERFORM refuse('filter', format('has a field %s; known are %s', quote_ident(left(one.key, 64)), (SELECT string_agg(f.field, ', ') FROM filter_fields() f)));
    END IF;
    CONTINUE WHEN jsonb_typeof(one.value) = 'null';
    given := given || jsonb_build_object(one.key, filter_value(one.key, one.shape, one.value));
    conditions := conditions || ' AND ' || format(one.condition, given ->> one.key);
  END LOOP;

  -- The road: a query of the ids that can fit, which reads what is live or dead but not the history. Null: the primary
  -- key, or the index of correlation or tenant, both in the order of ids.
  statuses := (given ->> 'status')::status[];
  IF given ? 'ids' THEN
    road := format('SELECT unnest(%L::bigint[]) AS id', given ->> 'ids');
  ELSIF given ? 'correlation' THEN
    road := NULL;
  ELSIF given ?| '{dead_from,dead_until}' OR statuses <@ '{pending,scheduled,retrying,running,failed}' THEN
    IF NOT given ?| '{dead_from,dead_until}' AND statuses && '{pending,scheduled,retrying}' THEN
      road := 'SELECT k.id FROM tickets k' || coalesce(' WHERE k.queue = ANY (' || quote_literal(given ->> 'queue') || '::text[])', '');
    END IF;
    IF NOT given ?| '{dead_from,dead_until}' AND 'running' = ANY (statuses) THEN
      road := concat_ws(' UNION ALL ', road, 'SELECT l.id FROM (SELECT unnest(o.task_ids) AS id FROM leases o) l');
    END IF;
    IF given ?| '{dead_from,dead_until}' OR 'failed' = ANY (statuses) THEN
      -- OFFSET 0, or the wish for the order of ids would turn this into a walk of the primary key.
      road := concat_ws(' UNION ALL ', road, 'SELECT f.id FROM (SELECT d.id FROM tasks d WHERE d.dead_at IS NOT NULL'
        || coalesce(' AND d.dead_at >= ' || quote_literal(given ->> 'dead_from') || '::timestamptz', '')
        || coalesce(' AND d.dead_at < ' || quote_literal(given ->> 'dead_until') || '::timestamptz', '') || ' ORDER BY d.dead_at OFFSET 0) f');
    END IF;
  ELSIF given ? 'tags' AND NOT given ? 'tenant' THEN
    road := format('SELECT g.id FROM tasks g WHERE g.tags @> %L::text[]', given ->> 'tags');
  END IF;
END $$;

--
-- Name: FUNCTION parse_filter(filter jsonb, OUT conditions text, OUT road text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.parse_filter(filter jsonb, OUT conditions text, OUT road text) IS 'Private: a filter as conditions on tasks t, every value a literal, and the road to them. Anyone may call it; locks nothing. Errors: 22023.';

--
-- Name: pause_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.pause_schedule(name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  UPDATE schedules s SET paused = true, next_at = NULL, changed_at = clock() WHERE s.id = one.id AND NOT s.paused;
END $$;

--
-- Name: FUNCTION pause_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.pause_schedule(name text) IS 'Stops a schedule until it is resumed; its ticks meanwhile are dropped. Harmless if it is paused. Locks its row. Errors: MR002, 55P03.';

--
-- Name: pause_worker(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.pause_worker(worker text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT wish_of_worker(worker, 'pause')
$$;

--
-- Name: FUNCTION pause_worker(worker text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.pause_worker(worker text) IS 'Asks a worker (by id, the beginning of it, or name) to claim no more until it is resumed; what has begun goes on, what it holds and has not begun is given back.
Returns its id. Anyone who may write workers may call it. Locks its row. Errors: MR002, MR003 (it stops), 22023, 55P03.';

--
-- Name: plan_tasks(text, jsonb, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION plan_tasks(action text, filter jsonb, sample integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.plan_tasks(action text, filter jsonb, sample integer) IS 'What a change of many tasks would do now, and nothing is changed: by status how many tasks, what becomes of them, and the oldest few. action is cancel, retry, reprioritise, reschedule,
run_now or delete. Reads what count_tasks() reads. Anyone who may read may call it; locks nothing. Errors: 22023.';

--
-- Name: policy_check(text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.policy_check(gap text, fold text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF gap IS NULL OR gap NOT IN ('skip', 'shift') THEN
    PERFORM refuse('gap', format('is %s; allowed are skip and shift', coalesce(quote_literal(left(gap, 64)), 'null')));
  END IF;
  IF fold IS NULL OR fold NOT IN ('first', 'last', 'both') THEN
    PERFORM refuse('fold', format('is %s; allowed are first, last and both', coalesce(quote_literal(left(fold, 64)), 'null')));
  END IF;
END $$;

--
-- Name: FUNCTION policy_check(gap text, fold text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.policy_check(gap text, fold text) IS 'Private. Refuses (22023) what is no policy for changes of clocks. Locks nothing.';

--
-- Name: preview_ticks(text, text, timestamp with time zone, integer, text, text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.preview_ticks(rule text, zone text, since timestamp with time zone, most integer DEFAULT 20, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(tick timestamp with time zone, local text, note text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  plan  CONSTANT jsonb := rule_parse(rule);
  free  CONSTANT boolean := coalesce((plan->>'free')::boolean, true);
  one   timestamptz := since;
  wall  timestamp;
  hop   interval;   -- how much the clocks change near this tick: above zero is a gap
  fires boolean;
  shown integer := 0;
BEGIN
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);
  PERFORM since_check('from', since);
  PERFORM since_check('anchor', coalesce(anchor, since));
  IF most IS NULL OR most NOT BETWEEN 1 AND 1000 THEN
    PERFORM refuse('count', format('is %s; allowed is 1 to 1000', coalesce(most::text, 'null')));
  END IF;
  WHILE shown < most LOOP
    -- Everything that any policy would fire; then what this one makes of it.
    one := next_tick_of(plan, zone, one, 'shift', 'both', anchor);
    EXIT WHEN one IS NULL;
    wall := one AT TIME ZONE zone;
    fires := next_tick_of(plan, zone, one - interval '1 second', gap, fold, anchor) = one;
    hop := zone_offset(zone, one + interval '4 hours') - zone_offset(zone, one - interval '4 hours');
    tick := CASE WHEN fires THEN one END;
    note := '';
    IF plan ? 'every' OR free OR hop = interval '0' THEN
      NULL;
    ELSIF hop > interval '0' AND next_time(plan, wall) IS DISTINCT FROM wall THEN
      wall := wall - hop;
      note := CASE WHEN fires THEN 'moved: this local time does not exist on this day' ELSE 'dropped: this local time does not exist on this day' END;
    ELSIF hop < interval '0' AND (one - hop) AT TIME ZONE zone = wall THEN
      note := CASE WHEN fires THEN 'the first of two' ELSE 'dropped: the first of two' END;
    ELSIF hop < interval '0' AND (one + hop) AT TIME ZONE zone = wall THEN
      note := CASE WHEN fires THEN 'the second of two' ELSE 'dropped: the second of two' END;
    END IF;
    local := to_char(wall, 'Dy YYYY-MM-DD HH24:MI:SS');
    IF fires OR note <> '' THEN
      RETURN NEXT;
    END IF;
    IF fires THEN
      shown := shown + 1;
    END IF;
  END LOOP;
END $$;

--
-- Name: FUNCTION preview_ticks(rule text, zone text, since timestamp with time zone, most integer, gap text, fold text, anchor timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.preview_ticks(rule text, zone text, since timestamp with time zone, most integer, gap text, fold text, anchor timestamp with time zone) IS 'The next ticks of a rule after a time, so many of those that fire, each with the local time that the rule names and what a change of clocks did to it; tick is null for
one that is dropped. Anyone may call it; locks nothing. Errors: 22023.';

--
-- Name: priority(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.priority(name text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  value CONSTANT integer := CASE name WHEN 'critical' THEN 100 WHEN 'high' THEN 75 WHEN 'normal' THEN 50 WHEN 'low' THEN 25 END;
BEGIN
  IF value IS NULL THEN
    PERFORM refuse('priority', format('is %s; allowed are critical, high, normal and low', coalesce(quote_literal(left(name, 64)), 'null')));
  END IF;
  RETURN value;
END $$;

--
-- Name: FUNCTION priority(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.priority(name text) IS 'The number of a named priority, for enqueue(priority => priority(''high'')). Anyone may call it; locks nothing. Errors: 22023.';

--
-- Name: purge_dead(timestamp with time zone, jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION purge_dead(before timestamp with time zone, filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.purge_dead(before timestamp with time zone, filter jsonb, most integer, after bigint) IS 'Deletes a batch of the dead letters that died before a time, and fit the filter, which has no status and no dead_until of its own; otherwise as delete_tasks(). Errors: 22023, 55P03 and 40P01: repeat.';

--
-- Name: put_schedule(text, text, text, jsonb, text, text, text, text, integer, interval, interval, text, timestamp with time zone, text, integer, integer, jsonb, interval, text[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.put_schedule(name text, rule text, kind text, args jsonb DEFAULT '{}'::jsonb, zone text DEFAULT 'UTC'::text, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, misfire text DEFAULT 'one'::text, misfire_max integer DEFAULT 100, grace interval DEFAULT '00:01:00'::interval, jitter interval DEFAULT '00:00:00'::interval, exclusive text DEFAULT 'no'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, max_attempts integer DEFAULT NULL::integer, backoff jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, tags text[] DEFAULT NULL::text[]) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
DECLARE
  old  schedules;
  made schedules;
  tick timestamptz;
BEGIN
  IF name IS NULL OR octet_length(name) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('name', format('has %s bytes; allowed are 1 to 128', coalesce(octet_length(name)::text, 'no')));
  END IF;
  IF misfire IS NULL OR misfire NOT IN ('skip', 'one', 'all') THEN
    PERFORM refuse('misfire', format('is %s; allowed are skip, one and all', coalesce(quote_literal(left(misfire, 64)), 'null')));
  END IF;
  IF misfire_max IS NULL OR misfire_max NOT BETWEEN 1 AND 100 THEN
    PERFORM refuse('misfire_max', format('is %s; allowed is 1 to 100', coalesce(misfire_max::text, 'null')));
  END IF;
  IF grace IS NULL OR grace NOT BETWEEN interval '1 second' AND interval '365 days' THEN
    PERFORM refuse('grace', format('is %s; allowed is 1 second to 365 days', coalesce(grace::text, 'null')));
  END IF;
  IF jitter IS NULL OR jitter NOT BETWEEN interval '0' AND interval '1 day' THEN
    PERFORM refuse('jitter', format('is %s; allowed is 0 to 1 day', coalesce(jitter::text, 'null')));
  END IF;
  IF exclusive IS NULL OR exclusive NOT IN ('no', 'skip', 'queue') THEN
    PERFORM refuse('exclusive', format('is %s; allowed are no, skip and queue', coalesce(quote_literal(left(exclusive, 64)), 'null')));
  END IF;
  PERFORM options_check(kind, queue, priority, anchor, NULL, max_attempts, backoff, timeout);
  PERFORM args_check(args);
  PERFORM about_check(NULL, NULL, NULL, NULL, tags, NULL, NULL);
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);

  -- Two that make the same schedule at once take turns.
  PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || chr(2) || name, 0));
  SELECT * INTO old FROM schedules s WHERE s.name = put_schedule.name FOR UPDATE;
  made := old;
  made.rule := rule; made.plan := rule_parse(rule); made.zone := zone; made.gap := gap; made.fold := fold; made.jitter := jitter;
  made.anchor := coalesce(anchor, old.anchor, date_trunc('second', clock()));
  made.misfire := misfire; made.misfire_max := misfire_max; made.grace := grace; made.exclusive := exclusive;
  made.kind := kind; made.args := args; made.queue := queue; made.priority := priority;
  made.max_attempts := max_attempts; made.backoff := backoff; made.timeout := timeout; made.tags := tags;
  IF made = old THEN
    RETURN 'unchanged';
  END IF;
  -- Refuses what is no rule, and one that never fires. Never again before a tick that was fired: the record of ticks is
  -- bounded, and clocks can be set back.
  tick := tick_after(made, greatest(clock(), old.last_tick));
  IF tick IS NULL THEN
    PERFORM refuse('rule', format('"%s" never fires after now', left(rule, 200)));
  END IF;
  IF old.id IS NULL THEN
    INSERT INTO schedules AS s (name, rule, plan, zone, gap, fold, anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args, queue,
                                priority, max_attempts, backoff, timeout, tags, next_tick)
    VALUES (name, rule, made.plan, zone, gap, fold, made.anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args, queue,
            priority, max_attempts, backoff, timeout, tags, tick)
    RETURNING s.* INTO made;
  ELSE
    -- Another time plan starts anew from now; any other change leaves the next tick as it is.
    IF (made.rule, made.zone, made.gap, made.fold, made.anchor) IS DISTINCT FROM (old.rule, old.zone, old.gap, old.fold, old.anchor) THEN
      made.next_tick := tick;
      made.owed_tick := NULL;
    END IF;
    UPDATE schedules s
    SET rule = made.rule, plan = made.plan, zone = made.zone, gap = made.gap, fold = made.fold, anchor = made.anchor, jitter = made.jitter,
        misfire = made.misfire, misfire_max = made.misfire_max, grace = made.grace, exclusive = made.exclusive, kind = made.kind,
        args = made.args, queue = made.queue, priority = made.priority, max_attempts = made.max_attempts, backoff = made.backoff,
        timeout = made.timeout, tags = made.tags, next_tick = made.next_tick, owed_tick = made.owed_tick, problem = NULL, changed_at = clock()
    WHERE s.id = old.id;
  END IF;
  UPDATE schedules s SET next_at = CASE WHEN NOT s.paused THEN tick_at(made, made.next_tick) END WHERE s.id = made.id;
  PERFORM pg_notify(schedules_channel(), '');
  RETURN CASE WHEN old.id IS NULL THEN 'created' ELSE 'changed' END;
END $$;

--
-- Name: FUNCTION put_schedule(name text, rule text, kind text, args jsonb, zone text, gap text, fold text, misfire text, misfire_max integer, grace interval, jitter interval, exclusive text, anchor timestamp with time zone, queue text, priority integer, max_attempts integer, backoff jsonb, timeout interval, tags text[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.put_schedule(name text, rule text, kind text, args jsonb, zone text, gap text, fold text, misfire text, misfire_max integer, grace interval, jitter interval, exclusive text, anchor timestamp with time zone, queue text, priority integer, max_attempts integer, backoff jsonb, timeout interval, tags text[]) IS 'Makes the schedule of this name so, in the caller''s transaction: returns ''created'', ''changed'' or ''unchanged''. rule: see rule_parse(). gap (skip, shift) and fold (first, last, both):
what becomes of local times that a change of clocks leaves out or repeats. misfire: which of the ticks that are later than grace (and jitter) are made up for: skip, one (the latest) or all (the latest
misfire_max). jitter: each tick is fired up to so much later, spread evenly. exclusive: while the task of the tick before is live, a tick is dropped (skip) or waits for its end (queue, at most one).
anchor: where intervals count from; default: when the schedule was made. args: {{tick}} in any text becomes the tick''s time. The others as in enqueue().
Anyone who may write schedules may call it. Locks the schedule''s name until commit. Errors: 22023.';

--
-- Name: record_reports(uuid, bigint[], bigint[], smallint[], bigint[], bigint[], text[], bigint[], bigint[], bigint[], bigint[], text[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.record_reports(worker uuid, ids bigint[], leases bigint[], attempts smallint[], done bigint[], totals bigint[], notes text[], counts bigint[], line_ids bigint[], line_back bigint[], line_ages bigint[], lines text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_column
DECLARE
  told bigint[];
BEGIN
  -- The fence is read, not locked: what is written beside a rescue under way is what the run said before it. A zombie
  -- that passed it so cannot put its progress over that of a later lease, because leases only grow.
  WITH mine AS MATERIALIZED (
    SELECT u.* FROM unnest(ids, leases, attempts, done, totals, notes, counts) AS u (id, lease, attempt, done, total, note, count)
    JOIN tasks t ON t.id = u.id
    WHERE t.id = ANY (ids) AND t.lease = u.lease AND t.worker = record_reports.worker
    ORDER BY u.id),
  kept AS (
    INSERT INTO reports AS r (task, lease, attempt, done, total, note, reported_at, lines)
    SELECT m.id, m.lease, m.attempt, m.done, m.total, m.note, CASE WHEN m.done IS NOT NULL THEN clock() END, m.count FROM mine m
    ON CONFLICT ON CONSTRAINT reports_pkey DO UPDATE
    SET lease = excluded.lease, attempt = excluded.attempt, lines = r.lines + excluded.lines,
        done = CASE WHEN r.lease = excluded.lease AND excluded.done IS NULL THEN r.done ELSE excluded.done END,
        total = CASE WHEN r.lease = excluded.lease AND excluded.done IS NULL THEN r.total ELSE excluded.total END,
        note = CASE WHEN r.lease = excluded.lease AND excluded.done IS NULL THEN r.note ELSE excluded.note END,
        reported_at = CASE WHEN r.lease = excluded.lease AND excluded.done IS NULL THEN r.reported_at ELSE excluded.reported_at END
    WHERE r.lease <= excluded.lease
    RETURNING r.task, r.attempt, r.lines),
  logged AS (
    INSERT INTO log_lines (task, seq, attempt, at, line)
    SELECT k.task, k.lines - l.back, k.attempt, clock() - l.age * interval '1 millisecond', l.line
    FROM unnest(line_ids, line_back, line_ages, record_reports.lines) AS l (id, back, age, line) JOIN kept k ON k.task = l.id)
  SELECT array_agg(k.task ORDER BY k.task) INTO told FROM kept k;
  IF cardinality(line_ids) > 0 THEN
    DELETE FROM log_lines l USING reports r
    WHERE r.task = ANY (told) AND r.task = ANY (line_ids) AND l.task = r.task AND l.seq <= r.lines - 1000;
  END IF;
  IF EXISTS (SELECT FROM waits w WHERE w.task = ANY (told) AND w.follow) THEN
    PERFORM tell_waits(told);
  END IF;
END $$;

--
-- Name: FUNCTION record_reports(worker uuid, ids bigint[], leases bigint[], attempts smallint[], done bigint[], totals bigint[], notes text[], counts bigint[], line_ids bigint[], line_back bigint[], line_ages bigint[], lines text[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.record_reports(worker uuid, ids bigint[], leases bigint[], attempts smallint[], done bigint[], totals bigint[], notes text[], counts bigint[], line_ids bigint[], line_back bigint[], line_ages bigint[], lines text[]) IS 'For the worker that holds the leases, a few times a second: the latest progress of runs (done null: none), and what they logged. counts says how many lines each
run logged; line_back how many of that run''s come after this one, line_ages how many milliseconds ago. Runs that lost their lease are ignored.
Keeps the latest 1000 lines of a task. Locks those tasks'' rows in reports. Errors: 55P03, 40P01: repeat.';

--
-- Name: record_stats(uuid, text[], text[], bigint[], bigint[], bigint[], bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.record_stats(worker uuid, queues text[], kinds text[], completed bigint[], retried bigint[], failed bigint[], run_ms bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO task_stats AS s (minute, queue, kind, worker, completed, retried, failed, run_ms)
  SELECT date_trunc('minute', clock()), u.queue, u.kind, record_stats.worker, u.completed, u.retried, u.failed, u.run_ms
  FROM unnest(queues, kinds, record_stats.completed, record_stats.retried, record_stats.failed, record_stats.run_ms)
    AS u (queue, kind, completed, retried, failed, run_ms)
  ON CONFLICT ON CONSTRAINT task_stats_pkey DO UPDATE
  SET completed = s.completed + excluded.completed, retried = s.retried + excluded.retried,
      failed = s.failed + excluded.failed, run_ms = s.run_ms + excluded.run_ms;
END $$;

--
-- Name: FUNCTION record_stats(worker uuid, queues text[], kinds text[], completed bigint[], retried bigint[], failed bigint[], run_ms bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.record_stats(worker uuid, queues text[], kinds text[], completed bigint[], retried bigint[], failed bigint[], run_ms bigint[]) IS 'Private, for workers: adds what a worker did since its last call to this minute. Locks only that worker''s rows.';

--
-- Name: refuse(text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.refuse(field text, problem text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', COLUMN = field, MESSAGE = field || ' ' || problem;
END $$;

--
-- Name: FUNCTION refuse(field text, problem text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.refuse(field text, problem text) IS 'Private. Raises 22023 with the field''s name. Locks nothing.';

--
-- Name: register_kinds(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.register_kinds(declared jsonb) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '10s'
    AS $$
DECLARE
  one     jsonb;
  row     kinds;
  written text[] := '{}';
BEGIN
  -- In order of their names, so that workers which start together cannot wait for each other in a circle.
  FOR one IN SELECT d.value FROM jsonb_array_elements(declared) d ORDER BY d.value ->> 'kind' COLLATE "C" LOOP
    row := (one ->> 'kind', one ->> 'alias_of', one ->> 'queue', one ->> 'priority', one ->> 'max_attempts', nullif(one -> 'backoff', 'null'),
            (one ->> 'timeout_ms')::bigint * interval '1 millisecond', nullif(one -> 'schema', 'null'), clock());
    PERFORM options_check(row.kind, row.queue, row.priority, NULL, NULL, row.max_attempts, row.backoff, row.timeout);
    -- Most workers declare what is known. An upsert would lock the row also where it changes nothing.
    CONTINUE WHEN EXISTS (
      SELECT FROM kinds k WHERE k.kind = row.kind
        AND (k.alias_of, k.queue, k.priority, k.max_attempts, k.backoff, k.timeout, k.schema)
            IS NOT DISTINCT FROM (row.alias_of, row.queue, row.priority, row.max_attempts, row.backoff, row.timeout, row.schema));
    INSERT INTO kinds AS k SELECT row.*
    ON CONFLICT (kind) DO UPDATE
      SET alias_of = excluded.alias_of, queue = excluded.queue, priority = excluded.priority, max_attempts = excluded.max_attempts,
          backoff = excluded.backoff, timeout = excluded.timeout, schema = excluded.schema, registered_at = excluded.registered_at
      WHERE (k.alias_of, k.queue, k.priority, k.max_attempts, k.backoff, k.timeout, k.schema)
            IS DISTINCT FROM (excluded.alias_of, excluded.queue, excluded.priority, excluded.max_attempts, excluded.backoff, excluded.timeout, excluded.schema);
    IF FOUND THEN
      written := written || row.kind;
    END IF;
  END LOOP;
  RETURN written;
END $$;

--
-- Name: FUNCTION register_kinds(declared jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.register_kinds(declared jsonb) IS 'For workers, when they start: declares what the tasks of their kinds are to be like, [{"kind", "alias_of", "queue", "priority", "max_attempts", "backoff", "timeout_ms", "schema"}],
where all but the kind may be missing. The latest word counts. Returns the kinds that are new or changed, and locks only their rows. Errors: 22023, 55P03.';

--
-- Name: register_worker(uuid, text, text, integer, text, text[], interval, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.register_worker(id uuid, name text, host text, pid integer, version text, queues text[], lease_ttl interval, poll_interval interval DEFAULT '00:00:01'::interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
BEGIN
  INSERT INTO workers AS w (id, name, host, pid, version, queues, lease_ttl, poll_interval)
  VALUES (id, name, host, pid, version, queues, lease_ttl, poll_interval)
  ON CONFLICT ON CONSTRAINT workers_pkey DO UPDATE SET seen_at = clock(), wants_wake = false, ran_at_death = NULL;
END $$;

--
-- Name: FUNCTION register_worker(id uuid, name text, host text, pid integer, version text, queues text[], lease_ttl interval, poll_interval interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.register_worker(id uuid, name text, host text, pid integer, version text, queues text[], lease_ttl interval, poll_interval interval) IS 'Private, for workers: makes a worker present; again after it was taken for dead. Locks its row.';

--
-- Name: release(uuid, bigint[], bigint[], interval, text, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

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
    SELECT t.id,
           CASE WHEN EXISTS (SELECT FROM cancel_requests c WHERE c.task = t.id) THEN 'cancelled'
                WHEN t.attempt > 1 THEN 'retrying'
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
    RETURNING t.id, t.status, t.run_at, t.queue, t.priority, t.ctid)
  INSERT INTO tickets (queue, bucket, run_at, id, tid)
  SELECT r.queue, r.priority / 25, r.run_at, r.id, r.ctid FROM released r WHERE r.status <> 'cancelled';
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(ids);
  END IF;
  RETURN QUERY SELECT * FROM unsettled(release.worker, ids, leases);
END $$;

--
-- Name: FUNCTION release(worker uuid, ids bigint[], leases bigint[], delay interval, note text, careful boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.release(worker uuid, ids bigint[], leases bigint[], delay interval, note text, careful boolean) IS 'For the worker that holds the leases: gives tasks back, to run again after delay, without counting the attempt. A note is
added to their error history. A task that somebody asked to cancel is cancelled instead. Returns the exceptions (see unsettled). Locks those tasks until commit.
Errors: 55P03 a row is held, repeat with careful.';

--
-- Name: release_lock(text, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.release_lock(name text, token bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  held boolean;
BEGIN
  PERFORM lock_check(name);
  DELETE FROM locks l WHERE l.name = release_lock.name AND l.token = release_lock.token RETURNING l.expires_at > clock() INTO held;
  RETURN coalesce(held, false);
END $$;

--
-- Name: FUNCTION release_lock(name text, token bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.release_lock(name text, token bigint) IS 'For the holder: others may acquire it now. True if it was held with this token until now; false if it had been lost, or released, before; then
whoever holds it keeps it. Waits up to 2 seconds for transactions that asserted it. Anyone who may write locks may call it. Locks the lock''s
row. Errors: 22023, 55P03.';

--
-- Name: renew_wait(bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.renew_wait(task bigint, wait bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  UPDATE waits w SET expires_at = clock() + interval '1 minute' WHERE w.task = renew_wait.task AND w.id = renew_wait.wait;
  RETURN FOUND;
END $$;

--
-- Name: FUNCTION renew_wait(task bigint, wait bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.renew_wait(task bigint, wait bigint) IS 'For whoever waits: prolongs a wait to a minute from now; false if it has been tidied away, then begin again. Locks its row.';

--
-- Name: replace_task(bigint, jsonb, text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.replace_task(task bigint, args jsonb, queue text, priority integer, due timestamp with time zone, longest interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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
    INSERT INTO tickets (queue, bucket, run_at, id, tid) VALUES (queue, priority / 25, moved, old.id, hint);
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

--
-- Name: FUNCTION replace_task(task bigint, args jsonb, queue text, priority integer, due timestamp with time zone, longest interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.replace_task(task bigint, args jsonb, queue text, priority integer, due timestamp with time zone, longest interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Private: gives a task that has not started new args and options; false if it has. Not later than longest after it was made, or than it was to run
(null: at due). The caller has locked its key. Waits for a claim that takes it. Locks its ticket, then its row. Errors: 55P03.';

--
-- Name: reprioritise(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.reprioritise(id bigint, priority integer) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_priority_check(priority);
  RETURN move_task(id, 'reprioritised', priority, NULL);
END $$;

--
-- Name: FUNCTION reprioritise(id bigint, priority integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.reprioritise(id bigint, priority integer) IS 'Gives a pending, scheduled or retrying task another priority, 0 to 100. Returns its status. Anyone who may write tasks may call it. Locks its ticket, then its row.
Errors: MR002, MR003 (it runs or has ended), 22023, 55P03.';

--
-- Name: reprioritise_tasks(jsonb, integer, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.reprioritise_tasks(filter jsonb, priority integer, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_priority_check(priority);
  RETURN move_tasks('reprioritise', filter, most, after, priority, NULL);
END $$;

--
-- Name: FUNCTION reprioritise_tasks(filter jsonb, priority integer, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.reprioritise_tasks(filter jsonb, priority integer, most integer, after bigint) IS 'Gives a batch of the tasks that fit and wait for their run another priority. Anyone who may write tasks may call it. Locks their tickets and rows (SKIP LOCKED). Errors: 22023.';

--
-- Name: reschedule(bigint, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.reschedule(id bigint, run_at timestamp with time zone) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_time_check(run_at);
  RETURN move_task(id, 'rescheduled', NULL, run_at);
END $$;

--
-- Name: FUNCTION reschedule(id bigint, run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.reschedule(id bigint, run_at timestamp with time zone) IS 'Lets a pending, scheduled or retrying task run at this time instead. Returns its status. A time after its expires_at lets it expire. Anyone who may write tasks may call it.
Locks its ticket, then its row. Errors: MR002, MR003 (it runs or has ended), 22023, 55P03.';

--
-- Name: reschedule_tasks(jsonb, timestamp with time zone, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.reschedule_tasks(filter jsonb, run_at timestamp with time zone, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM change_time_check(run_at);
  RETURN move_tasks('reschedule', filter, most, after, NULL, run_at);
END $$;

--
-- Name: FUNCTION reschedule_tasks(filter jsonb, run_at timestamp with time zone, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.reschedule_tasks(filter jsonb, run_at timestamp with time zone, most integer, after bigint) IS 'Lets a batch of the tasks that fit and wait for their run do so at this time instead. Anyone who may write tasks may call it. Locks their tickets and rows (SKIP LOCKED). Errors: 22023.';

--
-- Name: rescue(integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.rescue(most integer DEFAULT 1000) RETURNS TABLE(dead_workers integer, rescued integer)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
DECLARE
  dead    uuid;
  session worker_sessions;
  held    bigint[];
  running bigint;
  one     bigint;
BEGIN
  dead_workers := 0;
  rescued := 0;
  FOR dead IN
    SELECT w.id FROM workers w WHERE w.seen_at < clock() - w.lease_ttl ORDER BY w.seen_at LIMIT most FOR UPDATE SKIP LOCKED
  LOOP
    dead_workers := dead_workers + 1;
    -- First its sessions: one may sit in a claim that never commits and never lets go of its tickets.
    FOR session IN SELECT * FROM worker_sessions s WHERE s.worker = dead LOOP
      BEGIN
        PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a
        WHERE a.pid = session.pid AND a.backend_start = session.backend_start AND a.pid <> pg_backend_pid();
      EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'cannot end session % of dead worker %: its role is another', session.pid, dead;
      END;
    END LOOP;
    SELECT array_agg(l.id ORDER BY l.id) INTO held FROM leases l WHERE l.worker = dead;
    SELECT count(*) INTO running FROM leases l JOIN tasks t ON t.id = ANY (l.task_ids) AND t.lease = l.id AND t.status = 'running'
    WHERE l.worker = dead;
    -- What died beside others did so also in a later cycle, when the others are rescued already.
    running := greatest(running, (SELECT w.ran_at_death FROM workers w WHERE w.id = dead));
    FOREACH one IN ARRAY coalesce(held, '{}') LOOP
      rescued := rescued + give_back(one, began => true, alone => running = 1);
    END LOOP;
    -- A lease that came after the count is one without a worker from now on: nobody knows what it died beside.
    IF NOT EXISTS (SELECT FROM leases l WHERE l.id = ANY (held)) THEN
      DELETE FROM worker_sessions s WHERE s.worker = dead;
      DELETE FROM workers w WHERE w.id = dead;
    ELSE
      UPDATE workers w SET ran_at_death = running WHERE w.id = dead AND w.ran_at_death IS DISTINCT FROM running;
    END IF;
  END LOOP;
  -- Leases whose worker is gone altogether: a claim that was under way when its worker was taken for dead.
  FOR one IN
    SELECT l.id FROM leases l WHERE NOT EXISTS (SELECT FROM workers w WHERE w.id = l.worker) ORDER BY l.id LIMIT most
  LOOP
    rescued := rescued + give_back(one, began => true, alone => false);
  END LOOP;
  RETURN NEXT;
END $$;

--
-- Name: FUNCTION rescue(most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.rescue(most integer) IS 'Private, for workers, in turn: ends the sessions of workers not seen for their lease_ttl and makes their tasks claimable again, one at a time.
Any number may run at once (dead workers are taken FOR UPDATE SKIP LOCKED). Locks those workers'' rows, then tasks (SKIP LOCKED), then leases. Returns how many workers and tasks.';

--
-- Name: resume_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.resume_schedule(name text) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  IF one.paused THEN
    one.next_tick := tick_after(one, greatest(clock(), one.last_tick));
    UPDATE schedules s
    SET paused = false, owed_tick = NULL, next_tick = one.next_tick, next_at = tick_at(one, one.next_tick), changed_at = clock()
    WHERE s.id = one.id;
    PERFORM pg_notify(schedules_channel(), '');
  END IF;
  RETURN one.next_tick;
END $$;

--
-- Name: FUNCTION resume_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.resume_schedule(name text) IS 'Lets a paused schedule go on with its first tick after now, which is returned. Harmless if it is not paused. Locks its row. Errors: MR002, 55P03.';

--
-- Name: resume_worker(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.resume_worker(worker text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT wish_of_worker(worker, 'run')
$$;

--
-- Name: FUNCTION resume_worker(worker text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.resume_worker(worker text) IS 'Lets a paused worker claim again; harmless if it is not paused. Otherwise as pause_worker().';

--
-- Name: retake_key(millrace.tasks); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.retake_key(task millrace.tasks) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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

--
-- Name: FUNCTION retake_key(task millrace.tasks); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.retake_key(task millrace.tasks) IS 'Private: gives an ended task its unique key back, before it is made live again. Locks the key''s row. Errors: MR003 another task has it and is live.';

--
-- Name: retry(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.retry(id bigint) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
  RETURN revive(retry.id);
END $$;

--
-- Name: FUNCTION retry(id bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.retry(id bigint) IS 'Revives a failed or cancelled task with a new budget of attempts; its error history stays, its expires_at does not. Returns ''pending''.
Anyone who may write tasks may call it. Locks its unique key, if it has one, then its row. Errors: MR002, MR003 (any other state, or
another task with its unique key is live), 55P03.';

--
-- Name: retry_delay(jsonb, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.retry_delay(backoff jsonb, attempt integer) RETURNS interval
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT make_interval(secs => least(cap, CASE type
             WHEN 'fixed' THEN base
             WHEN 'linear' THEN base * attempt
             ELSE base * multiplier ^ least(attempt - 1, 100) END)
           * (1 - jitter + 2 * jitter * random()))
  FROM (SELECT coalesce(backoff->>'type', 'exponential')           AS type,
               coalesce((backoff->>'base')::float8, 15)            AS base,
               coalesce((backoff->>'cap')::float8, 3600)           AS cap,
               coalesce((backoff->>'multiplier')::float8, 2)       AS multiplier,
               coalesce((backoff->>'jitter')::float8, 0.15)        AS jitter) policy
$$;

--
-- Name: FUNCTION retry_delay(backoff jsonb, attempt integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.retry_delay(backoff jsonb, attempt integer) IS 'How long to wait after this attempt failed: the policy''s delay, cut to its cap, times 1 ± jitter. null is {"type": "exponential", "base": 15, "cap": 3600, "multiplier": 2, "jitter": 0.15}. Anyone may call it; locks nothing.';

--
-- Name: retry_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.retry_tasks(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
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
    WHERE t.id = ANY (taken) RETURNING t.queue, t.priority, t.run_at, t.id, t.ctid)
  INSERT INTO tickets (queue, bucket, run_at, id, tid) SELECT r.queue, r.priority / 25, r.run_at, r.id, r.ctid FROM revived r;
  PERFORM wake(q.queue) FROM (SELECT DISTINCT t.queue FROM tasks t WHERE t.id = ANY (taken)) q;
  answer.done := cardinality(taken) + cardinality(others);
  answer.asked := 0;
  answer.running := 0;
  SELECT l.held INTO answer.held FROM left_over(without(batch.ids, taken || others || refused), batch.conditions) l;
  answer.refused := cardinality(refused);
  answer.next := batch.next;
  RETURN answer;
END $_$;

--
-- Name: FUNCTION retry_tasks(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.retry_tasks(filter jsonb, most integer, after bigint) IS 'Revives a batch of the failed tasks that fit (cancelled ones if the filter says that status), each as retry() does: a new budget of attempts, the error history kept. Anyone who may write
tasks may call it. Locks unique keys, those that have one, then rows (SKIP LOCKED, but for those with a key: it waits for four of them, 250 ms each, and leaves
the others with a key as held). Errors: 22023, 40P01: repeat.';

--
-- Name: revive(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.revive(id bigint) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  task tasks;
BEGIN
  -- Key before task: what was unique has to be so again, or stay dead. Also if it seems to run: it may end while this waits
  -- for its row, and then nothing else would keep an enqueue from taking the key. Only what is completed stays so.
  SELECT * INTO task FROM tasks t WHERE t.id = revive.id;
  IF task.unique_key IS NOT NULL AND task.status <> 'completed' THEN
    PERFORM retake_key(task);
  END IF;
  SELECT * INTO task FROM tasks t WHERE t.id = revive.id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no task %s', revive.id);
  ELSIF task.status NOT IN ('failed', 'cancelled') THEN
    RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('task %s is %s; only a failed or cancelled task can be retried', revive.id, task.status);
  END IF;
  DELETE FROM cancel_requests c WHERE c.task = revive.id;
  DELETE FROM expiries e WHERE e.expires_at = task.expires_at AND e.task = revive.id;
  UPDATE tasks t SET status = 'pending', attempt = 0, run_at = clock(), started_at = NULL, finished_at = NULL, dead_at = NULL,
         expires_at = NULL, reason = NULL
  WHERE t.id = revive.id RETURNING * INTO task;
  INSERT INTO tickets (queue, bucket, run_at, id, tid)
  SELECT t.queue, t.priority / 25, t.run_at, t.id, t.ctid FROM tasks t WHERE t.id = revive.id;
  PERFORM wake(task.queue);
  RETURN task.status;
END $$;

--
-- Name: FUNCTION revive(id bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.revive(id bigint) IS 'Private: what retry() does. Waits for locks as long as the caller lets it; says nothing of that itself, so that a batch of many has a bound of its own. Locks and errors: as retry().';

--
-- Name: rule_parse(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.rule_parse(rule text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  words text[];
  part  text[];
  total numeric := 0;
  cron  text;
BEGIN
  IF rule IS NULL OR octet_length(rule) NOT BETWEEN 1 AND 256 THEN
    PERFORM refuse('rule', format('has %s bytes; allowed are 1 to 256', coalesce(octet_length(rule)::text, 'no')));
  END IF;
  words := regexp_split_to_array(btrim(rule, E' \t\r\n'), '\s+');
  IF lower(words[1]) = 'every' THEN
    IF cardinality(words) <> 2 OR words[2] !~ '^([0-9]{1,9}[smhdw])+$' THEN
      PERFORM refuse('rule', format('is "%s"; allowed after every is a duration such as 90s, 1h30m or 2d', left(rule, 64)));
    END IF;
    FOR part IN SELECT regexp_matches(words[2], '([0-9]+)([smhdw])', 'g') LOOP
      total := total + part[1]::numeric * CASE part[2] WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 WHEN 'd' THEN 86400 ELSE 604800 END;
    END LOOP;
    IF total NOT BETWEEN 1 AND 31622400 THEN
      PERFORM refuse('rule', format('is every %s seconds; allowed is 1 second to 366 days', total));
    END IF;
    RETURN jsonb_build_object('every', total);
  END IF;
  IF words[1] LIKE '@%' THEN
    cron := CASE WHEN cardinality(words) = 1 THEN
      CASE lower(words[1]) WHEN '@hourly' THEN '0 * * * *' WHEN '@daily' THEN '0 0 * * *' WHEN '@midnight' THEN '0 0 * * *'
                           WHEN '@weekly' THEN '0 0 * * 0' WHEN '@monthly' THEN '0 0 1 * *'
                           WHEN '@yearly' THEN '0 0 1 1 *' WHEN '@annually' THEN '0 0 1 1 *' END END;
    IF cron IS NULL THEN
      PERFORM refuse('rule', format('is "%s"; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually', left(rule, 64)));
    END IF;
    words := string_to_array(cron, ' ');
  END IF;
  IF cardinality(words) NOT IN (5, 6) THEN
    PERFORM refuse('rule', format('has %s fields; allowed are 5 (minute, hour, day of month, month, weekday), or 6 with seconds first', cardinality(words)));
  END IF;
  IF cardinality(words) = 5 THEN
    words := '0'::text || words;
  END IF;
  RETURN cron_parse(words);
END $_$;

--
-- Name: FUNCTION rule_parse(rule text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.rule_parse(rule text) IS 'Reads a rule and returns its plan, which only next_tick_of() understands. A rule is a cron of 5 fields, or 6 with seconds first (values, ranges, steps, lists,
names such as MON and JAN, ? for *, L, LW, 15W, MON#2, FRIL), @hourly to @yearly, or an interval such as every 1h30m. Anyone may call it; locks nothing.
Errors: 22023, with the field, the value and what is allowed; also for a rule that can never fire.';

--
-- Name: run_now(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.run_now(id bigint) RETURNS millrace.status
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT move_task(id, 'run now', NULL, clock())
$$;

--
-- Name: FUNCTION run_now(id bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.run_now(id bigint) IS 'reschedule() to now.';

--
-- Name: run_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.run_schedule(name text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one  schedules := schedule_named(name);
  task bigint;
BEGIN
  task := enqueue_tick(one, clock());
  UPDATE schedules s SET last_task = task WHERE s.id = one.id;
  RETURN task;
END $$;

--
-- Name: FUNCTION run_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.run_schedule(name text) IS 'Adds a task of this schedule now, beside its ticks and also while it is paused; returns its id. {{tick}} is the time of the call. Locks the schedule''s row. Errors: MR002, 55P03.';

--
-- Name: run_tasks_now(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.run_tasks_now(filter jsonb, most integer DEFAULT 1000, after bigint DEFAULT 0) RETURNS millrace.changes
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT move_tasks('run_now', filter, most, after, NULL, clock())
$$;

--
-- Name: FUNCTION run_tasks_now(filter jsonb, most integer, after bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.run_tasks_now(filter jsonb, most integer, after bigint) IS 'reschedule_tasks() to now.';

--
-- Name: schedule_named(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.schedule_named(name text) RETURNS millrace.schedules
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  found_one schedules;
BEGIN
  SELECT * INTO found_one FROM schedules s WHERE s.name = schedule_named.name FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no schedule "%s"', left(schedule_named.name, 128));
  END IF;
  RETURN found_one;
END $$;

--
-- Name: FUNCTION schedule_named(name text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.schedule_named(name text) IS 'Private: a schedule, its row locked until commit. Errors: MR002, 55P03.';

--
-- Name: schedules_channel(); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.schedules_channel() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_s_' || to_hex(hashtextextended(current_schema(), 0))
$$;

--
-- Name: FUNCTION schedules_channel(); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.schedules_channel() IS 'Private, for workers: the NOTIFY channel that tells that schedules were changed. Locks nothing.';

--
-- Name: scope_of(text, jsonb); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION scope_of(action text, filter jsonb); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.scope_of(action text, filter jsonb) IS 'Private: the filter of the tasks that an action (cancel, retry, reprioritise, reschedule, run_now, delete) is about, its statuses spelled out. Without a status: for retry those that
failed, for delete all, otherwise those that have not ended. Locks nothing. Errors: 22023; an empty filter is refused.';

--
-- Name: set_dead_queue(text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

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
  -- Two at once could close a circle that neither sees.
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

--
-- Name: FUNCTION set_dead_queue(queue text, target text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.set_dead_queue(queue text, target text) IS 'Forwards what becomes a dead letter in a queue from now on: a new task of the same kind, args and options in the target queue, from where it is not forwarded again unless that queue
has a target of its own. null: no more. Anyone who may write dead_queues may call it. Locks that table against others who do this. Errors: 22023 (a circle), 55P03.';

--
-- Name: set_dead_queue_of_kind(text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION set_dead_queue_of_kind(kind text, target text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.set_dead_queue_of_kind(kind text, target text) IS 'Forwards what becomes a dead letter of a kind from now on, whichever queue it is in, to the target queue, as set_dead_queue() does, which it goes before. A task that was forwarded already
goes by its queue alone. null: no more. Anyone who may write dead_queues may call it. Locks that row. Errors: 22023, 55P03.';

--
-- Name: settle_cancelled(uuid, bigint[], bigint[], text[], boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION settle_cancelled(worker uuid, ids bigint[], leases bigint[], reasons text[], careful boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.settle_cancelled(worker uuid, ids bigint[], leases bigint[], reasons text[], careful boolean) IS 'For the worker that holds the leases: ends tasks as cancelled, because their handlers said that there is nothing left to do, with their
reasons. Returns the exceptions (see unsettled). Locks those tasks until commit. Errors: 55P03 a row is held, repeat with careful.';

--
-- Name: since_check(text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.since_check(field text, since timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF since IS NULL OR NOT (since >= timestamptz '1900-01-01 00:00+00' AND since < timestamptz '9999-01-01 00:00+00') THEN
    PERFORM refuse(field, format('is %s; allowed are the years 1900 to 9998', coalesce(since::text, 'null')));
  END IF;
END $$;

--
-- Name: FUNCTION since_check(field text, since timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.since_check(field text, since timestamp with time zone) IS 'Private. Refuses (22023) a time from which ticks cannot be counted. Locks nothing.';

--
-- Name: stats(); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.stats() RETURNS TABLE(queue text, ready bigint, upcoming bigint, running bigint, failed bigint, oldest_ready interval, completed_last_hour bigint, retried_last_hour bigint, failed_last_hour bigint, workers bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  WITH ticketed AS (
    SELECT k.queue, count(*) FILTER (WHERE k.run_at <= clock()) AS ready, count(*) FILTER (WHERE k.run_at > clock()) AS upcoming,
           clock() - min(k.run_at) FILTER (WHERE k.run_at <= clock()) AS oldest
    FROM tickets k GROUP BY k.queue),
  leased AS (SELECT r.queue, count(*) AS running FROM running_tasks r GROUP BY r.queue),
  dead AS (SELECT d.queue, count(*) AS failed FROM dead_letters d GROUP BY d.queue),
  hour AS (SELECT s.queue, sum(s.completed)::bigint AS completed, sum(s.retried)::bigint AS retried, sum(s.failed)::bigint AS failed
           FROM task_stats s WHERE s.minute > clock() - interval '1 hour' GROUP BY s.queue),
  present AS (SELECT q.name AS queue, count(*) AS workers FROM workers w CROSS JOIN LATERAL unnest(w.queues) AS q (name)
              WHERE w.seen_at > clock() - w.lease_ttl GROUP BY q.name),
  names AS (SELECT t.queue FROM ticketed t UNION SELECT l.queue FROM leased l UNION SELECT d.queue FROM dead d
            UNION SELECT h.queue FROM hour h UNION SELECT p.queue FROM present p)
  SELECT n.queue, coalesce(t.ready, 0), coalesce(t.upcoming, 0), coalesce(l.running, 0), coalesce(d.failed, 0), t.oldest,
         coalesce(h.completed, 0), coalesce(h.retried, 0), coalesce(h.failed, 0), coalesce(p.workers, 0)
  FROM names n LEFT JOIN ticketed t USING (queue) LEFT JOIN leased l USING (queue) LEFT JOIN dead d USING (queue)
       LEFT JOIN hour h USING (queue) LEFT JOIN present p USING (queue)
  ORDER BY n.queue
$$;

--
-- Name: FUNCTION stats(); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.stats() IS 'One row per queue. Counts what is live (tickets, leases, dead letters), never the history: completed tasks come from task_stats. Anyone who may read may call it; locks nothing.';

--
-- Name: status_moved(millrace.status, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.status_moved(status millrace.status, run_at timestamp with time zone) RETURNS millrace.status
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT CASE WHEN status = 'retrying' THEN 'retrying' WHEN run_at > clock() THEN 'scheduled' ELSE 'pending' END::status
$$;

--
-- Name: FUNCTION status_moved(status millrace.status, run_at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.status_moved(status millrace.status, run_at timestamp with time zone) IS 'Private: the status of a task that waits for its ticket, once it is to run at this time. Locks nothing.';

--
-- Name: stop_worker(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.stop_worker(worker text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT wish_of_worker(worker, 'stop')
$$;

--
-- Name: FUNCTION stop_worker(worker text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.stop_worker(worker text) IS 'Asks a worker to end, as SIGTERM does. It cannot be taken back. Otherwise as pause_worker().';

--
-- Name: take_key(text, text, text, bigint, timestamp with time zone, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION take_key(kind text, scope text, key text, task bigint, until timestamp with time zone, lock boolean, OUT holder bigint, OUT status millrace.status); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.take_key(kind text, scope text, key text, task bigint, until timestamp with time zone, lock boolean, OUT holder bigint, OUT status millrace.status) IS 'Private: makes a key lead to this task, unless it holds already; returns the task that it leads to, and its status if that is another. lock: the row is
locked in any case. Waits for a transaction that has inserted or locked it. Locks the key''s row if it writes it. Errors: 40001 above READ COMMITTED.';

--
-- Name: take_tickets(bigint[], text); Type: FUNCTION; Schema: millrace; Owner: -
--

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
  -- Twice, because a ticket is found by all columns of its index or, with two buckets in one condition, by a walk through it.
  EXECUTE format($q$
    WITH held AS MATERIALIZED (
      SELECT t.id, k.ctid AS tid
      FROM tasks t JOIN tickets k ON k.queue = t.queue AND k.bucket = t.priority / 25 AND k.run_at = t.run_at AND k.id = t.id
      WHERE t.id = ANY ($1) AND t.status IN ('pending', 'scheduled', 'retrying') AND %1$s
      FOR UPDATE OF k, t SKIP LOCKED),
    suspect AS MATERIALIZED (
      SELECT t.id, k.ctid AS tid
      FROM tasks t JOIN tickets k ON k.queue = t.queue AND k.bucket = -1 AND k.run_at = t.run_at AND k.id = t.id
      WHERE t.id = ANY ($1) AND t.status IN ('pending', 'scheduled', 'retrying') AND %1$s
      FOR UPDATE OF k, t SKIP LOCKED),
    gone AS (DELETE FROM tickets k WHERE k.ctid = ANY (ARRAY(SELECT h.tid FROM held h UNION ALL SELECT s.tid FROM suspect s)))
    SELECT ARRAY(SELECT h.id FROM held h UNION SELECT s.id FROM suspect s), ARRAY(SELECT s.id FROM suspect s) $q$, conditions)
  INTO ids, suspects USING candidates;
END $_$;

--
-- Name: FUNCTION take_tickets(candidates bigint[], conditions text, OUT ids bigint[], OUT suspects bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.take_tickets(candidates bigint[], conditions text, OUT ids bigint[], OUT suspects bigint[]) IS 'Private: locks those of these tasks that wait for their run and still fit, and deletes their tickets; tells which were suspects. What somebody has in hand is stepped over. Locks tickets, then tasks (SKIP LOCKED).';

--
-- Name: task_channel(bigint); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.task_channel(task bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_' || to_hex(hashtextextended(current_schema() || chr(2) || task, 0))
$$;

--
-- Name: FUNCTION task_channel(task bigint); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.task_channel(task bigint) IS 'The NOTIFY channel that tells those who wait for a task to look again. Anyone may call it; locks nothing.';

--
-- Name: task_ids(jsonb, bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.task_ids(filter jsonb, after bigint DEFAULT 0, most integer DEFAULT 1000) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  PERFORM page_check(most, 100000);
  IF filter ? 'tags' THEN
    PERFORM set_config('enable_bitmapscan', 'on', true);
  END IF;
  RETURN QUERY EXECUTE task_query(filter, 't.id', false, after, most);
END $$;

--
-- Name: FUNCTION task_ids(filter jsonb, after bigint, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.task_ids(filter jsonb, after bigint, most integer) IS 'The ids of the tasks that fit a filter, oldest first: at most so many (1 to 100000), above after. Reads what list_tasks() reads. Anyone who may read may call it; locks nothing. Errors: 22023.';

--
-- Name: task_query(jsonb, text, boolean, bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.task_query(filter jsonb, columns text, newest boolean, edge bigint, most integer) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  way CONSTANT text := CASE WHEN newest THEN 'DESC' ELSE 'ASC' END;
  parsed record;
  bound  text;
BEGIN
  SELECT * INTO parsed FROM parse_filter(filter);
  bound := coalesce(CASE WHEN newest THEN '< ' ELSE '> ' END || edge, 'IS NOT NULL');
  IF parsed.road IS NULL THEN
    RETURN format('SELECT %s FROM tasks t WHERE t.id %s AND %s ORDER BY t.id %s LIMIT %s', columns, bound, parsed.conditions, way, most);
  END IF;
  -- Ids are sorted, not rows, and rows are looked up in that order until the page is full.
  RETURN format('SELECT %s FROM %s WHERE %s ORDER BY r.id %s LIMIT %s', columns,
                along_road(format('SELECT DISTINCT w.id FROM (%s) w WHERE w.id %s ORDER BY w.id %s', parsed.road, bound, way)), parsed.conditions, way, most);
END $$;

--
-- Name: FUNCTION task_query(filter jsonb, columns text, newest boolean, edge bigint, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.task_query(filter jsonb, columns text, newest boolean, edge bigint, most integer) IS 'Private: the statement that finds a page of tasks by id, newest or oldest first, beyond edge. For its plan see task_ids(). Locks nothing. Errors: 22023.';

--
-- Name: tell_waits(bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION tell_waits(ids bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tell_waits(ids bigint[]) IS 'Private. Notifies those who wait for these tasks. To be called in a statement after the one that ended them, so that it sees waits that began
while that ran. Takes the cluster''s NOTIFY lock at commit, and only if somebody waits.';

--
-- Name: tick_after(millrace.schedules, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tick_after(schedule millrace.schedules, after timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT next_tick_of(schedule.plan, schedule.zone, after, schedule.gap, schedule.fold, schedule.anchor)
$$;

--
-- Name: FUNCTION tick_after(schedule millrace.schedules, after timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tick_after(schedule millrace.schedules, after timestamp with time zone) IS 'Private: the first tick of a schedule after a time. Locks nothing.';

--
-- Name: tick_at(millrace.schedules, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tick_at(schedule millrace.schedules, tick timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- Every worker must find the same jitter for a tick, so it is drawn from a hash.
  SELECT tick + schedule.jitter * ((hashint8extended(schedule.id, extract(epoch FROM tick)::bigint) & 1048575) / 1048576.0)
$$;

--
-- Name: FUNCTION tick_at(schedule millrace.schedules, tick timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tick_at(schedule millrace.schedules, tick timestamp with time zone) IS 'Private: when a tick of a schedule is to be fired, its jitter included. Locks nothing.';

--
-- Name: tick_between(jsonb, timestamp with time zone, timestamp without time zone, timestamp without time zone, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tick_between(plan jsonb, since timestamp with time zone, low timestamp without time zone, high timestamp without time zone, ahead interval) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  local timestamp := greatest(low, (since AT TIME ZONE 'UTC') + ahead);
BEGIN
  IF local >= high THEN
    RETURN NULL;
  END IF;
  local := next_time(plan, local);
  IF local >= high THEN
    RETURN NULL;
  END IF;
  RETURN (local - ahead) AT TIME ZONE 'UTC';
END $$;

--
-- Name: FUNCTION tick_between(plan jsonb, since timestamp with time zone, low timestamp without time zone, high timestamp without time zone, ahead interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tick_between(plan jsonb, since timestamp with time zone, low timestamp without time zone, high timestamp without time zone, ahead interval) IS 'Private: the first tick, not before since, among the local times from low to high of one day, whose clocks are ahead of UTC by so much; or null. Locks nothing.';

--
-- Name: ticks_between(text, text, timestamp with time zone, timestamp with time zone, text, text, timestamp with time zone, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.ticks_between(rule text, zone text, since timestamp with time zone, until timestamp with time zone, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone, most integer DEFAULT 1000) RETURNS SETOF timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  plan CONSTANT jsonb := rule_parse(rule);
  tick timestamptz := since;
BEGIN
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);
  PERFORM since_check('since', since);
  PERFORM since_check('anchor', coalesce(anchor, since));
  IF until IS NULL OR most IS NULL OR most NOT BETWEEN 1 AND 100000 THEN
    PERFORM refuse(CASE WHEN until IS NULL THEN 'until' ELSE 'most' END,
                   CASE WHEN until IS NULL THEN 'is null; allowed is any time' ELSE format('is %s; allowed is 1 to 100000', coalesce(most::text, 'null')) END);
  END IF;
  FOR i IN 1..most LOOP
    tick := next_tick_of(plan, zone, tick, gap, fold, anchor);
    EXIT WHEN tick IS NULL OR tick > until;
    RETURN NEXT tick;
  END LOOP;
END $$;

--
-- Name: FUNCTION ticks_between(rule text, zone text, since timestamp with time zone, until timestamp with time zone, gap text, fold text, anchor timestamp with time zone, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.ticks_between(rule text, zone text, since timestamp with time zone, until timestamp with time zone, gap text, fold text, anchor timestamp with time zone, most integer) IS 'The ticks of a rule after since and not after until, at most so many; see next_tick(). Anyone may call it; locks nothing. Errors: 22023.';

--
-- Name: ticks_within(millrace.schedules, timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.ticks_within(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS timestamp with time zone[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  ticks timestamptz[] := '{}';
  tick  timestamptz   := since;
BEGIN
  WHILE cardinality(ticks) < most LOOP
    tick := tick_after(schedule, tick);
    EXIT WHEN tick IS NULL OR tick > until;
    ticks := ticks || tick;
  END LOOP;
  RETURN ticks;
END $$;

--
-- Name: FUNCTION ticks_within(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.ticks_within(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) IS 'Private: the first ticks of a schedule after since and not after until, at most so many. Locks nothing.';

--
-- Name: tidy(interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tidy(keep interval DEFAULT '30 days'::interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
  wish  bigint;
  waits integer := 0;
BEGIN
  -- A wish that was not committed yet when the attempt's end was recorded: the task waits to run again, which nobody wants.
  FOR wish IN
    SELECT c.task FROM cancel_requests c JOIN tasks t ON t.id = c.task
    WHERE t.status NOT IN ('running', 'completed', 'failed', 'cancelled') ORDER BY c.task
  LOOP
    BEGIN
      PERFORM cancel(wish);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      -- Its row is held: the next tidy sees. The worker's heart calls this and must not wait for long.
      waits := waits + 1;
      EXIT WHEN waits = 2;
    WHEN SQLSTATE 'MR002' OR SQLSTATE 'MR003' THEN
      NULL;  -- it has ended meanwhile
    END;
  END LOOP;
  DELETE FROM cancel_requests c WHERE c.task IN (
    SELECT o.task FROM cancel_requests o
    WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = o.task AND t.status NOT IN ('completed', 'failed', 'cancelled')) FOR UPDATE SKIP LOCKED);
  DELETE FROM task_stats s WHERE s.minute < clock() - keep;
END $$;

--
-- Name: FUNCTION tidy(keep interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tidy(keep interval) IS 'Private, for workers, in turn: cancels tasks that somebody asked to cancel just when an attempt of theirs ended, and removes answered cancel
requests and old statistics. Locks those tasks'' tickets and rows (it waits for two of them, as long as cancel() does), then the rows it deletes.';

--
-- Name: tidy_keys(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION tidy_keys(from_block bigint, blocks integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tidy_keys(from_block bigint, blocks integer) IS 'Private, for workers, in turn: removes keys that no longer hold from so many pages of task_keys, from this one on, and returns where to go on, 0 to begin anew.
Locks the rows it deletes (SKIP LOCKED).';

--
-- Name: tidy_locks(interval, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tidy_locks(keep interval DEFAULT '01:00:00'::interval, most integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
  gone integer;
BEGIN
  DELETE FROM locks l WHERE l.name IN (
    SELECT o.name FROM locks o WHERE o.expires_at < clock() - keep LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;

--
-- Name: FUNCTION tidy_locks(keep interval, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tidy_locks(keep interval, most integer) IS 'Private, for workers, in turn: removes locks that expired so long ago, at most so many, and returns how many. Tokens go on growing. Locks the rows it deletes.';

--
-- Name: tidy_reports(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tidy_reports(after bigint DEFAULT 0, most integer DEFAULT 5000) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
  orphans bigint[];
  looked  integer;
  last    bigint;
BEGIN
  DELETE FROM waits w WHERE (w.task, w.id) IN (
    SELECT o.task, o.id FROM waits o WHERE o.expires_at < clock() FOR UPDATE SKIP LOCKED);
  SELECT count(*), max(n.task), array_agg(n.task) FILTER (WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = n.task))
  INTO looked, last, orphans
  FROM (SELECT r.task FROM reports r WHERE r.task > tidy_reports.after ORDER BY r.task LIMIT most) n;
  IF orphans IS NOT NULL THEN
    DELETE FROM log_lines l WHERE l.task = ANY (orphans);
    DELETE FROM reports r WHERE r.task = ANY (orphans);
  END IF;
  RETURN CASE WHEN looked = most THEN last ELSE 0 END;
END $$;

--
-- Name: FUNCTION tidy_reports(after bigint, most integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tidy_reports(after bigint, most integer) IS 'Private, for workers, in turn: removes waits that were not renewed, and the progress and log lines of tasks that are gone. It looks at the next
tasks after this id and returns where to go on, 0 to begin anew. Locks the rows it deletes.';

--
-- Name: tidy_ticks(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.tidy_ticks(schedule bigint, keep integer DEFAULT 1000) RETURNS void
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  DELETE FROM schedule_ticks k
  WHERE k.schedule = tidy_ticks.schedule
    AND k.tick <= (SELECT o.tick FROM schedule_ticks o WHERE o.schedule = tidy_ticks.schedule ORDER BY o.tick DESC OFFSET keep LIMIT 1)
$$;

--
-- Name: FUNCTION tidy_ticks(schedule bigint, keep integer); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.tidy_ticks(schedule bigint, keep integer) IS 'Private: forgets all but the latest ticks of a schedule, whose row the caller has locked.';

--
-- Name: unsettled(uuid, bigint[], bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.unsettled(worker uuid, ids bigint[], leases bigint[]) RETURNS TABLE(id bigint, verdict text)
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- Same lease, same worker and no longer running: this settlement, or an equal one before it, took place.
  SELECT u.id, CASE WHEN t.status = 'running' AND t.lease = u.lease AND t.worker = unsettled.worker THEN 'held' ELSE 'lost' END
  FROM unnest(ids, leases) AS u (id, lease) LEFT JOIN tasks t ON t.id = u.id
  WHERE (t.lease = u.lease AND t.worker = unsettled.worker AND t.status <> 'running') IS NOT TRUE
$$;

--
-- Name: FUNCTION unsettled(worker uuid, ids bigint[], leases bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.unsettled(worker uuid, ids bigint[], leases bigint[]) IS 'Private. Which of these tasks are not settled under their lease, and why. Locks nothing.';

--
-- Name: wake(text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.wake(queue text, due timestamp with time zone DEFAULT '-infinity'::timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  -- NOTIFY holds a lock of the whole cluster through the commit, so it is sent only while a live
  -- worker of this queue waits for it and would not look in time by itself. This is a statement of its
  -- own, after the inserts, so that it sees a flag committed while they ran; above READ COMMITTED it
  -- cannot see it, hence always notifies.
  IF current_setting('transaction_isolation') = 'read committed' AND NOT EXISTS (
       SELECT FROM workers w
       WHERE w.wants_wake AND wake.queue = ANY (w.queues) AND w.seen_at > clock() - w.lease_ttl
         AND wake.due <= clock() + w.poll_interval) THEN
    RETURN false;
  END IF;
  PERFORM pg_notify(wake_channel(wake.queue), '');
  RETURN true;
END $$;

--
-- Name: FUNCTION wake(queue text, due timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.wake(queue text, due timestamp with time zone) IS 'Wakes the workers of a queue if one wants it and would not look by itself before due; tells whether it did. Anyone may call it. Takes the cluster''s NOTIFY lock at commit, and only if it notified.';

--
-- Name: wake_channel(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.wake_channel(queue text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_' || to_hex(hashtextextended(current_schema() || chr(1) || queue, 0))
$$;

--
-- Name: FUNCTION wake_channel(queue text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.wake_channel(queue text) IS 'The NOTIFY channel that wakes workers of a queue. Anyone may call it; locks nothing.';

--
-- Name: want_wakes(uuid, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.want_wakes(worker uuid, wanted boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  UPDATE workers w SET wants_wake = wanted WHERE w.id = want_wakes.worker AND w.wants_wake <> wanted;
END $$;

--
-- Name: FUNCTION want_wakes(worker uuid, wanted boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.want_wakes(worker uuid, wanted boolean) IS 'Private, for workers: whether an enqueue is to notify this worker. After setting it, poll until every transaction that was open then has ended: one of them may have looked before. Locks the worker''s row.';

--
-- Name: wish_of_worker(text, text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.wish_of_worker(worker text, wish text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  target CONSTANT uuid := worker_named(worker);
BEGIN
  UPDATE workers w SET wish = wish_of_worker.wish WHERE w.id = target AND (w.wish <> 'stop' OR wish_of_worker.wish = 'stop');
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('worker %s was asked to stop', target);
  END IF;
  PERFORM pg_notify(worker_channel(target), '');
  RETURN target;
END $$;

--
-- Name: FUNCTION wish_of_worker(worker text, wish text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.wish_of_worker(worker text, wish text) IS 'Private: writes down what is asked of a worker, and tells it. Locks its row. Errors: MR002, MR003, 22023, 55P03.';

--
-- Name: with_defaults(text, text, integer, integer, jsonb, interval); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.with_defaults(kind text, INOUT queue text, INOUT priority integer, INOUT max_attempts integer, INOUT backoff jsonb, INOUT timeout interval) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
DECLARE
  declared kinds;
BEGIN
  SELECT k.* INTO declared FROM kinds k WHERE k.kind = with_defaults.kind;
  queue := coalesce(queue, declared.queue, 'default');
  priority := coalesce(priority, declared.priority, 50);
  max_attempts := coalesce(max_attempts, declared.max_attempts, 5);
  backoff := coalesce(backoff, declared.backoff);
  timeout := coalesce(timeout, declared.timeout);
END $$;

--
-- Name: FUNCTION with_defaults(kind text, INOUT queue text, INOUT priority integer, INOUT max_attempts integer, INOUT backoff jsonb, INOUT timeout interval); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.with_defaults(kind text, INOUT queue text, INOUT priority integer, INOUT max_attempts integer, INOUT backoff jsonb, INOUT timeout interval) IS 'Private. These options, and for null what the kind declares (kinds), or else the general default. enqueue() and add_task() have it written out. Locks nothing.';

--
-- Name: with_error(jsonb, integer, uuid, text, boolean); Type: FUNCTION; Schema: millrace; Owner: -
--

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

--
-- Name: FUNCTION with_error(errors jsonb, attempt integer, worker uuid, message text, note boolean); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.with_error(errors jsonb, attempt integer, worker uuid, message text, note boolean) IS 'Private. The error history with one more entry: the latest 10 are kept, messages cut to 4096 characters; a note that only repeats the last entry replaces it.';

--
-- Name: without(bigint[], bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.without(ids bigint[], these bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT ARRAY(SELECT unnest(ids) EXCEPT SELECT unnest(these) ORDER BY 1)
$$;

--
-- Name: FUNCTION without(ids bigint[], these bigint[]); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.without(ids bigint[], these bigint[]) IS 'Private: ids without these. Locks nothing.';

--
-- Name: worker_channel(uuid); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.worker_channel(worker uuid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_' || to_hex(hashtextextended(current_schema() || chr(3) || worker, 0))
$$;

--
-- Name: FUNCTION worker_channel(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.worker_channel(worker uuid) IS 'Private. The NOTIFY channel that tells a worker to look which of its running tasks somebody asked to cancel. Locks nothing.';

--
-- Name: worker_named(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.worker_named(worker text) RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  ids uuid[];
BEGIN
  SELECT array_agg(w.id) INTO ids FROM workers w WHERE w.id::text = worker;
  IF ids IS NULL THEN
    SELECT array_agg(w.id) INTO ids FROM workers w
    WHERE w.name = worker OR (length(worker) >= 4 AND starts_with(w.id::text, worker));
  END IF;
  IF ids IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no worker "%s"', left(worker, 128));
  ELSIF cardinality(ids) > 1 THEN
    PERFORM refuse('worker', format('"%s" is the name, or the beginning of the id, of %s workers; give a whole id', left(worker, 128), cardinality(ids)));
  END IF;
  RETURN ids[1];
END $$;

--
-- Name: FUNCTION worker_named(worker text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.worker_named(worker text) IS 'The worker of this id, of this name, or whose id begins so (4 characters at least). Anyone who may read workers may call it; locks nothing. Errors: MR002, 22023 (several).';

--
-- Name: zone_check(text); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.zone_check(zone text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
  IF zone = 'UTC' THEN
    RETURN;
  END IF;
  -- PostgreSQL would also take an abbreviation, or make up a zone from any "ABC5". A name with a slash is neither, so to
  -- try it is enough; any other is looked up in the list, which takes some 50 ms.
  IF zone ~ '^[A-Za-z]+/[A-Za-z0-9_/+-]+$' THEN
    BEGIN
      PERFORM clock() AT TIME ZONE zone;
      RETURN;
    EXCEPTION WHEN invalid_parameter_value THEN
      NULL;
    END;
  ELSIF EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = zone_check.zone) THEN
    RETURN;
  END IF;
  PERFORM refuse('zone', format('is %s, which is no time zone that this server knows; allowed are IANA names such as Europe/Berlin (see pg_timezone_names)',
                                coalesce('"' || left(zone, 64) || '"', 'null')));
END $_$;

--
-- Name: FUNCTION zone_check(zone text); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.zone_check(zone text) IS 'Private. Refuses (22023) what is no name of a time zone. Locks nothing.';

--
-- Name: zone_offset(text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
--

CREATE FUNCTION millrace.zone_offset(zone text, at timestamp with time zone) RETURNS interval
    LANGUAGE sql STABLE
    AS $$
  SELECT (at AT TIME ZONE zone) - (at AT TIME ZONE 'UTC')
$$;

--
-- Name: FUNCTION zone_offset(zone text, at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON FUNCTION millrace.zone_offset(zone text, at timestamp with time zone) IS 'Private: how far a zone''s clocks are ahead of UTC. Locks nothing.';

--
-- Name: cancel_requests; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.cancel_requests (
    task bigint NOT NULL,
    requested_at timestamp with time zone DEFAULT millrace.clock() NOT NULL
);

--
-- Name: TABLE cancel_requests; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.cancel_requests IS 'Private. Running tasks that somebody asked to cancel. While a task runs, only its worker and rescue write its row.';

--
-- Name: dead_letters; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.dead_letters AS
 SELECT t.id,
    t.kind,
    t.queue,
    t.priority,
    t.attempt,
    t.max_attempts,
    t.dead_at,
    ((t.errors -> '-1'::integer) ->> 'message'::text) AS last_error,
    t.errors,
    t.args,
    t.forwarded_to
   FROM millrace.tasks t
  WHERE ((t.dead_at IS NOT NULL) AND (t.status = 'failed'::millrace.status));

--
-- Name: VIEW dead_letters; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.dead_letters IS 'Failed tasks: out of attempts, or failed for good.';

--
-- Name: dead_queues; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.dead_queues (
    queue text,
    kind text,
    target text NOT NULL,
    CONSTRAINT dead_queues_check CHECK (((target <> ''::text) AND (target <> queue))),
    CONSTRAINT dead_queues_check1 CHECK ((num_nonnulls(queue, kind) = 1)),
    CONSTRAINT dead_queues_kind_check CHECK ((kind <> ''::text)),
    CONSTRAINT dead_queues_queue_check CHECK ((queue <> ''::text))
);

--
-- Name: TABLE dead_queues; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.dead_queues IS 'Where the dead letters of a queue, or of a kind, are forwarded to, as new tasks. Change it with set_dead_queue() and set_dead_queue_of_kind().';

--
-- Name: expiries; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.expiries (
    expires_at timestamp with time zone NOT NULL,
    task bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02');

--
-- Name: TABLE expiries; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.expiries IS 'Private. One row for each task that has an expires_at, until that time: tasks itself has no index on it.';

--
-- Name: kinds; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.kinds (
    kind text NOT NULL,
    alias_of text,
    queue text,
    priority smallint,
    max_attempts smallint,
    backoff jsonb,
    timeout interval,
    schema jsonb,
    registered_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    CONSTRAINT kinds_kind_check CHECK ((kind <> ''::text))
);

--
-- Name: TABLE kinds; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.kinds IS 'What the handlers of each kind declare: the defaults of its tasks (null: the general ones), and the JSON Schema of their args.';

--
-- Name: COLUMN kinds.alias_of; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.kinds.alias_of IS 'The present name of a kind that was renamed.';

--
-- Name: COLUMN kinds.registered_at; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.kinds.registered_at IS 'When a worker last declared something else than before.';

--
-- Name: leases; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.leases (
    id bigint NOT NULL,
    worker uuid NOT NULL,
    claimed_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    task_ids bigint[] NOT NULL,
    CONSTRAINT leases_task_ids_check CHECK ((cardinality(task_ids) > 0))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');

--
-- Name: TABLE leases; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.leases IS 'Private. One row per claimed batch: a worker''s right to its tasks. Ids are never reused.';

--
-- Name: leases_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
--

ALTER TABLE millrace.leases ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.leases_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: task_stats; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.task_stats (
    minute timestamp with time zone NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    worker uuid NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    retried bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    run_ms bigint DEFAULT 0 NOT NULL
);

--
-- Name: TABLE task_stats; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.task_stats IS 'What each worker did, per minute; flushed by the worker with its heartbeat.';

--
-- Name: workers; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.workers (
    id uuid NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    queues text[] NOT NULL,
    wants_wake boolean DEFAULT false NOT NULL,
    lease_ttl interval NOT NULL,
    poll_interval interval DEFAULT '00:00:01'::interval NOT NULL,
    started_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    seen_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    wish text DEFAULT 'run'::text NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    ran_at_death integer,
    CONSTRAINT workers_lease_ttl_check CHECK (((lease_ttl >= '00:00:01'::interval) AND (lease_ttl <= '1 day'::interval))),
    CONSTRAINT workers_poll_interval_check CHECK (((poll_interval >= '00:00:00'::interval) AND (poll_interval <= '1 day'::interval))),
    CONSTRAINT workers_queues_check CHECK ((cardinality(queues) > 0)),
    CONSTRAINT workers_state_check CHECK ((state = ANY (ARRAY['running'::text, 'paused'::text, 'stopping'::text]))),
    CONSTRAINT workers_wish_check CHECK ((wish = ANY (ARRAY['run'::text, 'pause'::text, 'stop'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

--
-- Name: TABLE workers; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.workers IS 'One row per live worker process. A worker not seen for its lease_ttl is dead and is rescued.';

--
-- Name: COLUMN workers.poll_interval; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.workers.poll_interval IS 'How long it may sleep without looking. What becomes due later than that needs no wake: it will have looked.';

--
-- Name: COLUMN workers.wish; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.workers.wish IS 'What somebody asked of it: pause_worker() and the like.';

--
-- Name: COLUMN workers.state; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.workers.state IS 'What it does, as it says itself.';

--
-- Name: COLUMN workers.ran_at_death; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.workers.ran_at_death IS 'How many tasks it ran when it was found dead. Null: it lives, or nobody has looked.';

--
-- Name: live_workers; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.live_workers AS
 SELECT w.id,
    w.name,
    w.host,
    w.pid,
    w.version,
    w.queues,
    w.state,
    w.wish,
    ( SELECT count(*) AS count
           FROM (millrace.leases l
             JOIN millrace.tasks t ON (((t.id = ANY (l.task_ids)) AND (t.lease = l.id))))
          WHERE ((l.worker = w.id) AND (t.status = 'running'::millrace.status))) AS running,
    (COALESCE(s.completed, (0)::numeric))::bigint AS completed,
    (COALESCE(s.failed, (0)::numeric))::bigint AS failed,
    w.started_at,
    w.seen_at,
    (w.seen_at > (millrace.clock() - w.lease_ttl)) AS alive
   FROM (millrace.workers w
     LEFT JOIN LATERAL ( SELECT sum(k.completed) AS completed,
            sum((k.retried + k.failed)) AS failed
           FROM millrace.task_stats k
          WHERE ((k.minute >= date_trunc('minute'::text, w.started_at)) AND (k.worker = w.id))) s ON (true));

--
-- Name: VIEW live_workers; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.live_workers IS 'The workers that are here: what each does, what is asked of it, how many tasks it holds now, and how many of its runs completed and failed.';

--
-- Name: locks_token_seq; Type: SEQUENCE; Schema: millrace; Owner: -
--

ALTER TABLE millrace.locks ALTER COLUMN token ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.locks_token_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: log_lines; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.log_lines (
    task bigint NOT NULL,
    seq bigint NOT NULL,
    attempt smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    line text NOT NULL
);

--
-- Name: TABLE log_lines; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.log_lines IS 'Private. What handlers logged: the latest 1000 lines of each task.';

--
-- Name: migrations; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    min_compatible integer NOT NULL,
    checksum text,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT migrations_check CHECK (((min_compatible >= 1) AND (min_compatible <= version))),
    CONSTRAINT migrations_name_check CHECK ((name <> ''::text)),
    CONSTRAINT migrations_version_check CHECK ((version > 0))
);

--
-- Name: TABLE migrations; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.migrations IS 'The applied migrations. A binary may serve a newer schema while its own version is at least max(min_compatible). checksum is filled in by the runner.';

--
-- Name: tickets; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.tickets (
    queue text NOT NULL,
    bucket smallint NOT NULL,
    run_at timestamp with time zone NOT NULL,
    id bigint NOT NULL,
    tid tid NOT NULL,
    CONSTRAINT tickets_bucket_check CHECK (((bucket >= '-1'::integer) AND (bucket <= 4)))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');

--
-- Name: TABLE tickets; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.tickets IS 'Private. What can be claimed: exactly one row for each pending, scheduled or retrying task.';

--
-- Name: ready_tasks; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.ready_tasks AS
 SELECT t.id,
    t.kind,
    k.queue,
    t.status,
    t.priority,
    t.attempt,
    t.max_attempts,
    k.run_at,
    t.created_at,
    (k.bucket = '-1'::integer) AS suspect,
    t.args
   FROM (millrace.tickets k
     JOIN millrace.tasks t ON ((t.id = k.id)))
  WHERE (k.run_at <= millrace.clock());

--
-- Name: VIEW ready_tasks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.ready_tasks IS 'Tasks that a worker may claim now.';

--
-- Name: reports; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.reports (
    task bigint NOT NULL,
    lease bigint NOT NULL,
    attempt smallint NOT NULL,
    done bigint,
    total bigint,
    note text,
    reported_at timestamp with time zone,
    lines bigint DEFAULT 0 NOT NULL,
    CONSTRAINT reports_done_check CHECK ((done >= 0)),
    CONSTRAINT reports_total_check CHECK ((total > 0))
)
WITH (fillfactor='50');

--
-- Name: TABLE reports; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.reports IS 'Private. One row per task whose handler reported progress or logged: the progress of its latest run that did, and how many lines it ever logged.';

--
-- Name: running_tasks; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.running_tasks AS
 SELECT t.id,
    t.kind,
    t.queue,
    t.priority,
    t.attempt,
    t.max_attempts,
    t.started_at,
    t.timeout,
    t.lease,
    t.worker,
    w.name AS worker_name,
    w.host AS worker_host,
    w.seen_at AS worker_seen_at,
    t.args
   FROM (((millrace.leases l
     CROSS JOIN LATERAL unnest(l.task_ids) u(id))
     JOIN millrace.tasks t ON (((t.id = u.id) AND (t.lease = l.id) AND (t.status = 'running'::millrace.status))))
     LEFT JOIN millrace.workers w ON ((w.id = l.worker)));

--
-- Name: VIEW running_tasks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.running_tasks IS 'Tasks in a lease, with the worker that holds it.';

--
-- Name: schedule_ticks; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.schedule_ticks (
    schedule bigint NOT NULL,
    tick timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    task bigint,
    fired_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    CONSTRAINT schedule_ticks_outcome_check CHECK ((outcome = ANY (ARRAY['enqueued'::text, 'missed'::text, 'held'::text, 'replaced'::text])))
);

--
-- Name: TABLE schedule_ticks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.schedule_ticks IS 'What became of each tick, at least the latest 1000 per schedule: enqueued (as task), missed (by the misfire policy; with all those before it that are not named), held (the previous task was live), replaced (owed, then a later tick came).';

--
-- Name: schedules_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
--

ALTER TABLE millrace.schedules ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.schedules_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: settings; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.settings (
    singleton boolean DEFAULT true NOT NULL,
    args_bytes_max integer DEFAULT 1048576 NOT NULL,
    CONSTRAINT settings_args_bytes_max_check CHECK (((args_bytes_max >= 256) AND (args_bytes_max <= 268435456))),
    CONSTRAINT settings_singleton_check CHECK (singleton)
);

--
-- Name: TABLE settings; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.settings IS 'One row: limits that an operator may change with UPDATE.';

--
-- Name: COLUMN settings.args_bytes_max; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON COLUMN millrace.settings.args_bytes_max IS 'Largest args accepted at enqueue, in bytes of their JSON text as PostgreSQL prints it. Default 1 MiB.';

--
-- Name: task_logs; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.task_logs AS
 SELECT l.task,
    l.seq,
    l.attempt,
    l.at,
    l.line
   FROM millrace.log_lines l;

--
-- Name: VIEW task_logs; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.task_logs IS 'What the handlers of a task logged, the latest 1000 lines of all its runs; seq counts from 1.';

--
-- Name: task_progress; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.task_progress AS
 SELECT r.task,
    r.attempt,
    r.done,
    r.total,
    r.note,
    r.reported_at
   FROM (millrace.reports r
     JOIN millrace.tasks t ON (((t.id = r.task) AND (t.lease = r.lease))))
  WHERE (r.done IS NOT NULL);

--
-- Name: VIEW task_progress; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.task_progress IS 'How far the latest run of a task came: done of total (null: unknown). Kept after its end; gone when the task is claimed again, until that run reports.';

--
-- Name: tasks_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
--

ALTER TABLE millrace.tasks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.tasks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: upcoming_tasks; Type: VIEW; Schema: millrace; Owner: -
--

CREATE VIEW millrace.upcoming_tasks AS
 SELECT t.id,
    t.kind,
    k.queue,
    t.status,
    t.priority,
    t.attempt,
    t.max_attempts,
    k.run_at,
    t.created_at,
    t.args
   FROM (millrace.tickets k
     JOIN millrace.tasks t ON ((t.id = k.id)))
  WHERE (k.run_at > millrace.clock());

--
-- Name: VIEW upcoming_tasks; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON VIEW millrace.upcoming_tasks IS 'Tasks that wait for their time: scheduled or retrying.';

--
-- Name: waits; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.waits (
    task bigint NOT NULL,
    id bigint NOT NULL,
    follow boolean NOT NULL,
    expires_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

--
-- Name: TABLE waits; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.waits IS 'Private. Who waits for a task''s end, or (follow) for its progress too; renewed while they wait.';

--
-- Name: waits_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
--

ALTER TABLE millrace.waits ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.waits_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: worker_sessions; Type: TABLE; Schema: millrace; Owner: -
--

CREATE TABLE millrace.worker_sessions (
    worker uuid NOT NULL,
    pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL
);

--
-- Name: TABLE worker_sessions; Type: COMMENT; Schema: millrace; Owner: -
--

COMMENT ON TABLE millrace.worker_sessions IS 'Private. The database sessions of each worker; a dead worker''s are terminated before its tasks are rescued.';

--
-- Name: cancel_requests cancel_requests_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.cancel_requests
    ADD CONSTRAINT cancel_requests_pkey PRIMARY KEY (task);

--
-- Name: dead_queues dead_queues_kind_key; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.dead_queues
    ADD CONSTRAINT dead_queues_kind_key UNIQUE (kind);

--
-- Name: dead_queues dead_queues_queue_key; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.dead_queues
    ADD CONSTRAINT dead_queues_queue_key UNIQUE (queue);

--
-- Name: expiries expiries_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.expiries
    ADD CONSTRAINT expiries_pkey PRIMARY KEY (expires_at, task);

--
-- Name: kinds kinds_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.kinds
    ADD CONSTRAINT kinds_pkey PRIMARY KEY (kind);

--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (id);

--
-- Name: locks locks_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.locks
    ADD CONSTRAINT locks_pkey PRIMARY KEY (name);

--
-- Name: log_lines log_lines_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.log_lines
    ADD CONSTRAINT log_lines_pkey PRIMARY KEY (task, seq);

--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);

--
-- Name: reports reports_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (task);

--
-- Name: schedule_ticks schedule_ticks_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.schedule_ticks
    ADD CONSTRAINT schedule_ticks_pkey PRIMARY KEY (schedule, tick);

--
-- Name: schedules schedules_name_key; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.schedules
    ADD CONSTRAINT schedules_name_key UNIQUE (name);

--
-- Name: schedules schedules_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (id);

--
-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (singleton);

--
-- Name: task_keys task_keys_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.task_keys
    ADD CONSTRAINT task_keys_pkey PRIMARY KEY (kind, scope, key);

--
-- Name: task_stats task_stats_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.task_stats
    ADD CONSTRAINT task_stats_pkey PRIMARY KEY (minute, queue, kind, worker);

--
-- Name: tasks tasks_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

--
-- Name: waits waits_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.waits
    ADD CONSTRAINT waits_pkey PRIMARY KEY (task, id);

--
-- Name: worker_sessions worker_sessions_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.worker_sessions
    ADD CONSTRAINT worker_sessions_pkey PRIMARY KEY (worker, pid, backend_start);

--
-- Name: workers workers_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
--

ALTER TABLE ONLY millrace.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);

--
-- Name: schedules_due; Type: INDEX; Schema: millrace; Owner: -
--

CREATE INDEX schedules_due ON millrace.schedules USING btree (next_at) WHERE (next_at IS NOT NULL);

--
-- Name: tasks_correlation; Type: INDEX; Schema: millrace; Owner: -
--

CREATE INDEX tasks_correlation ON millrace.tasks USING btree (correlation, id) WHERE (correlation IS NOT NULL);

--
-- Name: tasks_dead; Type: INDEX; Schema: millrace; Owner: -
--

CREATE INDEX tasks_dead ON millrace.tasks USING btree (dead_at, id) WHERE (dead_at IS NOT NULL);

--
-- Name: tasks_tags; Type: INDEX; Schema: millrace; Owner: -
--

CREATE INDEX tasks_tags ON millrace.tasks USING gin (tags) WHERE (tags IS NOT NULL);

--
-- Name: tasks_tenant; Type: INDEX; Schema: millrace; Owner: -
--

CREATE INDEX tasks_tenant ON millrace.tasks USING btree (tenant, id) WHERE (tenant IS NOT NULL);

--
-- Name: tickets_claim; Type: INDEX; Schema: millrace; Owner: -
--

CREATE INDEX tickets_claim ON millrace.tickets USING btree (queue, bucket, run_at, id);

--
-- PostgreSQL database dump complete
--

