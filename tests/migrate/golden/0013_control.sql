-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: attend_wish(uuid, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.attend_wish(worker uuid, state text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET lock_timeout TO '250ms'
    AS $$
DECLARE
  wish text;
BEGIN
  UPDATE workers w SET state = attend_wish.state WHERE w.id = attend_wish.worker AND w.state <> attend_wish.state;
  SELECT o.wish INTO wish FROM worker_wishes o WHERE o.worker = attend_wish.worker;
  RETURN coalesce(wish, 'run');
END $$;

-- Name: FUNCTION attend_wish(worker uuid, state text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.attend_wish(worker uuid, state text) IS 'Private, for workers: says what it does and returns what is asked of it (nothing: run). Locks its row if what it does changed. Errors: 55P03: repeat.';

-- Name: pause_worker(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.pause_worker(worker text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT wish_of_worker(worker, 'pause')
$$;

-- Name: FUNCTION pause_worker(worker text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.pause_worker(worker text) IS 'Asks a worker (by id, the beginning of it, or name) to claim no more until it is resumed; what has begun goes on, what it holds and has not begun is given back.
Returns its id. Anyone who may read workers and write worker_wishes may call it. Locks what is asked of this worker against others who ask, and not the worker.
Errors: MR002, MR003 (it stops), 22023, 55P03.';

-- Name: resume_worker(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.resume_worker(worker text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT wish_of_worker(worker, 'run')
$$;

-- Name: FUNCTION resume_worker(worker text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.resume_worker(worker text) IS 'Lets a paused worker claim again; harmless if it is not paused. Otherwise as pause_worker().';

-- Name: stop_worker(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.stop_worker(worker text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT wish_of_worker(worker, 'stop')
$$;

-- Name: FUNCTION stop_worker(worker text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.stop_worker(worker text) IS 'Asks a worker to end, as SIGTERM does. It cannot be taken back. Otherwise as pause_worker().';

-- Name: wish_of_worker(text, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.wish_of_worker(worker text, wish text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  target CONSTANT uuid := worker_named(worker);
BEGIN
  INSERT INTO worker_wishes AS o (worker, wish) VALUES (target, wish_of_worker.wish)
  ON CONFLICT ON CONSTRAINT worker_wishes_pkey DO UPDATE SET wish = excluded.wish, asked_at = excluded.asked_at
    WHERE o.wish <> 'stop' OR excluded.wish = 'stop';
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('worker %s was asked to stop', target);
  END IF;
  PERFORM pg_notify(worker_channel(target), '');
  RETURN target;
END $$;

-- Name: FUNCTION wish_of_worker(worker text, wish text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.wish_of_worker(worker text, wish text) IS 'Private: writes down what is asked of a worker, and tells it. Locks the row of what is asked. Errors: MR002, MR003, 22023, 55P03.';

-- Name: worker_named(text); Type: FUNCTION; Schema: millrace; Owner: -
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

-- Name: FUNCTION worker_named(worker text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.worker_named(worker text) IS 'The worker of this id, of this name, or whose id begins so (4 characters at least). Anyone who may read workers may call it; locks nothing. Errors: MR002, 22023 (several).';

-- Name: live_workers; Type: VIEW; Schema: millrace; Owner: -
CREATE VIEW millrace.live_workers AS
 SELECT w.id,
    w.name,
    w.host,
    w.pid,
    w.version,
    w.queues,
    w.kinds,
    w.state,
    COALESCE(o.wish, 'run'::text) AS wish,
    ( SELECT count(*) AS count
           FROM ((millrace.leases l
             CROSS JOIN LATERAL unnest(l.task_ids) u(id))
             CROSS JOIN LATERAL ( SELECT o_1.lease,
                    o_1.status
                   FROM millrace.tasks o_1
                  WHERE (o_1.id = u.id)
                 OFFSET 0) t)
          WHERE ((l.worker = w.id) AND (t.lease = l.id) AND (t.status = 'running'::millrace.status))) AS running,
    (COALESCE(s.completed, (0)::numeric))::bigint AS completed,
    (COALESCE(s.failed, (0)::numeric))::bigint AS failed,
    w.started_at,
    w.seen_at,
    (w.seen_at > (millrace.clock() - w.lease_ttl)) AS alive
   FROM ((millrace.workers w
     LEFT JOIN millrace.worker_wishes o ON ((o.worker = w.id)))
     LEFT JOIN LATERAL ( SELECT sum(k.completed) AS completed,
            sum((k.retried + k.failed)) AS failed
           FROM millrace.task_stats k
          WHERE ((k.minute >= date_trunc('minute'::text, w.started_at)) AND (k.worker = w.id))) s ON (true));

-- Name: VIEW live_workers; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.live_workers IS 'The workers that are here: what each handles (kinds; null: it does not say) and does, what is asked of it, how many tasks it holds now, and how many of its runs completed and failed.';

