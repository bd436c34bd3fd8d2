-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: attach_session(uuid); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.attach_session(worker uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '250ms'
    AS $$
DECLARE
  began timestamptz;
BEGIN
  -- PostgreSQL hides when a session of another role began: that is null, and may be the one that is meant.
  DELETE FROM worker_sessions s WHERE s.worker = attach_session.worker
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.pid AND coalesce(a.backend_start, s.backend_start) = s.backend_start);
  SELECT a.backend_start INTO began FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();
  IF began IS NULL THEN
    RAISE WARNING 'rescue will not be able to end this session: SET ROLE hides from it when it began';
    RETURN;
  END IF;
  INSERT INTO worker_sessions (worker, pid, backend_start) VALUES (attach_session.worker, pg_backend_pid(), began) ON CONFLICT DO NOTHING;
END $$;

-- Name: FUNCTION attach_session(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.attach_session(worker uuid) IS 'Private, for workers: ties this database session to a worker, so that rescue can end it. (pid, backend_start) names a session for good. Locks the worker''s ended sessions'' rows. Errors: 55P03: repeat.';

-- Name: cancellations(uuid); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cancellations(worker uuid) RETURNS bigint[]
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
  -- OFFSET 0, or the planner may walk through the tasks to find these few.
  SELECT ARRAY(SELECT c.task FROM cancel_requests c CROSS JOIN LATERAL (SELECT o.worker, o.status FROM tasks o WHERE o.id = c.task OFFSET 0) t
               WHERE t.worker = cancellations.worker AND t.status = 'running')
$$;

-- Name: FUNCTION cancellations(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cancellations(worker uuid) IS 'Private, for workers: which of its running tasks somebody asked to cancel. Locks nothing.';

-- Name: declared_number(jsonb, text, bigint, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.declared_number(declared jsonb, field text, low bigint, high bigint) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  value CONSTANT jsonb := nullif(declared -> field, 'null');
BEGIN
  IF value IS NULL THEN
    RETURN NULL;
  END IF;
  IF jsonb_typeof(value) = 'number' AND value::numeric BETWEEN low AND high AND value::numeric % 1 = 0 THEN
    RETURN value::bigint;
  END IF;
  PERFORM refuse(field, format('is %s; allowed is %s to %s', left(value::text, 64), low, high));
END $$;

-- Name: FUNCTION declared_number(declared jsonb, field text, low bigint, high bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.declared_number(declared jsonb, field text, low bigint, high bigint) IS 'Private: a whole number of what register_kinds() is given; null if it is missing. Locks nothing. Errors: 22023.';

-- Name: deregister_worker(uuid); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.deregister_worker(worker uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
  DELETE FROM worker_sessions s WHERE s.worker = deregister_worker.worker;
  DELETE FROM workers w WHERE w.id = deregister_worker.worker;
  PERFORM forget_wish(deregister_worker.worker);
END $$;

-- Name: FUNCTION deregister_worker(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.deregister_worker(worker uuid) IS 'Private, for workers: a clean goodbye after everything was settled or released. A lease left behind is rescued by others. Locks the worker''s row, then what was asked of it. Errors: 55P03: it will be rescued.';

-- Name: forget_kind(text); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION forget_kind(kind text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.forget_kind(kind text) IS 'Forgets what workers declared of a kind; its tasks stay. The next worker that handles it declares it again. Anyone who may write kinds may call it. Locks its row. Errors: MR002, 55P03.';

-- Name: forget_wish(uuid); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.forget_wish(worker uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
BEGIN
  -- Who asks in a transaction that is open must not hold up a rescue: what is left is tidied away.
  DELETE FROM worker_wishes o WHERE o.worker IN (SELECT s.worker FROM worker_wishes s WHERE s.worker = forget_wish.worker FOR UPDATE SKIP LOCKED);
END $$;

-- Name: FUNCTION forget_wish(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.forget_wish(worker uuid) IS 'Private: forgets what was asked of a worker that is gone, unless somebody asks just now. Locks that row (SKIP LOCKED).';

-- Name: give_back(bigint, boolean, boolean); Type: FUNCTION; Schema: millrace; Owner: -
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
  dead  bigint[];
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
                WHEN began OR t.attempt > 1 OR died_last(t.errors) THEN 'retrying'
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
    RETURNING t.id, t.status, t.kind, t.run_at, t.queue, t.priority, t.ctid, t.errors),
  ticketed AS (
    INSERT INTO tickets (queue, bucket, kind_hash, run_at, id, tid)
    SELECT g.queue, CASE WHEN died_last(g.errors) THEN -1 ELSE g.priority / 25 END, kind_hash(g.kind), g.run_at, g.id, g.ctid
    FROM given g WHERE g.status IN ('pending', 'retrying'))
  SELECT count(*), array_agg(g.id) FILTER (WHERE g.status = 'failed') INTO moved, dead FROM given g;
  IF dead IS NOT NULL AND EXISTS (SELECT FROM dead_queues d) THEN
    PERFORM forward_dead(dead);
  END IF;
  IF EXISTS (SELECT FROM waits w) THEN
    PERFORM tell_waits(lease.task_ids);
  END IF;
  DELETE FROM leases l WHERE l.id = lease_id
    AND NOT EXISTS (SELECT FROM tasks t WHERE t.id = ANY (lease.task_ids) AND t.lease = lease_id AND t.status = 'running');
  RETURN moved;
END $$;

-- Name: FUNCTION give_back(lease_id bigint, began boolean, alone boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.give_back(lease_id bigint, began boolean, alone boolean) IS 'Private: makes the running tasks of a lease claimable again and drops the lease once none runs. began: the tasks may have begun, so the
attempt counts and they go to the lane of suspects, where those that came from there return in any case; alone: the worker ran nothing else, so a last attempt is used up. Returns how many tasks
moved. Locks those tasks (held ones are stepped over), then the lease.';

-- Name: heartbeat(uuid, bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.heartbeat(worker uuid, named bigint[]) RETURNS TABLE(registered boolean, lost bigint[], cancelled bigint[], suspects text[])
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
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
          WHERE EXISTS (SELECT FROM tickets k WHERE k.queue = q.name AND k.bucket = -1 AND k.run_at <= clock()
                          AND (me.kinds IS NULL OR k.kind_hash = ANY (ARRAY(SELECT kind_hash(n) FROM unnest(me.kinds) AS n)))));
END $$;

-- Name: FUNCTION heartbeat(worker uuid, named bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.heartbeat(worker uuid, named bigint[]) IS 'Private, for workers: keeps a worker present. named are the leases it knows; its own leases older than lease_ttl that it does not name are given back.
Returns whether it is still registered (if not, all its leases are lost: register again), which named leases are gone, which of its running tasks somebody
asked to cancel, and which of its queues have suspects waiting that it handles. Locks the worker''s row, then what it gives back. Errors: 55P03: repeat.';

-- Name: record_stats(uuid, text[], text[], bigint[], bigint[], bigint[], bigint[]); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION record_stats(worker uuid, queues text[], kinds text[], completed bigint[], retried bigint[], failed bigint[], run_ms bigint[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.record_stats(worker uuid, queues text[], kinds text[], completed bigint[], retried bigint[], failed bigint[], run_ms bigint[]) IS 'Private, for workers: adds what a worker did since its last call to this minute. Locks only that worker''s rows.';

-- Name: register_kinds(jsonb); Type: FUNCTION; Schema: millrace; Owner: -
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
  IF jsonb_typeof(declared) <> 'array' THEN
    PERFORM refuse('kinds', format('must be a JSON array, not %s', jsonb_typeof(declared)));
  END IF;
  -- In order of their names, so that workers which start together cannot wait for each other in a circle.
  FOR one IN SELECT d.value FROM jsonb_array_elements(declared) d ORDER BY d.value ->> 'kind' COLLATE "C" LOOP
    row := (one ->> 'kind', one ->> 'alias_of', one ->> 'queue', declared_number(one, 'priority', 0, 100),
            declared_number(one, 'max_attempts', 1, 1000), nullif(one -> 'backoff', 'null'),
            declared_number(one, 'timeout_ms', 1, 31536000000) * interval '1 millisecond', nullif(one -> 'schema', 'null'), clock());
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

-- Name: FUNCTION register_kinds(declared jsonb); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.register_kinds(declared jsonb) IS 'For workers, when they start: declares what the tasks of their kinds are to be like, [{"kind", "alias_of", "queue", "priority", "max_attempts", "backoff", "timeout_ms", "schema"}],
where all but the kind may be missing. The latest word counts. Returns the kinds that are new or changed, and locks only their rows. Errors: 22023, 55P03.';

-- Name: register_worker(uuid, text, text, integer, text, text[], interval, interval, text[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.register_worker(id uuid, name text, host text, pid integer, version text, queues text[], lease_ttl interval, poll_interval interval DEFAULT '00:00:01'::interval, kinds text[] DEFAULT NULL::text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
#variable_conflict use_variable
BEGIN
  -- What was asked of it before it was taken for dead went with its row; what rescue could not take away goes now.
  DELETE FROM worker_wishes o WHERE o.worker = id AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker);
  INSERT INTO workers AS w (id, name, host, pid, version, queues, kinds, lease_ttl, poll_interval)
  VALUES (id, name, host, pid, version, queues, kinds, lease_ttl, poll_interval)
  ON CONFLICT ON CONSTRAINT workers_pkey DO UPDATE SET seen_at = clock(), wants_wake = false, ran_at_death = NULL;
END $$;

-- Name: FUNCTION register_worker(id uuid, name text, host text, pid integer, version text, queues text[], lease_ttl interval, poll_interval interval, kinds text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.register_worker(id uuid, name text, host text, pid integer, version text, queues text[], lease_ttl interval, poll_interval interval, kinds text[]) IS 'Private, for workers: makes a worker present; again after it was taken for dead. kinds are what it has handlers for (null: all). Locks its row. Errors: 55P03: repeat.';

-- Name: rescue(integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.rescue(most integer DEFAULT 1000) RETURNS TABLE(dead_workers integer, rescued integer)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
DECLARE
  dead    uuid;
  session record;
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
    FOR session IN
      SELECT a.pid, a.backend_start IS NOT NULL AS known FROM worker_sessions s
      JOIN pg_stat_activity a ON a.pid = s.pid AND a.datname = current_database() AND coalesce(a.backend_start, s.backend_start) = s.backend_start
      WHERE s.worker = dead AND s.pid <> pg_backend_pid()
    LOOP
      BEGIN
        -- PostgreSQL hides when a session of another role began. It may be somebody else's that has the pid now, so it is let live.
        IF NOT session.known THEN
          RAISE insufficient_privilege;
        END IF;
        PERFORM pg_terminate_backend(session.pid);
      EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'cannot end session % of dead worker %: its role is another', session.pid, dead;
      END;
    END LOOP;
    SELECT array_agg(l.id ORDER BY l.id) INTO held FROM leases l WHERE l.worker = dead;
    -- OFFSET 0 keeps the planner from reading the whole history, whatever the statistics of leases say.
    SELECT count(*) INTO running FROM leases l CROSS JOIN LATERAL unnest(l.task_ids) AS u (id)
    CROSS JOIN LATERAL (SELECT o.lease, o.status FROM tasks o WHERE o.id = u.id OFFSET 0) t
    WHERE l.worker = dead AND t.lease = l.id AND t.status = 'running';
    -- What died beside others did so also in a later cycle, when the others are rescued already.
    running := greatest(running, (SELECT w.ran_at_death FROM workers w WHERE w.id = dead));
    FOREACH one IN ARRAY coalesce(held, '{}') LOOP
      rescued := rescued + give_back(one, began => true, alone => running = 1);
    END LOOP;
    -- A lease that came after the count is one without a worker from now on: nobody knows what it died beside.
    IF NOT EXISTS (SELECT FROM leases l WHERE l.id = ANY (held)) THEN
      DELETE FROM worker_sessions s WHERE s.worker = dead;
      DELETE FROM workers w WHERE w.id = dead;
      PERFORM forget_wish(dead);
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

-- Name: FUNCTION rescue(most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.rescue(most integer) IS 'Private, for workers, in turn: ends the sessions of workers not seen for their lease_ttl and makes their tasks claimable again, one at a time.
A session of another role is ended if the caller''s is a member of pg_signal_backend and pg_read_all_stats (or pg_monitor); otherwise there is a warning.
Any number may run at once (dead workers are taken FOR UPDATE SKIP LOCKED). Locks those workers'' rows, then tasks (SKIP LOCKED), then leases. Returns how many workers and tasks.';

-- Name: tidy(interval); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tidy(keep interval DEFAULT '30 days'::interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
  wish  bigint;
  waits integer := 0;
BEGIN
  -- A wish that was not committed yet when the attempt's end was recorded: the task waits to run again, which nobody wants.
  FOR wish IN
    SELECT c.task FROM cancel_requests c CROSS JOIN LATERAL (SELECT o.status FROM tasks o WHERE o.id = c.task OFFSET 0) t
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
  -- Asked of a worker that was just going.
  DELETE FROM worker_wishes o WHERE o.worker IN (
    SELECT s.worker FROM worker_wishes s WHERE NOT EXISTS (SELECT FROM workers w WHERE w.id = s.worker) FOR UPDATE SKIP LOCKED);
  DELETE FROM task_stats s WHERE s.minute < clock() - keep;
END $$;

-- Name: FUNCTION tidy(keep interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tidy(keep interval) IS 'Private, for workers, in turn: cancels tasks that somebody asked to cancel just when an attempt of theirs ended, and removes answered cancel
requests, wishes of workers that are gone and old statistics. Locks those tasks'' tickets and rows (it waits for two of them, as long as cancel() does), then the rows it deletes.';

-- Name: want_wakes(uuid, boolean); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.want_wakes(worker uuid, wanted boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
BEGIN
  UPDATE workers w SET wants_wake = wanted WHERE w.id = want_wakes.worker AND w.wants_wake <> wanted;
END $$;

-- Name: FUNCTION want_wakes(worker uuid, wanted boolean); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.want_wakes(worker uuid, wanted boolean) IS 'Private, for workers: whether an enqueue is to notify this worker. After setting it, poll until every transaction that was open then has ended: one of them may have looked before. Locks the worker''s row. Errors: 55P03: repeat.';

-- Name: worker_channel(uuid); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.worker_channel(worker uuid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_' || to_hex(hashtextextended(current_schema() || chr(3) || worker, 0))
$$;

-- Name: FUNCTION worker_channel(worker uuid); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.worker_channel(worker uuid) IS 'Private. The NOTIFY channel that tells a worker to look which of its running tasks somebody asked to cancel. Locks nothing.';

