-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: cancel(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cancel(id bigint) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
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

-- Name: FUNCTION cancel(id bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cancel(id bigint) IS 'Cancels a task. Returns ''cancelled'', or ''running'' if it runs: then its worker is asked to stop it, and it ends as cancelled unless it completes first.
Anyone who may write tasks may call it. Locks its ticket, then its row. Errors: MR002, MR003 (completed or failed), 55P03.';

-- Name: doctor(); Type: FUNCTION; Schema: millrace; Owner: -
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
  SELECT 'ticket of another kind', k.id, NULL, format('it hides the task from workers that handle %s', t.kind)
  FROM tickets k JOIN tasks t ON t.id = k.id WHERE k.kind_hash <> kind_hash(t.kind)
  UNION ALL
  SELECT 'running task outside any lease', t.id, t.lease, 'no worker answers for it'
  FROM tasks t WHERE t.status = 'running' AND NOT EXISTS (SELECT FROM leases l WHERE l.id = t.lease AND t.id = ANY (l.task_ids))
  UNION ALL
  SELECT 'lease without a live worker', NULL, l.id, format('worker %s; rescue will take it', l.worker)
  FROM leases l WHERE NOT EXISTS (SELECT FROM workers w WHERE w.id = l.worker AND w.seen_at >= clock() - w.lease_ttl)
$$;

-- Name: FUNCTION doctor(); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.doctor() IS 'Where tasks, tickets and leases disagree, one row each; none is the healthy answer. Reads the whole tasks table: minutes on a very long history. Anyone who may read may call it; locks nothing.';

-- Name: drop_ticket(millrace.tasks); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.drop_ticket(task millrace.tasks) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  -- Two statements, each with all columns of the index: one for both buckets may walk the whole index.
  DELETE FROM tickets k WHERE k.queue = task.queue AND k.bucket = task.priority / 25 AND k.run_at = task.run_at AND k.id = task.id;
  IF NOT FOUND THEN
    DELETE FROM tickets k WHERE k.queue = task.queue AND k.bucket = -1 AND k.run_at = task.run_at AND k.id = task.id;
  END IF;
  RETURN FOUND;
END $$;

-- Name: FUNCTION drop_ticket(task millrace.tasks); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.drop_ticket(task millrace.tasks) IS 'Private: deletes a task''s ticket by its claim index; tells whether there was one. Waits for a claim that is taking it. Locks the ticket.';

-- Name: mend(); Type: FUNCTION; Schema: millrace; Owner: -
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
      INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
      SELECT t.queue, t.priority / 25, kind_hash(t.kind), t.run_at, t.id, t.ctid FROM tasks t
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
    ELSIF found.problem = 'ticket of another kind' THEN
      -- What a claim has in its hands is left to it.
      WITH gone AS (
        DELETE FROM tickets k WHERE k.ctid IN (
          SELECT o.ctid FROM tickets o JOIN tasks t ON t.id = o.id WHERE o.id = found.task AND o.kind_hash <> kind_hash(t.kind) FOR UPDATE OF o SKIP LOCKED)
        RETURNING k.queue, k.bucket, k.run_at, k.id)
      INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
      SELECT g.queue, g.bucket, kind_hash(t.kind), g.run_at, g.id, t.ctid FROM gone g JOIN tasks t ON t.id = g.id;
      GET DIAGNOSTICS more = ROW_COUNT;
    ELSIF found.problem = 'running task outside any lease' THEN
      UPDATE tasks t SET status = 'retrying', lease = NULL, attempt = least(t.attempt, t.max_attempts - 1), run_at = clock()
      WHERE t.id = found.task AND t.status = 'running' AND NOT EXISTS (SELECT FROM leases l WHERE l.id = t.lease AND t.id = ANY (l.task_ids));
      GET DIAGNOSTICS more = ROW_COUNT;
      IF more > 0 THEN
        INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
        SELECT t.queue, t.priority / 25, kind_hash(t.kind), t.run_at, t.id, t.ctid FROM tasks t WHERE t.id = found.task;
      END IF;
    END IF;
    mended := mended + more;
  END LOOP;
  RETURN mended;
END $$;

-- Name: FUNCTION mend(); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.mend() IS 'Mends what doctor() finds; for the dead it does what rescue() does. Returns how many problems it mended. For people, rarely: it reads the whole tasks table. Locks dead workers'' rows, and the tasks it mends. Errors: 55P03.';

-- Name: retry(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.retry(id bigint) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
  RETURN revive(retry.id);
END $$;

-- Name: FUNCTION retry(id bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.retry(id bigint) IS 'Revives a failed or cancelled task with a new budget of attempts; its error history stays, its expires_at does not. Returns ''pending''.
Anyone who may write tasks may call it. Locks its unique key, if it has one, then its row. Errors: MR002, MR003 (any other state, or
another task with its unique key is live), 55P03.';

-- Name: revive(bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.revive(id bigint) RETURNS millrace.status
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET jit TO 'off'
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
  INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
  SELECT t.queue, t.priority / 25, kind_hash(t.kind), t.run_at, t.id, t.ctid FROM tasks t WHERE t.id = revive.id;
  PERFORM wake(task.queue);
  RETURN task.status;
END $$;

-- Name: FUNCTION revive(id bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.revive(id bigint) IS 'Private: what retry() does. Waits for locks as long as the caller lets it; says nothing of that itself, so that a batch of many has a bound of its own. Locks and errors: as retry().';

-- Name: stats(); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION stats(); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.stats() IS 'One row per queue. Counts what is live (tickets, leases, dead letters), never the history: completed tasks come from task_stats. Anyone who may read may call it; locks nothing.';

-- Name: dead_letters; Type: VIEW; Schema: millrace; Owner: -
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

-- Name: VIEW dead_letters; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.dead_letters IS 'Failed tasks: out of attempts, or failed for good.';

-- Name: ready_tasks; Type: VIEW; Schema: millrace; Owner: -
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

-- Name: VIEW ready_tasks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.ready_tasks IS 'Tasks that a worker may claim now.';

-- Name: running_tasks; Type: VIEW; Schema: millrace; Owner: -
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
     CROSS JOIN LATERAL ( SELECT o.id,
            o.kind,
            o.queue,
            o.status,
            o.priority,
            o.attempt,
            o.max_attempts,
            o.started_at,
            o.timeout,
            o.lease,
            o.worker,
            o.args
           FROM millrace.tasks o
          WHERE (o.id = u.id)
         OFFSET 0) t)
     LEFT JOIN millrace.workers w ON ((w.id = l.worker)))
  WHERE ((t.lease = l.id) AND (t.status = 'running'::millrace.status));

-- Name: VIEW running_tasks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.running_tasks IS 'Tasks in a lease, with the worker that holds it.';

-- Name: upcoming_tasks; Type: VIEW; Schema: millrace; Owner: -
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

-- Name: VIEW upcoming_tasks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.upcoming_tasks IS 'Tasks that wait for their time: scheduled or retrying.';

