-- 0002 tables: a task is a row, a ticket makes it claimable, a lease makes it running.
-- docs/decisions/0001-task-ticket-lease.md tells why the layout is this one.

SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

CREATE TYPE status AS ENUM
  ('waiting', 'pending', 'scheduled', 'retrying', 'running', 'completed', 'failed', 'cancelled');

-- Both updates of a task's life (claimed, settled) are HOT: fillfactor keeps room for three
-- versions on the page, and no index, nor any index predicate, names a column that they change.
CREATE TABLE tasks (
  id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind         text        NOT NULL,
  queue        text        NOT NULL DEFAULT 'default',
  status       status      NOT NULL DEFAULT 'pending',
  priority     smallint    NOT NULL DEFAULT 50,
  attempt      smallint    NOT NULL DEFAULT 0,
  max_attempts smallint    NOT NULL DEFAULT 5,
  run_at       timestamptz NOT NULL DEFAULT clock(),
  created_at   timestamptz NOT NULL DEFAULT clock(),
  started_at   timestamptz,
  finished_at  timestamptz,
  dead_at      timestamptz,
  lease        bigint,
  worker       uuid,
  timeout      interval,
  backoff      jsonb,
  args         jsonb       NOT NULL DEFAULT '{}',
  result       jsonb,
  errors       jsonb,
  expires_at   timestamptz,
  reason       text,
  correlation  text,
  tenant       text,
  tags         text[],
  metadata     jsonb,
  traceparent  text,
  unique_key   text,
  forwarded_to   bigint,
  forwarded_from bigint,
  -- One constraint, because each is set up anew by every statement that writes a task.
  CONSTRAINT tasks_in_range CHECK (
    priority BETWEEN 0 AND 100 AND attempt BETWEEN 0 AND max_attempts AND max_attempts BETWEEN 1 AND 1000
    AND kind <> '' AND queue <> '' AND (dead_at IS NULL OR status = 'failed'))
) WITH (fillfactor = 28);
COMMENT ON TABLE tasks IS 'One row per task, from enqueue to retention.';
COMMENT ON COLUMN tasks.priority IS '0 to 100, higher first, in buckets of 25; first come first served within a bucket.';
COMMENT ON COLUMN tasks.attempt IS 'How many runs were begun and not given back: a budget against max_attempts, not a fence.';
COMMENT ON COLUMN tasks.run_at IS 'Not to be claimed before this time.';
COMMENT ON COLUMN tasks.lease IS 'The lease of the last claim; kept after settling, so that a repeated settlement is recognised.';
COMMENT ON COLUMN tasks.backoff IS 'Retry policy, as backoff_check() describes it; null is the default policy.';
COMMENT ON COLUMN tasks.errors IS 'The latest 10 failed attempts: [{"attempt", "at", "worker", "message"}], messages cut to 4096 characters.';
COMMENT ON COLUMN tasks.expires_at IS 'If no attempt has begun by then, none will: the task is cancelled with the reason expired.';
COMMENT ON COLUMN tasks.reason IS 'Why it was cancelled: expired, or what its handler said; null if somebody cancelled it.';
COMMENT ON COLUMN tasks.correlation IS 'Ties together what belongs together; tasks that its handler enqueues inherit it.';
COMMENT ON COLUMN tasks.tenant IS 'The customer or user that it is for.';
COMMENT ON COLUMN tasks.metadata IS 'Texts by name, for handlers and people.';
COMMENT ON COLUMN tasks.traceparent IS 'W3C trace context of whoever enqueued it.';
COMMENT ON COLUMN tasks.unique_key IS 'Under which key it is unique while it is live (task_keys); set at enqueue only.';
COMMENT ON COLUMN tasks.forwarded_to IS 'The task that took its place in a dead-letter queue when it last became a dead letter (dead_queues).';
COMMENT ON COLUMN tasks.forwarded_from IS 'The dead letter that it was made from.';

CREATE INDEX tasks_dead ON tasks (dead_at, id) WHERE dead_at IS NOT NULL;
-- Partial, on columns that never change on the way: a task that does not use them has no entry.
CREATE INDEX tasks_correlation ON tasks (correlation, id) WHERE correlation IS NOT NULL;
CREATE INDEX tasks_tenant ON tasks (tenant, id) WHERE tenant IS NOT NULL;
CREATE INDEX tasks_tags ON tasks USING gin (tags) WHERE tags IS NOT NULL;

-- What enqueue() takes where a call leaves something open. Written by workers when they start, and only if it changed.
CREATE TABLE kinds (
  kind          text        PRIMARY KEY CHECK (kind <> ''),
  alias_of      text,
  queue         text,
  priority      smallint,
  max_attempts  smallint,
  backoff       jsonb,
  timeout       interval,
  schema        jsonb,
  registered_at timestamptz NOT NULL DEFAULT clock()
);
COMMENT ON TABLE kinds IS 'What the handlers of each kind declare: the defaults of its tasks (null: the general ones), and the JSON Schema of their args.';
COMMENT ON COLUMN kinds.alias_of IS 'The present name of a kind that was renamed.';
COMMENT ON COLUMN kinds.registered_at IS 'When a worker last declared something else than before.';

