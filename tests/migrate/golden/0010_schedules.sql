-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: delete_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.delete_schedule(name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  DELETE FROM schedule_ticks k WHERE k.schedule = one.id;
  DELETE FROM schedules s WHERE s.id = one.id;
END $$;

-- Name: FUNCTION delete_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.delete_schedule(name text) IS 'Deletes a schedule and the record of its ticks; its tasks stay. Locks its row. Errors: MR002, 55P03.';

-- Name: schedules; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.schedules (
    id bigint NOT NULL,
    name text NOT NULL,
    rule text NOT NULL,
    plan jsonb NOT NULL,
    zone text NOT NULL,
    gap text NOT NULL,
    fold text NOT NULL,
    anchor timestamp with time zone NOT NULL,
    jitter interval NOT NULL,
    misfire text NOT NULL,
    misfire_max integer NOT NULL,
    grace interval NOT NULL,
    exclusive text NOT NULL,
    kind text NOT NULL,
    args jsonb NOT NULL,
    queue text,
    priority smallint,
    max_attempts smallint,
    backoff jsonb,
    timeout interval,
    tags text[],
    paused boolean DEFAULT false NOT NULL,
    next_tick timestamp with time zone,
    next_at timestamp with time zone,
    owed_tick timestamp with time zone,
    last_tick timestamp with time zone,
    last_task bigint,
    problem text,
    created_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    changed_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    CONSTRAINT schedules_exclusive_check CHECK ((exclusive = ANY (ARRAY['no'::text, 'skip'::text, 'queue'::text]))),
    CONSTRAINT schedules_fold_check CHECK ((fold = ANY (ARRAY['first'::text, 'last'::text, 'both'::text]))),
    CONSTRAINT schedules_gap_check CHECK ((gap = ANY (ARRAY['skip'::text, 'shift'::text]))),
    CONSTRAINT schedules_misfire_check CHECK ((misfire = ANY (ARRAY['skip'::text, 'one'::text, 'all'::text])))
)
WITH (fillfactor='50');

-- Name: TABLE schedules; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.schedules IS 'One row per recurring schedule. Change it with put_schedule(), pause_schedule() and the like.';

-- Name: COLUMN schedules.plan; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.schedules.plan IS 'The rule as rule_parse() read it.';

-- Name: COLUMN schedules.queue; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.schedules.queue IS 'Null, as the next four: as the kind declares it at the time of the tick.';

-- Name: COLUMN schedules.next_tick; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.schedules.next_tick IS 'The next tick that was not fired yet; null when the rule has no more.';

-- Name: COLUMN schedules.next_at; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.schedules.next_at IS 'When a worker is to look at it: the next tick and its jitter, or sooner while a tick is owed. Null while paused.';

-- Name: COLUMN schedules.owed_tick; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.schedules.owed_tick IS 'exclusive = queue: the tick that waits for the previous task to end.';

-- Name: COLUMN schedules.problem; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.schedules.problem IS 'Why it could not be fired at its last try; tried again every minute, and its ticks meanwhile are late, not lost: see misfire.';

-- Name: enqueue_tick(millrace.schedules, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.enqueue_tick(schedule millrace.schedules, tick timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  -- The text of a time holds nothing that JSON would have to escape.
  stamp text := to_char(tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
BEGIN
  RETURN enqueue(schedule.kind, replace(schedule.args::text, '{{tick}}', stamp)::jsonb, schedule.queue, schedule.priority,
                 max_attempts => schedule.max_attempts, backoff => schedule.backoff, timeout => schedule.timeout, tags => schedule.tags);
END $$;

-- Name: FUNCTION enqueue_tick(schedule millrace.schedules, tick timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.enqueue_tick(schedule millrace.schedules, tick timestamp with time zone) IS 'Private: adds the task of a tick; {{tick}} in its args becomes the tick''s time in UTC. Errors: those of enqueue().';

-- Name: fire_schedule(millrace.schedules); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.fire_schedule(due millrace.schedules) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  late   CONSTANT timestamptz := clock() - due.grace - due.jitter;
  before CONSTANT timestamptz := due.next_tick - interval '1 millisecond';
  ticks  timestamptz[] := '{}';
  next   timestamptz   := due.next_tick;
  missed timestamptz;
  fired  integer := 0;
  live   boolean;
BEGIN
  -- 1. Which ticks. Those later than grace were missed; the policy says which of them are made up for.
  IF next <= late THEN
    IF due.misfire <> 'skip' THEN
      ticks := latest_ticks(due, before, late, CASE due.misfire WHEN 'one' THEN 1 ELSE due.misfire_max END);
    END IF;
    missed := (latest_ticks(due, before, coalesce(ticks[1] - interval '1 millisecond', late), 1))[1];
    IF missed IS NOT NULL THEN
      INSERT INTO schedule_ticks (schedule, tick, outcome) VALUES (due.id, missed, 'missed') ON CONFLICT DO NOTHING;
    END IF;
    next := tick_after(due, coalesce(ticks[cardinality(ticks)], missed));
  END IF;
  WHILE tick_at(due, next) <= clock() AND cardinality(ticks) < 1000 LOOP
    ticks := ticks || next;
    next := tick_after(due, next);
  END LOOP;
  IF due.owed_tick IS NOT NULL THEN
    ticks := due.owed_tick || ticks;
    due.owed_tick := NULL;
  END IF;

  -- 2. Their tasks. Tick and task commit together, and the primary key refuses a tick that was fired before.
  FOR i IN 1..cardinality(ticks) LOOP
    live := due.exclusive <> 'no' AND EXISTS (
      SELECT FROM tasks t WHERE t.id = due.last_task AND t.status NOT IN ('completed', 'failed', 'cancelled'));
    IF live AND due.exclusive = 'queue' THEN
      -- At most one waits; a later one takes its place.
      IF due.owed_tick IS NOT NULL THEN
        INSERT INTO schedule_ticks (schedule, tick, outcome) VALUES (due.id, due.owed_tick, 'replaced') ON CONFLICT DO NOTHING;
      END IF;
      due.owed_tick := ticks[i];
      CONTINUE;
    END IF;
    INSERT INTO schedule_ticks (schedule, tick, outcome)
    VALUES (due.id, ticks[i], CASE WHEN live THEN 'held' ELSE 'enqueued' END) ON CONFLICT DO NOTHING;
    IF FOUND AND NOT live THEN
      due.last_task := enqueue_tick(due, ticks[i]);
      due.last_tick := ticks[i];
      UPDATE schedule_ticks k SET task = due.last_task WHERE k.schedule = due.id AND k.tick = ticks[i];
      fired := fired + 1;
    END IF;
  END LOOP;

  UPDATE schedules s
  SET next_tick = next, owed_tick = due.owed_tick, last_tick = due.last_tick, last_task = due.last_task, problem = NULL,
      next_at = least(tick_at(due, next), CASE WHEN due.owed_tick IS NOT NULL THEN clock() + interval '500 milliseconds' END)
  WHERE s.id = due.id;
  -- Now and then, so that it costs next to nothing.
  IF random() < 0.02 THEN
    PERFORM tidy_ticks(due.id);
  END IF;
  RETURN fired;
END $$;

-- Name: FUNCTION fire_schedule(due millrace.schedules); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.fire_schedule(due millrace.schedules) IS 'Private: fires the due ticks of a schedule whose row the caller has locked, and sets its next; returns how many tasks it added. Errors: those of enqueue().';

-- Name: fire_schedules(integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.fire_schedules(most integer DEFAULT 50) RETURNS TABLE(fired integer, next_in_ms double precision)
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
  due schedules;
BEGIN
  fired := 0;
  FOR due IN
    SELECT * FROM schedules s WHERE s.next_at <= clock() ORDER BY s.next_at LIMIT most FOR UPDATE SKIP LOCKED
  LOOP
    BEGIN
      fired := fired + fire_schedule(due);
    EXCEPTION WHEN OTHERS THEN
      -- What passes (a deadlock, a lock, a shutdown) is the worker's to repeat.
      IF SQLSTATE ~ '^(40|53|55|57|58)' THEN
        RAISE;
      END IF;
      -- One bad schedule must not stop the others. Its tick stays, to be fired once it is mended.
      UPDATE schedules s SET problem = left(SQLERRM, 4096), next_at = clock() + interval '1 minute' WHERE s.id = due.id;
    END;
  END LOOP;
  SELECT greatest(0, extract(epoch FROM s.next_at - clock()) * 1000)::double precision INTO next_in_ms
  FROM schedules s WHERE s.next_at IS NOT NULL ORDER BY s.next_at LIMIT 1;
  RETURN NEXT;
END $$;

-- Name: FUNCTION fire_schedules(most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.fire_schedules(most integer) IS 'Private, for workers: fires up to so many due schedules, those that no other worker has in hand, each in a subtransaction of its own. Returns how many tasks
it added and in how many milliseconds the next schedule is due (null: none is). Locks those schedules'' rows (SKIP LOCKED). READ COMMITTED and one call per transaction.';

-- Name: latest_ticks(millrace.schedules, timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.latest_ticks(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS timestamp with time zone[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  span   interval := interval '1 second';
  few    timestamptz := until;         -- since here there are not more than most
  many   timestamptz;                  -- since here there are more
  kept   timestamptz[] := '{}';
  ticks  timestamptz[];
BEGIN
  -- A rule of every second may have been asleep for years, so ticks are not walked over one by one: windows that
  -- double find a start with too many, and halving finds the one with just enough. No two ticks share a second.
  LOOP
    many := greatest(since, until - span);
    ticks := ticks_within(schedule, many, until, most + 1);
    EXIT WHEN cardinality(ticks) > most;
    IF many <= since OR cardinality(ticks) = most THEN
      RETURN ticks;
    END IF;
    kept := ticks;
    few := many;
    span := span * 2;
  END LOOP;
  WHILE few - many > interval '250 milliseconds' LOOP
    ticks := ticks_within(schedule, many + (few - many) / 2, until, most + 1);
    IF cardinality(ticks) > most THEN
      many := many + (few - many) / 2;
    ELSE
      kept := ticks;
      few := many + (few - many) / 2;
      EXIT WHEN cardinality(kept) = most;
    END IF;
  END LOOP;
  RETURN kept;
END $$;

-- Name: FUNCTION latest_ticks(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.latest_ticks(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) IS 'Private: the last ticks of a schedule after since and not after until, at most so many, oldest first. Locks nothing.';

-- Name: pause_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.pause_schedule(name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  UPDATE schedules s SET paused = true, next_at = NULL, changed_at = clock() WHERE s.id = one.id AND NOT s.paused;
END $$;

-- Name: FUNCTION pause_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.pause_schedule(name text) IS 'Stops a schedule until it is resumed; its ticks meanwhile are dropped. Harmless if it is paused. Locks its row. Errors: MR002, 55P03.';

-- Name: put_schedule(text, text, text, jsonb, text, text, text, text, integer, interval, interval, text, timestamp with time zone, text, integer, integer, jsonb, interval, text[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.put_schedule(name text, rule text, kind text, args jsonb DEFAULT '{}'::jsonb, zone text DEFAULT 'UTC'::text, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, misfire text DEFAULT 'one'::text, misfire_max integer DEFAULT 100, grace interval DEFAULT '00:01:00'::interval, jitter interval DEFAULT '00:00:00'::interval, exclusive text DEFAULT 'no'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, max_attempts integer DEFAULT NULL::integer, backoff jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, tags text[] DEFAULT NULL::text[]) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
DECLARE
  old  schedules;
  made schedules;
  tick timestamptz;
BEGIN
  IF name IS NULL OR octet_length(name) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('name', format('has %s bytes; allowed are 1 to 128', coalesce(octet_length(name)::text, 'no')));
  END IF;
  IF misfire IS NULL OR misfire NOT IN ('skip', 'one', 'all') THEN
    PERFORM refuse('misfire', format('is %s; allowed are skip, one and all', coalesce(quote_literal(left(misfire, 64)), 'null')));
  END IF;
  IF misfire_max IS NULL OR misfire_max NOT BETWEEN 1 AND 100 THEN
    PERFORM refuse('misfire_max', format('is %s; allowed is 1 to 100', coalesce(misfire_max::text, 'null')));
  END IF;
  IF grace IS NULL THEN
    PERFORM refuse('grace', 'is null; allowed is 1 second to 365 days');
  END IF;
  PERFORM interval_check('grace', grace, '1 second', '365 days', '1 second to 365 days');
  IF jitter IS NULL THEN
    PERFORM refuse('jitter', 'is null; allowed is 0 to 1 day');
  END IF;
  PERFORM interval_check('jitter', jitter, '0', '1 day', '0 to 1 day');
  IF exclusive IS NULL OR exclusive NOT IN ('no', 'skip', 'queue') THEN
    PERFORM refuse('exclusive', format('is %s; allowed are no, skip and queue', coalesce(quote_literal(left(exclusive, 64)), 'null')));
  END IF;
  PERFORM options_check(kind, queue, priority, anchor, NULL, max_attempts, backoff, timeout);
  PERFORM args_check(args);
  PERFORM about_check(NULL, NULL, NULL, NULL, tags, NULL, NULL);
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);

  -- Two that make the same schedule at once take turns.
  PERFORM pg_advisory_xact_lock(hashtextextended(current_schema() || chr(2) || name, 0));
  SELECT * INTO old FROM schedules s WHERE s.name = put_schedule.name FOR UPDATE;
  made := old;
  made.rule := rule; made.plan := rule_parse(rule); made.zone := zone; made.gap := gap; made.fold := fold; made.jitter := jitter;
  made.anchor := coalesce(anchor, old.anchor, date_trunc('second', clock()));
  made.misfire := misfire; made.misfire_max := misfire_max; made.grace := grace; made.exclusive := exclusive;
  made.kind := kind; made.args := args; made.queue := queue; made.priority := priority;
  made.max_attempts := max_attempts; made.backoff := backoff; made.timeout := timeout; made.tags := tags;
  IF made = old THEN
    RETURN 'unchanged';
  END IF;
  -- Refuses what is no rule, and one that never fires. Never again before a tick that was fired: the record of ticks is
  -- bounded, and clocks can be set back.
  tick := tick_after(made, greatest(clock(), old.last_tick));
  IF tick IS NULL THEN
    PERFORM refuse('rule', format('"%s" never fires after now', left(rule, 200)));
  END IF;
  IF old.id IS NULL THEN
    INSERT INTO schedules AS s (name, rule, plan, zone, gap, fold, anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args, queue,
                                priority, max_attempts, backoff, timeout, tags, next_tick)
    VALUES (name, rule, made.plan, zone, gap, fold, made.anchor, jitter, misfire, misfire_max, grace, exclusive, kind, args, queue,
            priority, max_attempts, backoff, timeout, tags, tick)
    RETURNING s.* INTO made;
  ELSE
    -- Another time plan starts anew from now; any other change leaves the next tick as it is.
    IF (made.rule, made.zone, made.gap, made.fold, made.anchor) IS DISTINCT FROM (old.rule, old.zone, old.gap, old.fold, old.anchor) THEN
      made.next_tick := tick;
      made.owed_tick := NULL;
    END IF;
    UPDATE schedules s
    SET rule = made.rule, plan = made.plan, zone = made.zone, gap = made.gap, fold = made.fold, anchor = made.anchor, jitter = made.jitter,
        misfire = made.misfire, misfire_max = made.misfire_max, grace = made.grace, exclusive = made.exclusive, kind = made.kind,
        args = made.args, queue = made.queue, priority = made.priority, max_attempts = made.max_attempts, backoff = made.backoff,
        timeout = made.timeout, tags = made.tags, next_tick = made.next_tick, owed_tick = made.owed_tick, problem = NULL, changed_at = clock()
    WHERE s.id = old.id;
  END IF;
  UPDATE schedules s SET next_at = CASE WHEN NOT s.paused THEN tick_at(made, made.next_tick) END WHERE s.id = made.id;
  PERFORM pg_notify(schedules_channel(), '');
  RETURN CASE WHEN old.id IS NULL THEN 'created' ELSE 'changed' END;
END $$;

-- Name: FUNCTION put_schedule(name text, rule text, kind text, args jsonb, zone text, gap text, fold text, misfire text, misfire_max integer, grace interval, jitter interval, exclusive text, anchor timestamp with time zone, queue text, priority integer, max_attempts integer, backoff jsonb, timeout interval, tags text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.put_schedule(name text, rule text, kind text, args jsonb, zone text, gap text, fold text, misfire text, misfire_max integer, grace interval, jitter interval, exclusive text, anchor timestamp with time zone, queue text, priority integer, max_attempts integer, backoff jsonb, timeout interval, tags text[]) IS 'Makes the schedule of this name so, in the caller''s transaction: returns ''created'', ''changed'' or ''unchanged''. rule: see rule_parse(). gap (skip, shift) and fold (first, last, both):
what becomes of local times that a change of clocks leaves out or repeats. misfire: which of the ticks that are later than grace (and jitter) are made up for: skip, one (the latest) or all (the latest
misfire_max). jitter: each tick is fired up to so much later, spread evenly. exclusive: while the task of the tick before is live, a tick is dropped (skip) or waits for its end (queue, at most one).
anchor: where intervals count from; default: when the schedule was made. args: {{tick}} in any text becomes the tick''s time. The others as in enqueue().
Anyone who may write schedules may call it. Locks the schedule''s name until commit. Errors: 22023.';

-- Name: resume_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.resume_schedule(name text) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  IF one.paused THEN
    one.next_tick := tick_after(one, greatest(clock(), one.last_tick));
    UPDATE schedules s
    SET paused = false, owed_tick = NULL, next_tick = one.next_tick, next_at = tick_at(one, one.next_tick), changed_at = clock()
    WHERE s.id = one.id;
    PERFORM pg_notify(schedules_channel(), '');
  END IF;
  RETURN one.next_tick;
END $$;

-- Name: FUNCTION resume_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.resume_schedule(name text) IS 'Lets a paused schedule go on with its first tick after now, which is returned. Harmless if it is not paused. Locks its row. Errors: MR002, 55P03.';

-- Name: run_schedule(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.run_schedule(name text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  one  schedules := schedule_named(name);
  task bigint;
BEGIN
  task := enqueue_tick(one, clock());
  UPDATE schedules s SET last_task = task WHERE s.id = one.id;
  RETURN task;
END $$;

-- Name: FUNCTION run_schedule(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.run_schedule(name text) IS 'Adds a task of this schedule now, beside its ticks and also while it is paused; returns its id. {{tick}} is the time of the call. Locks the schedule''s row. Errors: MR002, 55P03.';

-- Name: schedule_named(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.schedule_named(name text) RETURNS millrace.schedules
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  found_one schedules;
BEGIN
  SELECT * INTO found_one FROM schedules s WHERE s.name = schedule_named.name FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no schedule "%s"', left(schedule_named.name, 128));
  END IF;
  RETURN found_one;
END $$;

-- Name: FUNCTION schedule_named(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.schedule_named(name text) IS 'Private: a schedule, its row locked until commit. Errors: MR002, 55P03.';

-- Name: schedules_channel(); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.schedules_channel() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT 'millrace_s_' || to_hex(hashtextextended(current_schema(), 0))
$$;

-- Name: FUNCTION schedules_channel(); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.schedules_channel() IS 'Private, for workers: the NOTIFY channel that tells that schedules were changed. Locks nothing.';

-- Name: tick_after(millrace.schedules, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tick_after(schedule millrace.schedules, after timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  SELECT next_tick_of(schedule.plan, schedule.zone, after, schedule.gap, schedule.fold, schedule.anchor)
$$;

-- Name: FUNCTION tick_after(schedule millrace.schedules, after timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tick_after(schedule millrace.schedules, after timestamp with time zone) IS 'Private: the first tick of a schedule after a time. Locks nothing.';

-- Name: tick_at(millrace.schedules, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tick_at(schedule millrace.schedules, tick timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
  -- Every worker must find the same jitter for a tick, so it is drawn from a hash.
  SELECT tick + schedule.jitter * ((hashint8extended(schedule.id, extract(epoch FROM tick)::bigint) & 1048575) / 1048576.0)
$$;

-- Name: FUNCTION tick_at(schedule millrace.schedules, tick timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tick_at(schedule millrace.schedules, tick timestamp with time zone) IS 'Private: when a tick of a schedule is to be fired, its jitter included. Locks nothing.';

-- Name: ticks_within(millrace.schedules, timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.ticks_within(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) RETURNS timestamp with time zone[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  ticks timestamptz[] := '{}';
  tick  timestamptz   := since;
BEGIN
  WHILE cardinality(ticks) < most LOOP
    tick := tick_after(schedule, tick);
    EXIT WHEN tick IS NULL OR tick > until;
    ticks := ticks || tick;
  END LOOP;
  RETURN ticks;
END $$;

-- Name: FUNCTION ticks_within(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.ticks_within(schedule millrace.schedules, since timestamp with time zone, until timestamp with time zone, most integer) IS 'Private: the first ticks of a schedule after since and not after until, at most so many. Locks nothing.';

-- Name: tidy_ticks(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tidy_ticks(schedule bigint, keep integer DEFAULT 1000) RETURNS void
    LANGUAGE sql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
  DELETE FROM schedule_ticks k
  WHERE k.schedule = tidy_ticks.schedule
    AND k.tick <= (SELECT o.tick FROM schedule_ticks o WHERE o.schedule = tidy_ticks.schedule ORDER BY o.tick DESC OFFSET keep LIMIT 1)
$$;

-- Name: FUNCTION tidy_ticks(schedule bigint, keep integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tidy_ticks(schedule bigint, keep integer) IS 'Private: forgets all but the latest ticks of a schedule, whose row the caller has locked.';

-- Name: schedule_ticks; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.schedule_ticks (
    schedule bigint NOT NULL,
    tick timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    task bigint,
    fired_at timestamp with time zone DEFAULT millrace.clock() NOT NULL,
    CONSTRAINT schedule_ticks_outcome_check CHECK ((outcome = ANY (ARRAY['enqueued'::text, 'missed'::text, 'held'::text, 'replaced'::text])))
);

-- Name: TABLE schedule_ticks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.schedule_ticks IS 'What became of each tick, at least the latest 1000 per schedule: enqueued (as task), missed (by the misfire policy; with all those before it that are not named), held (the previous task was live), replaced (owed, then a later tick came).';

-- Name: schedules_id_seq; Type: SEQUENCE; Schema: millrace; Owner: -
ALTER TABLE millrace.schedules ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.schedules_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: schedule_ticks schedule_ticks_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.schedule_ticks
    ADD CONSTRAINT schedule_ticks_pkey PRIMARY KEY (schedule, tick);

-- Name: schedules schedules_name_key; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.schedules
    ADD CONSTRAINT schedules_name_key UNIQUE (name);

-- Name: schedules schedules_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (id);

-- Name: schedules_due; Type: INDEX; Schema: millrace; Owner: -
CREATE INDEX schedules_due ON millrace.schedules USING btree (next_at) WHERE (next_at IS NOT NULL);

