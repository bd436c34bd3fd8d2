-- 0011 progress: waiting for a task's end, and what a run says about itself while it runs.
-- docs/progress.md is the essay behind this file.
--
-- While a task runs only settle and rescue write its row, so progress and log lines have rows of their own. They are
-- fenced by the lease: what a zombie says is neither stored nor shown.

SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

CREATE FUNCTION begin_wait(task bigint, follow boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT
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
COMMENT ON FUNCTION begin_wait(bigint, boolean) IS
$c$For whoever waits for a task: LISTEN on task_channel(task), call this and commit, then look at the task, and look again whenever told. An end
that was being recorded before this was committed tells nobody: take pg_current_xact_id() then, and until
pg_snapshot_xmin(pg_current_snapshot()) has reached it, look again after a while too. follow: be told of progress as well. Lasts a minute; renew_wait() prolongs it.
Anyone with INSERT and SELECT on waits may call it; locks only its new row. Errors: 22023.$c$;

CREATE FUNCTION renew_wait(task bigint, wait bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
  UPDATE waits w SET expires_at = clock() + interval '1 minute' WHERE w.task = renew_wait.task AND w.id = renew_wait.wait;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION renew_wait(bigint, bigint) IS
  'For whoever waits: prolongs a wait to a minute from now; false if it has been tidied away, then begin again. Locks its row.';

CREATE FUNCTION end_wait(task bigint, wait bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
BEGIN
  DELETE FROM waits w WHERE w.task = end_wait.task AND w.id = end_wait.wait;
END $$;
COMMENT ON FUNCTION end_wait(bigint, bigint) IS 'For whoever waited: forgets the wait. Locks its row.';

CREATE TABLE reports (
  task        bigint      PRIMARY KEY,
  lease       bigint      NOT NULL,
  attempt     smallint    NOT NULL,
  done        bigint      CHECK (done >= 0),
  total       bigint      CHECK (total > 0),
  note        text,
  reported_at timestamptz,
  lines       bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
COMMENT ON TABLE reports IS
  'Private. One row per task whose handler reported progress or logged: the progress of its latest run that did, and how many lines it ever logged.';

CREATE TABLE log_lines (
  task    bigint      NOT NULL,
  seq     bigint      NOT NULL,
  attempt smallint    NOT NULL,
  at      timestamptz NOT NULL,
  line    text        NOT NULL,
  PRIMARY KEY (task, seq)
);
COMMENT ON TABLE log_lines IS 'Private. What handlers logged: the latest 1000 lines of each task.';

CREATE VIEW task_progress AS
  SELECT r.task, r.attempt, r.done, r.total, r.note, r.reported_at
  FROM reports r JOIN tasks t ON t.id = r.task AND t.lease = r.lease
  WHERE r.done IS NOT NULL;
COMMENT ON VIEW task_progress IS
  'How far the latest run of a task came: done of total (null: unknown). Kept after its end; gone when the task is claimed again, until that run reports.';

CREATE VIEW task_logs AS SELECT l.task, l.seq, l.attempt, l.at, l.line FROM log_lines l;
COMMENT ON VIEW task_logs IS 'What the handlers of a task logged, the latest 1000 lines of all its runs; seq counts from 1.';

CREATE FUNCTION record_reports(
  worker     uuid,
  ids        bigint[],
  leases     bigint[],
  attempts   smallint[],
  done       bigint[],
  totals     bigint[],
  notes      text[],
  counts     bigint[],
  line_ids   bigint[],
  line_back  bigint[],
  line_ages  bigint[],
  lines      text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET lock_timeout = '250ms'
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
COMMENT ON FUNCTION record_reports(uuid, bigint[], bigint[], smallint[], bigint[], bigint[], text[], bigint[], bigint[], bigint[], bigint[], text[]) IS
$c$For the worker that holds the leases, a few times a second: the latest progress of runs (done null: none), and what they logged. counts says how many lines each
run logged; line_back how many of that run's come after this one, line_ages how many milliseconds ago. Runs that lost their lease are ignored.
Keeps the latest 1000 lines of a task. Locks those tasks' rows in reports. Errors: 55P03, 40P01: repeat.$c$;

CREATE FUNCTION tidy_reports(after bigint DEFAULT 0, most integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off
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
COMMENT ON FUNCTION tidy_reports(bigint, integer) IS
$c$Private, for workers, in turn: removes waits that were not renewed, and the progress and log lines of tasks that are gone. It looks at the next
tasks after this id and returns where to go on, 0 to begin anew. Locks the rows it deletes.$c$;

INSERT INTO migrations (version, name, min_compatible) VALUES (11, 'progress', 1);