CREATE TABLE expiries (
  expires_at timestamptz NOT NULL,
  task       bigint      NOT NULL,
  PRIMARY KEY (expires_at, task)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE expiries IS
  'Private. One row for each task that has an expires_at, until that time, or a little longer if somebody held the task then: tasks itself has no index on it.';

CREATE FUNCTION kind_hash(kind text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT pg_catalog.hashtext(kind)';
COMMENT ON FUNCTION kind_hash(text) IS
  'Private. What a ticket knows of its task''s kind. Inlined where it is used, so it has no search_path of its own. Locks nothing.';

-- A ticket is never updated, only inserted and deleted. bucket is priority / 25 (0 to 4); -1 is the
-- lane of suspects, tasks that were running when a worker died, which are claimed one at a time.
-- By kind_hash a worker leaves alone what it has no handler for; it stands where alignment left a gap.
-- tid is where the task's row was when the ticket was written: a hint, checked against id.
CREATE TABLE tickets (
  queue     text        NOT NULL,
  bucket    smallint    NOT NULL CHECK (bucket BETWEEN -1 AND 4),
  kind_hash integer     NOT NULL,
  run_at    timestamptz NOT NULL,
  id        bigint      NOT NULL,
  tid       tid         NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE tickets IS 'Private. What can be claimed: exactly one row for each pending, scheduled or retrying task.';
CREATE INDEX tickets_claim ON tickets (queue, bucket, run_at, id);

CREATE TABLE leases (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  worker     uuid        NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT clock(),
  task_ids   bigint[]    NOT NULL CHECK (cardinality(task_ids) > 0)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE leases IS 'Private. One row per claimed batch: a worker''s right to its tasks. Ids are never reused.';

CREATE TABLE workers (
  id         uuid        PRIMARY KEY,
  name       text        NOT NULL,
  host       text        NOT NULL,
  pid        integer     NOT NULL,
  version    text        NOT NULL,
  queues     text[]      NOT NULL CHECK (cardinality(queues) > 0),
  kinds      text[],
  wants_wake boolean     NOT NULL DEFAULT false,
  lease_ttl  interval    NOT NULL CHECK (lease_ttl BETWEEN interval '1 second' AND interval '1 day'),
  poll_interval interval NOT NULL DEFAULT '1 second' CHECK (poll_interval BETWEEN interval '0' AND interval '1 day'),
  started_at timestamptz NOT NULL DEFAULT clock(),
  seen_at    timestamptz NOT NULL DEFAULT clock(),
  state      text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'paused', 'stopping')),
  ran_at_death integer
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
COMMENT ON COLUMN workers.kinds IS 'What it has handlers for, former names of kinds included; null: it does not say, and takes all.';
COMMENT ON COLUMN workers.state IS 'What it does, as it says itself.';
COMMENT ON COLUMN workers.ran_at_death IS 'How many tasks it ran when it was found dead. Null: it lives, or nobody has looked.';
COMMENT ON TABLE workers IS 'One row per live worker process. A worker not seen for its lease_ttl is dead and is rescued.';

COMMENT ON COLUMN workers.poll_interval IS 'How long it may sleep without looking. What becomes due later than that needs no wake: it will have looked.';

CREATE TABLE worker_sessions (
  worker        uuid        NOT NULL,
  pid           integer     NOT NULL,
  backend_start timestamptz NOT NULL,
  PRIMARY KEY (worker, pid, backend_start)
);
COMMENT ON TABLE worker_sessions IS 'Private. The database sessions of each worker; a dead worker''s are terminated before its tasks are rescued.';

CREATE TABLE worker_wishes (
  worker   uuid        PRIMARY KEY,
  wish     text        NOT NULL CHECK (wish IN ('run', 'pause', 'stop')),
  asked_at timestamptz NOT NULL DEFAULT clock()
) WITH (fillfactor = 50);
COMMENT ON TABLE worker_wishes IS
  'Private. What somebody asked of a worker: pause_worker() and the like. Rows of their own, so that who asks in a long transaction keeps no worker from its heartbeat.';

CREATE TABLE cancel_requests (
  task         bigint      PRIMARY KEY,
  requested_at timestamptz NOT NULL DEFAULT clock()
);
COMMENT ON TABLE cancel_requests IS 'Private. Running tasks that somebody asked to cancel. While a task runs, only its worker and rescue write its row.';

-- Settling looks whether this table holds anything, once per batch: plain tasks pay for no more.
CREATE TABLE waits (
  task       bigint      NOT NULL,
  id         bigint      GENERATED ALWAYS AS IDENTITY,
  follow     boolean     NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (task, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE waits IS 'Private. Who waits for a task''s end, or (follow) for its progress too; renewed while they wait.';

-- Recording a failure looks whether this table holds anything, once per batch: most queues need no more.
CREATE TABLE dead_queues (
  queue  text UNIQUE CHECK (queue <> ''),
  kind   text UNIQUE CHECK (kind <> ''),
  target text NOT NULL CHECK (target <> '' AND target <> queue),
  CHECK (num_nonnulls(queue, kind) = 1)
);
COMMENT ON TABLE dead_queues IS 'Where the dead letters of a queue, or of a kind, are forwarded to, as new tasks. Change it with set_dead_queue() and set_dead_queue_of_kind().';

CREATE TABLE task_stats (
  minute    timestamptz NOT NULL,
  queue     text        NOT NULL,
  kind      text        NOT NULL,
  worker    uuid        NOT NULL,
  completed bigint      NOT NULL DEFAULT 0,
  retried   bigint      NOT NULL DEFAULT 0,
  failed    bigint      NOT NULL DEFAULT 0,
  run_ms    bigint      NOT NULL DEFAULT 0,
  PRIMARY KEY (minute, queue, kind, worker)
);
COMMENT ON TABLE task_stats IS 'What each worker did, per minute; flushed by the worker with its heartbeat.';

INSERT INTO migrations (version, name, min_compatible) VALUES (2, 'tables', 1);
