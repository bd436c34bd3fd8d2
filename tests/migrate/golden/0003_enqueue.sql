-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: about_check(timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
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
    PERFORM interval_check('expires_in', expires_in, '1 millisecond', '100 years', '1 millisecond to 100 years');
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

-- Name: FUNCTION about_check(expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.about_check(expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Private. Refuses (22023) what an enqueue says about a task beyond its options, if out of range. Locks nothing.';

-- Name: add_task(bigint, text, jsonb, text, integer, timestamp with time zone, integer, jsonb, interval, boolean, timestamp with time zone, text, text, text[], jsonb, text, text); Type: FUNCTION; Schema: millrace; Owner: -
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
  INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid) VALUES (queue, priority / 25, kind_hash(kind), due, task, hint);
  IF expires_at IS NOT NULL THEN
    INSERT INTO expiries (expires_at, task) VALUES (expires_at, task);
  END IF;
  IF wake THEN
    PERFORM wake(queue, due);
  END IF;
  RETURN first;
END $$;

-- Name: FUNCTION add_task(task bigint, kind text, args jsonb, queue text, priority integer, due timestamp with time zone, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text, unique_key text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.add_task(task bigint, kind text, args jsonb, queue text, priority integer, due timestamp with time zone, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, correlation text, tenant text, tags text[], metadata jsonb, traceparent text, unique_key text) IS 'Private. Adds a task under this id, with everything that was said about it, all of it checked before; null: what its kind declares (kinds). Locks nothing but its new rows.';

-- Name: args_check(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION args_check(args jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.args_check(args jsonb) IS 'Private. Refuses (22023) args that are no object, too large or nested too deep. Locks nothing.';

-- Name: backoff_check(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
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
      PERFORM refuse('backoff.' || field.key, format('is %s; allowed are 0 to 31536000 seconds', left(field.value::text, 64)));
    ELSIF field.key = 'multiplier' AND NOT num BETWEEN 1 AND 100 THEN
      PERFORM refuse('backoff.multiplier', format('is %s; allowed is 1 to 100', left(field.value::text, 64)));
    ELSIF field.key = 'jitter' AND num <> 0 AND NOT num BETWEEN 1e-6 AND 0.5 THEN
      PERFORM refuse('backoff.jitter', format('is %s; allowed are 0, and 0.000001 to 0.5', left(field.value::text, 64)));
    END IF;
  END LOOP;
EXCEPTION WHEN numeric_value_out_of_range THEN
  PERFORM refuse('backoff', 'holds a number that is out of range');
END $$;

-- Name: FUNCTION backoff_check(backoff jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.backoff_check(backoff jsonb) IS 'Private. Refuses (22023) what is no retry policy. One is {"type": "exponential" | "linear" | "fixed", "base": seconds, "cap": seconds = 3600, "multiplier": 2, "jitter": 0.15}. Locks nothing.';

-- Name: enqueue(text, jsonb, text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
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
  INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid) VALUES (queue, priority / 25, kind_hash(kind), due, task, hint);
  -- This is wake(), written out: a call would cost more than what it does.
  IF wake AND (current_setting('transaction_isolation') <> 'read committed' OR EXISTS (
       SELECT FROM workers w WHERE w.wants_wake AND enqueue.queue = ANY (w.queues) AND w.seen_at > clock() - w.lease_ttl
         AND due <= clock() + w.poll_interval)) THEN
    PERFORM pg_notify('millrace_' || to_hex(hashtextextended(current_schema() || chr(1) || queue, 0)), '');
  END IF;
  RETURN task;
END $$;

-- Name: FUNCTION enqueue(kind text, args jsonb, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.enqueue(kind text, args jsonb, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Adds a task in the caller''s transaction and returns its id. Who calls it needs INSERT on tasks and tickets, and SELECT on kinds, workers, settings and tasks (id, ctid, queue, priority); where the call says something of the last seven, USAGE on the sequence tasks_id_seq; where it expires, INSERT on expiries. Locks nothing but its new rows. wake => false for callers that will PREPARE TRANSACTION. What is null is as the kind declares (kinds), or else the default: queue default, priority 50, 5 attempts, exponential backoff, no timeout. Not started by expires_at (or expires_in from now), it never will be. Errors: 22023.';

-- Name: enqueue_many(text, jsonb[], text, integer, timestamp with time zone, interval, integer, jsonb, interval, boolean, timestamp with time zone, interval, text, text, text[], jsonb, text); Type: FUNCTION; Schema: millrace; Owner: -
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
    INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
    SELECT queue, priority / 25, kind_hash(kind), due, a.id, a.ctid FROM added a)
  SELECT coalesce(array_agg(a.id), '{}') INTO tasks FROM added a;
  IF expires_at IS NOT NULL THEN
    INSERT INTO expiries (expires_at, task) SELECT expires_at, a.id FROM unnest(tasks) AS a (id);
  END IF;
  IF wake AND cardinality(tasks) > 0 THEN
    PERFORM wake(queue, due);
  END IF;
  RETURN tasks;
END $$;

-- Name: FUNCTION enqueue_many(kind text, args jsonb[], queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.enqueue_many(kind text, args jsonb[], queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval, wake boolean, expires_at timestamp with time zone, expires_in interval, correlation text, tenant text, tags text[], metadata jsonb, traceparent text) IS 'Adds one task per element of args, all or none, and returns their ids in the same order. Otherwise as enqueue(), and never needs the sequence.';

-- Name: interval_check(text, interval, interval, interval, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.interval_check(field text, given interval, low interval, high interval, allowed text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  months CONSTANT numeric := extract(year FROM given) * 12 + extract(month FROM given);
  rest   CONSTANT numeric := extract(epoch FROM given - make_interval(months => months::integer));
BEGIN
  -- Intervals compare as if every month had 30 days, so one of mixed sign may seem short and lead into the past, or out of
  -- all time. It has to be long enough as the months really are, and its days must be few enough to be added by themselves. A
  -- hundred years may be given in milliseconds too, which compare as more.
  IF NOT (given >= low AND (given <= high OR extract(epoch FROM given) <= extract(epoch FROM high)) AND abs(extract(day FROM given)) <= 100000
          AND months * 86400 * CASE WHEN months > 0 THEN 28 ELSE 31 END + rest >= extract(epoch FROM low)) THEN
    PERFORM refuse(field, format('is %s; allowed is %s', given, allowed));
  END IF;
END $$;

-- Name: FUNCTION interval_check(field text, given interval, low interval, high interval, allowed text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.interval_check(field text, given interval, low interval, high interval, allowed text) IS 'Private. Refuses (22023) an interval that is out of range, or that may be so because its parts differ in sign. Null is none, and passes. Locks nothing.';

-- Name: options_check(text, text, integer, timestamp with time zone, interval, integer, jsonb, interval); Type: FUNCTION; Schema: millrace; Owner: -
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
    PERFORM interval_check('delay', delay, '0', '100 years', '0 to 100 years');
  ELSIF run_at IS NOT NULL AND NOT (run_at >= timestamptz '1970-01-01 00:00+00' AND run_at < timestamptz '10000-01-01 00:00+00') THEN
    PERFORM refuse('run_at', format('is %s; allowed are the years 1970 to 9999', run_at));
  END IF;
  IF timeout IS NOT NULL THEN
    PERFORM interval_check('timeout', timeout, '1 millisecond', '365 days', '1 millisecond to 365 days');
  END IF;
  IF backoff IS NOT NULL THEN
    PERFORM backoff_check(backoff);
  END IF;
END $$;

-- Name: FUNCTION options_check(kind text, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.options_check(kind text, queue text, priority integer, run_at timestamp with time zone, delay interval, max_attempts integer, backoff jsonb, timeout interval) IS 'Private. Refuses (22023) options of an enqueue that are out of range. Locks nothing.';

-- Name: priority(text); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION priority(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.priority(name text) IS 'The number of a named priority, for enqueue(priority => priority(''high'')). Anyone may call it; locks nothing. Errors: 22023.';

-- Name: refuse(text, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.refuse(field text, problem text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', COLUMN = field, MESSAGE = field || ' ' || problem;
END $$;

-- Name: FUNCTION refuse(field text, problem text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.refuse(field text, problem text) IS 'Private. Raises 22023 with the field''s name. Locks nothing.';

-- Name: wake(text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION wake(queue text, due timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.wake(queue text, due timestamp with time zone) IS 'Wakes the workers of a queue if one wants it and would not look by itself before due; tells whether it did. Anyone may call it. Takes the cluster''s NOTIFY lock at commit, and only if it notified.';

-- Name: wake_channel(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.wake_channel(queue text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_' || to_hex(hashtextextended(current_schema() || chr(1) || queue, 0))
$$;

-- Name: FUNCTION wake_channel(queue text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.wake_channel(queue text) IS 'The NOTIFY channel that wakes workers of a queue. Anyone may call it; locks nothing.';

-- Name: with_defaults(text, text, integer, integer, jsonb, interval); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION with_defaults(kind text, INOUT queue text, INOUT priority integer, INOUT max_attempts integer, INOUT backoff jsonb, INOUT timeout interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.with_defaults(kind text, INOUT queue text, INOUT priority integer, INOUT max_attempts integer, INOUT backoff jsonb, INOUT timeout interval) IS 'Private. These options, and for null what the kind declares (kinds), or else the general default. enqueue() and add_task() have it written out. Locks nothing.';

