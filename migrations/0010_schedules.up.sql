-- 0010 schedules: recurring rules, fired exactly once per tick. docs/schedules.md is the essay behind this file.
--
-- A due schedule is taken FOR UPDATE SKIP LOCKED by any worker's heart; its ticks, their tasks and the time of the
-- next tick commit together. Whoever dies before the commit leaves everything as it was, for the next one.

SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

CREATE TABLE schedules (
  id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text        NOT NULL UNIQUE,
  rule         text        NOT NULL,
  plan         jsonb       NOT NULL,
  zone         text        NOT NULL,
  gap          text        NOT NULL CHECK (gap IN ('skip', 'shift')),
  fold         text        NOT NULL CHECK (fold IN ('first', 'last', 'both')),
  anchor       timestamptz NOT NULL,
  jitter       interval    NOT NULL,
  misfire      text        NOT NULL CHECK (misfire IN ('skip', 'one', 'all')),
  misfire_max  integer     NOT NULL,
  grace        interval    NOT NULL,
  exclusive    text        NOT NULL CHECK (exclusive IN ('no', 'skip', 'queue')),
  kind         text        NOT NULL,
  args         jsonb       NOT NULL,
  queue        text,
  priority     smallint,
  max_attempts smallint,
  backoff      jsonb,
  timeout      interval,
  tags         text[],
  paused       boolean     NOT NULL DEFAULT false,
  next_tick    timestamptz,
  next_at      timestamptz,
  owed_tick    timestamptz,
  last_tick    timestamptz,
  last_task    bigint,
  problem      text,
  created_at   timestamptz NOT NULL DEFAULT clock(),
  changed_at   timestamptz NOT NULL DEFAULT clock()
) WITH (fillfactor = 50);
COMMENT ON TABLE schedules IS 'One row per recurring schedule. Change it with put_schedule(), pause_schedule() and the like.';
COMMENT ON COLUMN schedules.queue IS 'Null, as the next four: as the kind declares it at the time of the tick.';
COMMENT ON COLUMN schedules.plan IS 'The rule as rule_parse() read it.';
COMMENT ON COLUMN schedules.next_tick IS 'The next tick that was not fired yet; null when the rule has no more.';
COMMENT ON COLUMN schedules.next_at IS 'When a worker is to look at it: the next tick and its jitter, or sooner while a tick is owed. Null while paused.';
COMMENT ON COLUMN schedules.owed_tick IS 'exclusive = queue: the tick that waits for the previous task to end.';
COMMENT ON COLUMN schedules.problem IS 'Why it could not be fired at its last try; tried again every minute, and its ticks meanwhile are late, not lost: see misfire.';
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE schedule_ticks (
  schedule bigint      NOT NULL,
  tick     timestamptz NOT NULL,
  outcome  text        NOT NULL CHECK (outcome IN ('enqueued', 'missed', 'held', 'replaced')),
  task     bigint,
  fired_at timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (schedule, tick)
);
COMMENT ON TABLE schedule_ticks IS
  'What became of each tick, at least the latest 1000 per schedule: enqueued (as task), missed (by the misfire policy; with all those before it that are not named), held (the previous task was live), replaced (owed, then a later tick came).';

CREATE FUNCTION schedules_channel() RETURNS text
LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  SELECT 'millrace_s_' || to_hex(hashtextextended(current_schema(), 0))
$$;
COMMENT ON FUNCTION schedules_channel() IS 'Private, for workers: the NOTIFY channel that tells that schedules were changed. Locks nothing.';

