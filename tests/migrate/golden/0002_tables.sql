-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: status; Type: TYPE; Schema: millrace; Owner: -
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

-- Name: tasks; Type: TABLE; Schema: millrace; Owner: -
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

-- Name: TABLE tasks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.tasks IS 'One row per task, from enqueue to retention.';

-- Name: COLUMN tasks.priority; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.priority IS '0 to 100, higher first, in buckets of 25; first come first served within a bucket.';

-- Name: COLUMN tasks.attempt; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.attempt IS 'How many runs were begun and not given back: a budget against max_attempts, not a fence.';

-- Name: COLUMN tasks.run_at; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.run_at IS 'Not to be claimed before this time.';

-- Name: COLUMN tasks.lease; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.lease IS 'The lease of the last claim; kept after settling, so that a repeated settlement is recognised.';

-- Name: COLUMN tasks.backoff; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.backoff IS 'Retry policy, as backoff_check() describes it; null is the default policy.';

-- Name: COLUMN tasks.errors; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.errors IS 'The latest 10 failed attempts: [{"attempt", "at", "worker", "message"}], messages cut to 4096 characters.';

-- Name: COLUMN tasks.expires_at; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.expires_at IS 'If no attempt has begun by then, none will: the task is cancelled with the reason expired.';

-- Name: COLUMN tasks.reason; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.reason IS 'Why it was cancelled: expired, or what its handler said; null if somebody cancelled it.';

-- Name: COLUMN tasks.correlation; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.correlation IS 'Ties together what belongs together; tasks that its handler enqueues inherit it.';

-- Name: COLUMN tasks.tenant; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.tenant IS 'The customer or user that it is for.';

-- Name: COLUMN tasks.metadata; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.metadata IS 'Texts by name, for handlers and people.';

-- Name: COLUMN tasks.traceparent; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.traceparent IS 'W3C trace context of whoever enqueued it.';

-- Name: COLUMN tasks.unique_key; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.unique_key IS 'Under which key it is unique while it is live (task_keys); set at enqueue only.';

-- Name: COLUMN tasks.forwarded_to; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.forwarded_to IS 'The task that took its place in a dead-letter queue when it last became a dead letter (dead_queues).';

-- Name: COLUMN tasks.forwarded_from; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.tasks.forwarded_from IS 'The dead letter that it was made from.';

