-- 0013 control: what people ask of workers. docs/workers.md is the essay behind this file.
--
-- A wish is a row, so it outlives a lost notification: the worker reads it when it is told, when it connects, and with every
-- heartbeat. It is not the worker's row, which the heartbeat writes: who asks may be in a transaction that stays open for long.

SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

CREATE FUNCTION worker_named(worker text) RETURNS uuid
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
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
COMMENT ON FUNCTION worker_named(text) IS
  'The worker of this id, of this name, or whose id begins so (4 characters at least). Anyone who may read workers may call it; locks nothing. Errors: MR002, 22023 (several).';

CREATE FUNCTION wish_of_worker(worker text, wish text) RETURNS uuid
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '2s'
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
COMMENT ON FUNCTION wish_of_worker(text, text) IS 'Private: writes down what is asked of a worker, and tells it. Locks the row of what is asked. Errors: MR002, MR003, 22023, 55P03.';

CREATE FUNCTION pause_worker(worker text) RETURNS uuid
LANGUAGE sql SET search_path FROM CURRENT
AS $$
  SELECT wish_of_worker(worker, 'pause')
$$;
COMMENT ON FUNCTION pause_worker(text) IS
$c$Asks a worker (by id, the beginning of it, or name) to claim no more until it is resumed; what has begun goes on, what it holds and has not begun is given back.
Returns its id. Anyone who may read workers and write worker_wishes may call it. Locks what is asked of this worker against others who ask, and not the worker.
Errors: MR002, MR003 (it stops), 22023, 55P03.$c$;

CREATE FUNCTION resume_worker(worker text) RETURNS uuid
LANGUAGE sql SET search_path FROM CURRENT
AS $$
  SELECT wish_of_worker(worker, 'run')
$$;
COMMENT ON FUNCTION resume_worker(text) IS 'Lets a paused worker claim again; harmless if it is not paused. Otherwise as pause_worker().';

CREATE FUNCTION stop_worker(worker text) RETURNS uuid
LANGUAGE sql SET search_path FROM CURRENT
AS $$
  SELECT wish_of_worker(worker, 'stop')
$$;
COMMENT ON FUNCTION stop_worker(text) IS 'Asks a worker to end, as SIGTERM does. It cannot be taken back. Otherwise as pause_worker().';

CREATE FUNCTION attend_wish(worker uuid, state text) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off SET lock_timeout = '250ms'
AS $$
DECLARE
  wish text;
BEGIN
  UPDATE workers w SET state = attend_wish.state WHERE w.id = attend_wish.worker AND w.state <> attend_wish.state;
  SELECT o.wish INTO wish FROM worker_wishes o WHERE o.worker = attend_wish.worker;
  RETURN coalesce(wish, 'run');
END $$;
COMMENT ON FUNCTION attend_wish(uuid, text) IS 'Private, for workers: says what it does and returns what is asked of it (nothing: run). Locks its row if what it does changed. Errors: 55P03: repeat.';

CREATE VIEW live_workers AS
  SELECT w.id, w.name, w.host, w.pid, w.version, w.queues, w.kinds, w.state, coalesce(o.wish, 'run') AS wish,
         (SELECT count(*) FROM leases l CROSS JOIN LATERAL unnest(l.task_ids) AS u (id)
          CROSS JOIN LATERAL (SELECT o.lease, o.status FROM tasks o WHERE o.id = u.id OFFSET 0) t  -- see running_tasks
          WHERE l.worker = w.id AND t.lease = l.id AND t.status = 'running') AS running,
         coalesce(s.completed, 0)::bigint AS completed, coalesce(s.failed, 0)::bigint AS failed,
         w.started_at, w.seen_at, w.seen_at > clock() - w.lease_ttl AS alive
  FROM workers w
  LEFT JOIN worker_wishes o ON o.worker = w.id
  LEFT JOIN LATERAL (SELECT sum(k.completed) AS completed, sum(k.retried + k.failed) AS failed FROM task_stats k
                     WHERE k.minute >= date_trunc('minute', w.started_at) AND k.worker = w.id) s ON true;
COMMENT ON VIEW live_workers IS
  'The workers that are here: what each handles (kinds; null: it does not say) and does, what is asked of it, how many tasks it holds now, and how many of its runs completed and failed.';

INSERT INTO migrations (version, name, min_compatible) VALUES (13, 'control', 1);
