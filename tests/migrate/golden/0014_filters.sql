-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: along_road(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.along_road(road text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- Each OFFSET 0 binds the planner's hands: statistics of what is live are old, and would have it compare every task with every id.
  SELECT format('(%s OFFSET 0) r CROSS JOIN LATERAL (SELECT * FROM tasks o WHERE o.id = r.id OFFSET 0) t', road)
$$;

-- Name: FUNCTION along_road(road text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.along_road(road text) IS 'Private: the FROM of a statement that looks up one task t after the other, by the ids of a query. Locks nothing.';

-- Name: count_tasks(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION count_tasks(filter jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.count_tasks(filter jsonb) IS 'How many tasks fit a filter, by queue, kind and status. Reads all of them: the live or dead ones if that is what is asked for, otherwise the whole history. stats() tells of
the live without reading it. Anyone who may read may call it; locks nothing. Errors: 22023.';

-- Name: depth(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.depth(queue text DEFAULT 'default'::text) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
  SELECT count(*) FROM tickets k WHERE k.queue = depth.queue AND k.run_at <= clock()
$$;

-- Name: FUNCTION depth(queue text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.depth(queue text) IS 'How many tasks of a queue could be claimed now. Reads its tickets. Anyone who may read may call it; locks nothing.';

-- Name: filter_fields(); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION filter_fields(); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.filter_fields() IS 'The fields of a filter: what each may be (name: a text; names, statuses, ids: one or several of them; time) and what it asks of a task. Of several
kinds, queues, statuses and ids one must fit, of tags all; from is inclusive, until is not. Anyone may call it; locks nothing.';

-- Name: filter_value(text, text, jsonb); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.filter_value(field text, shape text, given jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET "DateStyle" TO 'ISO'
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
    EXCEPTION WHEN data_exception THEN
      NULL;  -- whatever is wrong with it: its form, a field, its zone
    END;
    PERFORM refuse(field, format('is %s; allowed are times such as 2026-12-24T18:00:00Z', left(given::text, 64)));
  END IF;
  IF jsonb_array_length(several) NOT BETWEEN 1 AND 10000 THEN
    PERFORM refuse(field, format('has %s elements; allowed are 1 to 10000', jsonb_array_length(several)));
  END IF;
  SELECT e.value::text INTO wrong FROM jsonb_array_elements(several) e
  -- Of a null the statuses know neither yes nor no.
  WHERE (CASE shape WHEN 'ids' THEN jsonb_typeof(e.value) = 'number' AND e.value::text ~ '^[0-9]{1,18}$'
                     WHEN 'statuses' THEN e.value #>> '{}' IN (SELECT s::text FROM unnest(enum_range(NULL::status)) s)
                     ELSE jsonb_typeof(e.value) = 'string' AND octet_length(e.value #>> '{}') BETWEEN 1 AND 128 END) IS NOT TRUE
  LIMIT 1;
  IF FOUND THEN
    PERFORM refuse(field, format('is %s; allowed are %s', left(wrong, 64), CASE shape WHEN 'ids' THEN 'ids of tasks'
      WHEN 'statuses' THEN (SELECT string_agg(s::text, ', ') FROM unnest(enum_range(NULL::status)) s) ELSE 'texts of 1 to 128 bytes' END));
  END IF;
  RETURN CASE shape WHEN 'name' THEN given #>> '{}' ELSE ARRAY(SELECT jsonb_array_elements_text(several))::text END;
END $_$;

-- Name: FUNCTION filter_value(field text, shape text, given jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.filter_value(field text, shape text, given jsonb) IS 'Private: a field of a filter as the text of an SQL literal. Locks nothing. Errors: 22023.';

-- Name: list_tasks(jsonb, integer, bigint); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION list_tasks(filter jsonb, most integer, before bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.list_tasks(filter jsonb, most integer, before bigint) IS 'A page of the tasks that fit a filter (filter_fields()), newest first: at most so many (1 to 1000), with ids below before, which is the last id of the page before.
It reads what is live for live statuses, the dead letters for failed or dead_from and dead_until, and otherwise walks the primary key (or the index of correlation, tenant
or tags) from the newest task backwards until the page is full: the whole history if what is asked for is rare. Anyone who may read may call it; locks nothing. Errors: 22023.';

-- Name: page_check(integer, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.page_check(most integer, allowed integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF (most BETWEEN 1 AND allowed) IS NOT TRUE THEN
    PERFORM refuse('most', format('is %s; allowed is 1 to %s', coalesce(most::text, 'null'), allowed));
  END IF;
END $$;

-- Name: FUNCTION page_check(most integer, allowed integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.page_check(most integer, allowed integer) IS 'Private. Refuses (22023) a number of tasks that is out of range. Locks nothing.';

-- Name: parse_filter(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION parse_filter(filter jsonb, OUT conditions text, OUT road text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.parse_filter(filter jsonb, OUT conditions text, OUT road text) IS 'Private: a filter as conditions on tasks t, every value a literal, and the road to them. Anyone may call it; locks nothing. Errors: 22023.';

-- Name: task_ids(jsonb, bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION task_ids(filter jsonb, after bigint, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.task_ids(filter jsonb, after bigint, most integer) IS 'The ids of the tasks that fit a filter, oldest first: at most so many (1 to 100000), above after. Reads what list_tasks() reads. Anyone who may read may call it; locks nothing. Errors: 22023.';

-- Name: task_query(jsonb, text, boolean, bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION task_query(filter jsonb, columns text, newest boolean, edge bigint, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.task_query(filter jsonb, columns text, newest boolean, edge bigint, most integer) IS 'Private: the statement that finds a page of tasks by id, newest or oldest first, beyond edge. For its plan see task_ids(). Locks nothing. Errors: 22023.';