-- Name: kind_hash(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.kind_hash(kind text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$SELECT pg_catalog.hashtext(kind)$$;

-- Name: FUNCTION kind_hash(kind text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.kind_hash(kind text) IS 'Private. What a ticket knows of its task''s kind. Inlined where it is used, so it has no search_path of its own. Locks nothing.';

-- Name: cancel_requests; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.cancel_requests (
    task bigint NOT NULL,
    requested_at timestamp with time zone DEFAULT millrace.clock() NOT NULL
);

-- Name: TABLE cancel_requests; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.cancel_requests IS 'Private. Running tasks that somebody asked to cancel. While a task runs, only its worker and rescue write its row.';

-- Name: dead_queues; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.dead_queues (
    queue text,
    kind text,
    target text NOT NULL,
    CONSTRAINT dead_queues_check CHECK (((target <> ''::text) AND (target <> queue))),
    CONSTRAINT dead_queues_check1 CHECK ((num_nonnulls(queue, kind) = 1)),
    CONSTRAINT dead_queues_kind_check CHECK ((kind <> ''::text)),
    CONSTRAINT dead_queues_queue_check CHECK ((queue <> ''::text))
);

-- Name: TABLE dead_queues; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.dead_queues IS 'Where the dead letters of a queue, or of a kind, are forwarded to, as new tasks. Change it with set_dead_queue() and set_dead_queue_of_kind().';

-- Name: expiries; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.expiries (
    expires_at timestamp with time zone NOT NULL,
    task bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.02');

-- Name: TABLE expiries; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.expiries IS 'Private. One row for each task that has an expires_at, until that time, or a little longer if somebody held the task then: tasks itself has no index on it.';

-- Name: kinds; Type: TABLE; Schema: millrace; Owner: -
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

-- Name: TABLE kinds; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.kinds IS 'What the handlers of each kind declare: the defaults of its tasks (null: the general ones), and the JSON Schema of their args.';

-- Name: COLUMN kinds.alias_of; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.kinds.alias_of IS 'The present name of a kind that was renamed.';

-- Name: COLUMN kinds.registered_at; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.kinds.registered_at IS 'When a worker last declared something else than before.';

-- Name: leases; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.leases (
    id bigint NOT NULL,
    worker uuid NOT NULL,
    claimed_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    task_ids bigint[] NOT NULL,
    CONSTRAINT leases_task_ids_check CHECK ((cardinality(task_ids) > 0))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');

-- Name: TABLE leases; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.leases IS 'Private. One row per claimed batch: a worker''s right to its tasks. Ids are never reused.';

-- Name: leases_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
ALTER TABLE millrace.leases ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.leases_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: task_stats; Type: TABLE; Schema: millrace; Owner: -
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

-- Name: TABLE task_stats; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.task_stats IS 'What each worker did, per minute; flushed by the worker with its heartbeat.';

-- Name: worker_wishes; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.worker_wishes (
    worker uuid NOT NULL,
    wish text NOT NULL,
    asked_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    CONSTRAINT worker_wishes_wish_check CHECK ((wish = ANY (ARRAY['run'::text, 'pause'::text, 'stop'::text])))
)
WITH (fillfactor='50');

-- Name: TABLE worker_wishes; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.worker_wishes IS 'Private. What somebody asked of a worker: pause_worker() and the like. Rows of their own, so that who asks in a long transaction keeps no worker from its heartbeat.';

-- Name: workers; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.workers (
    id uuid NOT NULL,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    queues text[] NOT NULL,
    kinds text[],
    wants_wake boolean DEFAULT false NOT NULL,
    lease_ttl interval NOT NULL,
    poll_interval interval DEFAULT '00:00:01'::interval NOT NULL,
    started_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    seen_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    ran_at_death integer,
    CONSTRAINT workers_lease_ttl_check CHECK (((lease_ttl >= '00:00:01'::interval) AND (lease_ttl <= '1 day'::interval))),
    CONSTRAINT workers_poll_interval_check CHECK (((poll_interval >= '00:00:00'::interval) AND (poll_interval <= '1 day'::interval))),
    CONSTRAINT workers_queues_check CHECK ((cardinality(queues) > 0)),
    CONSTRAINT workers_state_check CHECK ((state = ANY (ARRAY['running'::text, 'paused'::text, 'stopping'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

-- Name: TABLE workers; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.workers IS 'One row per live worker process. A worker not seen for its lease_ttl is dead and is rescued.';

-- Name: COLUMN workers.kinds; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.workers.kinds IS 'What it has handlers for, former names of kinds included; null: it does not say, and takes all.';

-- Name: COLUMN workers.poll_interval; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.workers.poll_interval IS 'How long it may sleep without looking. What becomes due later than that needs no wake: it will have looked.';

-- Name: COLUMN workers.state; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.workers.state IS 'What it does, as it says itself.';

-- Name: COLUMN workers.ran_at_death; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.workers.ran_at_death IS 'How many tasks it ran when it was found dead. Null: it lives, or nobody has looked.';

-- Name: tickets; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.tickets (
    queue text NOT NULL,
    bucket smallint NOT NULL,
    kind_hash integer NOT NULL,
    run_at timestamp with time zone NOT NULL,
    id bigint NOT NULL,
    tid tid NOT NULL,
    CONSTRAINT tickets_bucket_check CHECK (((bucket >= '-1'::integer) AND (bucket <= 4)))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');

-- Name: TABLE tickets; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.tickets IS 'Private. What can be claimed: exactly one row for each pending, scheduled or retrying task.';

-- Name: tasks_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
ALTER TABLE millrace.tasks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.tasks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: waits; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.waits (
    task bigint NOT NULL,
    id bigint NOT NULL,
    follow boolean NOT NULL,
    expires_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

-- Name: TABLE waits; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.waits IS 'Private. Who waits for a task''s end, or (follow) for its progress too; renewed while they wait.';

-- Name: waits_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
ALTER TABLE millrace.waits ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.waits_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: worker_sessions; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.worker_sessions (
    worker uuid NOT NULL,
    pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL
);

-- Name: TABLE worker_sessions; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.worker_sessions IS 'Private. The database sessions of each worker; a dead worker''s are terminated before its tasks are rescued.';

-- Name: cancel_requests cancel_requests_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.cancel_requests
    ADD CONSTRAINT cancel_requests_pkey PRIMARY KEY (task);

-- Name: dead_queues dead_queues_kind_key; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.dead_queues
    ADD CONSTRAINT dead_queues_kind_key UNIQUE (kind);

-- Name: dead_queues dead_queues_queue_key; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.dead_queues
    ADD CONSTRAINT dead_queues_queue_key UNIQUE (queue);

-- Name: expiries expiries_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.expiries
    ADD CONSTRAINT expiries_pkey PRIMARY KEY (expires_at, task);

-- Name: kinds kinds_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.kinds
    ADD CONSTRAINT kinds_pkey PRIMARY KEY (kind);

-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (id);

-- Name: task_stats task_stats_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.task_stats
    ADD CONSTRAINT task_stats_pkey PRIMARY KEY (minute, queue, kind, worker);

-- Name: tasks tasks_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

-- Name: waits waits_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.waits
    ADD CONSTRAINT waits_pkey PRIMARY KEY (task, id);

-- Name: worker_sessions worker_sessions_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.worker_sessions
    ADD CONSTRAINT worker_sessions_pkey PRIMARY KEY (worker, pid, backend_start);

-- Name: worker_wishes worker_wishes_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.worker_wishes
    ADD CONSTRAINT worker_wishes_pkey PRIMARY KEY (worker);

-- Name: workers workers_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (id);

-- Name: tasks_correlation; Type: INDEX; Schema: millrace; Owner: -
CREATE INDEX tasks_correlation ON millrace.tasks USING btree (correlation, id) WHERE (correlation IS NOT NULL);

-- Name: tasks_dead; Type: INDEX; Schema: millrace; Owner: -
CREATE INDEX tasks_dead ON millrace.tasks USING btree (dead_at, id) WHERE (dead_at IS NOT NULL);

-- Name: tasks_tags; Type: INDEX; Schema: millrace; Owner: -
CREATE INDEX tasks_tags ON millrace.tasks USING gin (tags) WHERE (tags IS NOT NULL);

-- Name: tasks_tenant; Type: INDEX; Schema: millrace; Owner: -
CREATE INDEX tasks_tenant ON millrace.tasks USING btree (tenant, id) WHERE (tenant IS NOT NULL);

-- Name: tickets_claim; Type: INDEX; Schema: millrace; Owner: -
CREATE INDEX tickets_claim ON millrace.tickets USING btree (queue, bucket, run_at, id);

--
-- PostgreSQL database dump complete
--

