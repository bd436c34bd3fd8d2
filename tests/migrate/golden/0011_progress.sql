-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: begin_wait(bigint, boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.begin_wait(task bigint, follow boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  wait bigint;
BEGIN
  IF task IS NULL OR follow IS NULL THEN
    PERFORM refuse(CASE WHEN task IS NULL THEN 'task' ELSE 'follow' END, 'must not be null');
  END IF;
  INSERT INTO waits AS w (task, follow, expires_at)
  VALUES (begin_wait.task, begin_wait.follow, clock() + interval '1 minute') RETURNING w.id INTO wait;
  RETURN wait;
END $$;

-- Name: FUNCTION begin_wait(task bigint, follow boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.begin_wait(task bigint, follow boolean) IS 'For whoever waits for a task: LISTEN on task_channel(task), call this and commit, then look at the task, and look again whenever told. An end
that was being recorded before this was committed tells nobody: take pg_current_xact_id() then, and until
pg_snapshot_xmin(pg_current_snapshot()) has reached it, look again after a while too. follow: be told of progress as well. Lasts a minute; renew_wait() prolongs it.
Anyone with INSERT and SELECT on waits may call it; locks only its new row. Errors: 22023.';

-- Name: end_wait(bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.end_wait(task bigint, wait bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  DELETE FROM waits w WHERE w.task = end_wait.task AND w.id = end_wait.wait;
END $$;

-- Name: FUNCTION end_wait(task bigint, wait bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.end_wait(task bigint, wait bigint) IS 'For whoever waited: forgets the wait. Locks its row.';

-- Name: record_reports(uuid, bigint[], bigint[], smallint[], bigint[], bigint[], text[], bigint[], bigint[], bigint[], bigint[], text[]); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION record_reports(worker uuid, ids bigint[], leases bigint[], attempts smallint[], done bigint[], totals bigint[], notes text[], counts bigint[], line_ids bigint[], line_back bigint[], line_ages bigint[], lines text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.record_reports(worker uuid, ids bigint[], leases bigint[], attempts smallint[], done bigint[], totals bigint[], notes text[], counts bigint[], line_ids bigint[], line_back bigint[], line_ages bigint[], lines text[]) IS 'For the worker that holds the leases, a few times a second: the latest progress of runs (done null: none), and what they logged. counts says how many lines each
run logged; line_back how many of that run''s come after this one, line_ages how many milliseconds ago. Runs that lost their lease are ignored.
Keeps the latest 1000 lines of a task. Locks those tasks'' rows in reports. Errors: 55P03, 40P01: repeat.';

-- Name: renew_wait(bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.renew_wait(task bigint, wait bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  UPDATE waits w SET expires_at = clock() + interval '1 minute' WHERE w.task = renew_wait.task AND w.id = renew_wait.wait;
  RETURN FOUND;
END $$;

-- Name: FUNCTION renew_wait(task bigint, wait bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.renew_wait(task bigint, wait bigint) IS 'For whoever waits: prolongs a wait to a minute from now; false if it has been tidied away, then begin again. Locks its row.';

-- Name: tidy_reports(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION tidy_reports(after bigint, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tidy_reports(after bigint, most integer) IS 'Private, for workers, in turn: removes waits that were not renewed, and the progress and log lines of tasks that are gone. It looks at the next
tasks after this id and returns where to go on, 0 to begin anew. Locks the rows it deletes.';

-- Name: log_lines; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.log_lines (
    task bigint NOT NULL,
    seq bigint NOT NULL,
    attempt smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    line text NOT NULL
);

-- Name: TABLE log_lines; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.log_lines IS 'Private. What handlers logged: the latest 1000 lines of each task.';

-- Name: reports; Type: TABLE; Schema: millrace; Owner: -
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

-- Name: TABLE reports; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.reports IS 'Private. One row per task whose handler reported progress or logged: the progress of its latest run that did, and how many lines it ever logged.';

-- Name: task_logs; Type: VIEW; Schema: millrace; Owner: -
CREATE VIEW millrace.task_logs AS
 SELECT l.task,
    l.seq,
    l.attempt,
    l.at,
    l.line
   FROM millrace.log_lines l;

-- Name: VIEW task_logs; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.task_logs IS 'What the handlers of a task logged, the latest 1000 lines of all its runs; seq counts from 1.';

-- Name: task_progress; Type: VIEW; Schema: millrace; Owner: -
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

-- Name: VIEW task_progress; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.task_progress IS 'How far the latest run of a task came: done of total (null: unknown). Kept after its end; gone when the task is claimed again, until that run reports.';

-- Name: log_lines log_lines_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.log_lines
    ADD CONSTRAINT log_lines_pkey PRIMARY KEY (task, seq);

-- Name: reports reports_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (task);