CREATE FUNCTION tick_at(schedule schedules, tick timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path FROM CURRENT
AS $$
  -- Every worker must find the same jitter for a tick, so it is drawn from a hash.
  SELECT tick + schedule.jitter * ((hashint8extended(schedule.id, extract(epoch FROM tick)::bigint) & 1048575) / 1048576.0)
$$;
COMMENT ON FUNCTION tick_at(schedules, timestamptz) IS 'Private: when a tick of a schedule is to be fired, its jitter included. Locks nothing.';

CREATE FUNCTION tick_after(schedule schedules, after timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $$
  SELECT next_tick_of(schedule.plan, schedule.zone, after, schedule.gap, schedule.fold, schedule.anchor)
$$;
COMMENT ON FUNCTION tick_after(schedules, timestamptz) IS 'Private: the first tick of a schedule after a time. Locks nothing.';

CREATE FUNCTION ticks_within(schedule schedules, since timestamptz, until timestamptz, most integer) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
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
COMMENT ON FUNCTION ticks_within(schedules, timestamptz, timestamptz, integer) IS 'Private: the first ticks of a schedule after since and not after until, at most so many. Locks nothing.';

CREATE FUNCTION latest_ticks(schedule schedules, since timestamptz, until timestamptz, most integer) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
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
COMMENT ON FUNCTION latest_ticks(schedules, timestamptz, timestamptz, integer) IS 'Private: the last ticks of a schedule after since and not after until, at most so many, oldest first. Locks nothing.';

CREATE FUNCTION enqueue_tick(schedule schedules, tick timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  -- The text of a time holds nothing that JSON would have to escape.
  stamp text := to_char(tick AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
BEGIN
  RETURN enqueue(schedule.kind, replace(schedule.args::text, '{{tick}}', stamp)::jsonb, schedule.queue, schedule.priority,
                 max_attempts => schedule.max_attempts, backoff => schedule.backoff, timeout => schedule.timeout, tags => schedule.tags);
END $$;
COMMENT ON FUNCTION enqueue_tick(schedules, timestamptz) IS 'Private: adds the task of a tick; {{tick}} in its args becomes the tick''s time in UTC. Errors: those of enqueue().';

CREATE FUNCTION tidy_ticks(schedule bigint, keep integer DEFAULT 1000) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT SET enable_seqscan = off SET jit = off
AS $$
  DELETE FROM schedule_ticks k
  WHERE k.schedule = tidy_ticks.schedule
    AND k.tick <= (SELECT o.tick FROM schedule_ticks o WHERE o.schedule = tidy_ticks.schedule ORDER BY o.tick DESC OFFSET keep LIMIT 1)
$$;
COMMENT ON FUNCTION tidy_ticks(bigint, integer) IS 'Private: forgets all but the latest ticks of a schedule, whose row the caller has locked.';

CREATE FUNCTION fire_schedule(due schedules) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT
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
COMMENT ON FUNCTION fire_schedule(schedules) IS
  'Private: fires the due ticks of a schedule whose row the caller has locked, and sets its next; returns how many tasks it added. Errors: those of enqueue().';

CREATE FUNCTION fire_schedules(most integer DEFAULT 50)
RETURNS TABLE (fired integer, next_in_ms double precision)
LANGUAGE plpgsql SET search_path FROM CURRENT
-- As in claim(): the road is the index, whatever the statistics say.
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan
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
COMMENT ON FUNCTION fire_schedules(integer) IS
$c$Private, for workers: fires up to so many due schedules, those that no other worker has in hand, each in a subtransaction of its own. Returns how many tasks
it added and in how many milliseconds the next schedule is due (null: none is). Locks those schedules' rows (SKIP LOCKED). READ COMMITTED and one call per transaction.$c$;

CREATE FUNCTION put_schedule(
  name         text,
  rule         text,
  kind         text,
  args         jsonb       DEFAULT '{}',
  zone         text        DEFAULT 'UTC',
  gap          text        DEFAULT 'shift',
  fold         text        DEFAULT 'first',
  misfire      text        DEFAULT 'one',
  misfire_max  integer     DEFAULT 100,
  grace        interval    DEFAULT '1 minute',
  jitter       interval    DEFAULT '0',
  exclusive    text        DEFAULT 'no',
  anchor       timestamptz DEFAULT NULL,
  queue        text        DEFAULT NULL,
  priority     integer     DEFAULT NULL,
  max_attempts integer     DEFAULT NULL,
  backoff      jsonb       DEFAULT NULL,
  timeout      interval    DEFAULT NULL,
  tags         text[]      DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT
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
COMMENT ON FUNCTION put_schedule(text, text, text, jsonb, text, text, text, text, integer, interval, interval, text, timestamptz, text, integer, integer, jsonb, interval, text[]) IS
$c$Makes the schedule of this name so, in the caller's transaction: returns 'created', 'changed' or 'unchanged'. rule: see rule_parse(). gap (skip, shift) and fold (first, last, both):
what becomes of local times that a change of clocks leaves out or repeats. misfire: which of the ticks that are later than grace (and jitter) are made up for: skip, one (the latest) or all (the latest
misfire_max). jitter: each tick is fired up to so much later, spread evenly. exclusive: while the task of the tick before is live, a tick is dropped (skip) or waits for its end (queue, at most one).
anchor: where intervals count from; default: when the schedule was made. args: {{tick}} in any text becomes the tick's time. The others as in enqueue().
Anyone who may write schedules may call it. Locks the schedule's name until commit. Errors: 22023.$c$;

CREATE FUNCTION schedule_named(name text) RETURNS schedules
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '2s'
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
COMMENT ON FUNCTION schedule_named(text) IS 'Private: a schedule, its row locked until commit. Errors: MR002, 55P03.';

CREATE FUNCTION pause_schedule(name text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  UPDATE schedules s SET paused = true, next_at = NULL, changed_at = clock() WHERE s.id = one.id AND NOT s.paused;
END $$;
COMMENT ON FUNCTION pause_schedule(text) IS 'Stops a schedule until it is resumed; its ticks meanwhile are dropped. Harmless if it is paused. Locks its row. Errors: MR002, 55P03.';

CREATE FUNCTION resume_schedule(name text) RETURNS timestamptz
LANGUAGE plpgsql SET search_path FROM CURRENT
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
COMMENT ON FUNCTION resume_schedule(text) IS 'Lets a paused schedule go on with its first tick after now, which is returned. Harmless if it is not paused. Locks its row. Errors: MR002, 55P03.';

CREATE FUNCTION delete_schedule(name text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  one schedules := schedule_named(name);
BEGIN
  DELETE FROM schedule_ticks k WHERE k.schedule = one.id;
  DELETE FROM schedules s WHERE s.id = one.id;
END $$;
COMMENT ON FUNCTION delete_schedule(text) IS 'Deletes a schedule and the record of its ticks; its tasks stay. Locks its row. Errors: MR002, 55P03.';

CREATE FUNCTION run_schedule(name text) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT
AS $$
DECLARE
  one  schedules := schedule_named(name);
  task bigint;
BEGIN
  task := enqueue_tick(one, clock());
  UPDATE schedules s SET last_task = task WHERE s.id = one.id;
  RETURN task;
END $$;
COMMENT ON FUNCTION run_schedule(text) IS
  'Adds a task of this schedule now, beside its ticks and also while it is paused; returns its id. {{tick}} is the time of the call. Locks the schedule''s row. Errors: MR002, 55P03.';

INSERT INTO migrations (version, name, min_compatible) VALUES (10, 'schedules', 1);
