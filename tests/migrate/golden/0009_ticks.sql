-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: clock_change(text, timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.clock_change(zone text, since timestamp with time zone, until timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  before CONSTANT interval := zone_offset(zone, since);
  low    bigint := extract(epoch FROM since)::bigint;
  high   bigint := extract(epoch FROM until)::bigint;
BEGIN
  WHILE high - low > 1 LOOP
    IF zone_offset(zone, to_timestamp((low + high) / 2)) = before THEN
      low := (low + high) / 2;
    ELSE
      high := (low + high) / 2;
    END IF;
  END LOOP;
  RETURN to_timestamp(high);
END $$;

-- Name: FUNCTION clock_change(zone text, since timestamp with time zone, until timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.clock_change(zone text, since timestamp with time zone, until timestamp with time zone) IS 'Private: when the zone''s clocks change between two times at which they differ. Locks nothing.';

-- Name: next_bit(bigint, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.next_bit(mask bigint, at integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE WHEN at < 63 AND mask >> at <> 0 THEN at + round(ln(((mask >> at) & -(mask >> at))::float8) / ln(2::float8))::integer END
$$;

-- Name: FUNCTION next_bit(mask bigint, at integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.next_bit(mask bigint, at integer) IS 'Private: the first bit of a mask that is set, not before this one, or null. Locks nothing.';

-- Name: next_day(jsonb, date); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.next_day(plan jsonb, since date) RETURNS date
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  months  CONSTANT bigint  := (plan->>'mon')::bigint;
  any_day CONSTANT boolean := (plan->>'any_day')::boolean;
  any_dow CONSTANT boolean := (plan->>'any_dow')::boolean;
  days    CONSTANT bigint  := (plan->>'dom')::bigint;
  near    CONSTANT bigint  := (plan->>'near')::bigint;
  last    CONSTANT boolean := (plan->>'last')::boolean;
  last_w  CONSTANT boolean := (plan->>'last_w')::boolean;
  week    CONSTANT bigint  := (plan->>'dow')::bigint;
  nth     CONSTANT bigint  := (plan->>'nth')::bigint;
  final   CONSTANT bigint  := (plan->>'final')::bigint;
  day     date    := since;
  until   date    := least(since + 36600, date '9999-12-31');
  ends    date;    -- the month's last day
  n       integer; -- day of month
  w       integer; -- weekday, 0 is Sunday
  by_day  boolean;
  by_dow  boolean;
BEGIN
  WHILE day <= until LOOP
    IF (months >> extract(month FROM day)::integer) & 1 = 0 THEN
      day := (date_trunc('month', day) + interval '1 month')::date;
      CONTINUE;
    END IF;
    IF any_day AND any_dow THEN
      RETURN day;
    END IF;
    n := extract(day FROM day)::integer;
    w := extract(dow FROM day)::integer;
    ends := (date_trunc('month', day) + interval '1 month - 1 day')::date;
    by_day := NOT any_day AND (
      (days >> n) & 1 = 1
      OR (last AND day = ends)
      OR (last_w AND w BETWEEN 1 AND 5 AND (day = ends OR (w = 5 AND ends - day <= 2)))
      OR (near <> 0 AND w BETWEEN 1 AND 5 AND (
            (near >> n) & 1 = 1
            OR (w = 1 AND n > 1 AND (near >> (n - 1)) & 1 = 1)           -- the Sunday before
            OR (w = 1 AND n = 3 AND (near >> 1) & 1 = 1)                 -- Saturday the 1st: not into the month before
            OR (w = 5 AND day < ends AND (near >> (n + 1)) & 1 = 1)      -- the Saturday after
            OR (w = 5 AND ends - day = 2 AND (near >> (n + 2)) & 1 = 1)))); -- Sunday the last: not into the next month
    by_dow := NOT any_dow AND (
      (week >> w) & 1 = 1
      OR (nth >> (w * 5 + (n - 1) / 7)) & 1 = 1
      OR ((final >> w) & 1 = 1 AND ends - day < 7));
    -- Where both are restricted, either will do: the rule of Vixie's cron.
    IF by_day OR by_dow THEN
      RETURN day;
    END IF;
    day := day + 1;
  END LOOP;
  RETURN NULL;
END $$;

-- Name: FUNCTION next_day(plan jsonb, since date); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.next_day(plan jsonb, since date) IS 'Private: the first day of a cron plan not before this one, within a hundred years, or null. Locks nothing.';

-- Name: next_tick(text, text, timestamp with time zone, text, text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.next_tick(rule text, zone text, after timestamp with time zone, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);
  PERFORM since_check('after', after);
  PERFORM since_check('anchor', coalesce(anchor, after));
  RETURN next_tick_of(rule_parse(rule), zone, after, gap, fold, anchor);
END $$;

-- Name: FUNCTION next_tick(rule text, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.next_tick(rule text, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone) IS 'The first tick of a rule strictly after a time, or null if there is none within a hundred years. gap and fold say what becomes of local times that a change of
clocks leaves out (skip; shift: moved by the gap''s length) or repeats (first, last, both); they apply where the hour field names hours: with *, */n or all hours a
rule runs through every change. anchor is where intervals count from (default: 1970-01-01 UTC). Anyone may call it; locks nothing. Errors: 22023.';

-- Name: next_tick_of(jsonb, text, timestamp with time zone, text, text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.next_tick_of(plan jsonb, zone text, after timestamp with time zone, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  since  timestamptz := date_trunc('second', after, 'UTC') + interval '1 second';
  every  CONSTANT numeric := (plan->>'every')::numeric;
  free   CONSTANT boolean := (plan->>'free')::boolean;
  base   CONSTANT timestamptz := coalesce(anchor, timestamptz 'epoch');
  day    date;
  opens  timestamp;   -- the local day's limits
  shuts  timestamp;
  before interval;    -- how far the clocks are ahead, before and after a change near this day
  behind interval;
  change timestamp;   -- the change, in UTC
  best   timestamptz;
  again  boolean := false;
BEGIN
  IF every IS NOT NULL THEN
    RETURN base + make_interval(secs => (every * (floor(extract(epoch FROM after - base) / every) + 1))::float8);
  END IF;
  day := (after AT TIME ZONE zone)::date;
  -- After a change of clocks, times of the day before may have moved into this one.
  IF zone_offset(zone, after - interval '2 days') <> zone_offset(zone, after + interval '2 days') THEN
    day := day - 2;
  END IF;
  LOOP
    day := next_day(plan, day);
    IF day IS NULL THEN
      RETURN best;
    END IF;
    opens := day;
    shuts := opens + interval '1 day';
    -- No zone is further than 16 hours from UTC.
    before := zone_offset(zone, (opens - interval '16 hours') AT TIME ZONE 'UTC');
    behind := zone_offset(zone, (shuts + interval '16 hours') AT TIME ZONE 'UTC');
    IF before = behind THEN
      best := least(best, tick_between(plan, since, opens, shuts, before));
    ELSE
      change := clock_change(zone, (opens - interval '16 hours') AT TIME ZONE 'UTC', (shuts + interval '16 hours') AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
      -- Local times before the change, and those after it. In a fold some are in both; in a gap some are in neither.
      best := least(best,
        tick_between(plan, since, opens, least(shuts, change + CASE WHEN fold = 'last' AND NOT free THEN least(before, behind) ELSE before END), before),
        tick_between(plan, since, greatest(opens, change + CASE WHEN fold = 'first' AND NOT free THEN greatest(before, behind) ELSE behind END), shuts, behind),
        -- Times within a gap, moved by its length: as if the clocks had not changed yet.
        CASE WHEN gap = 'shift' AND NOT free THEN
          tick_between(plan, since, greatest(opens, change + before), least(shuts, change + behind), before) END);
    END IF;
    IF best IS NOT NULL AND (again OR before = behind) THEN
      RETURN best;
    END IF;
    -- What was moved over midnight may be later than the first tick of the next day.
    again := best IS NOT NULL;
    day := day + 1;
  END LOOP;
END $$;

-- Name: FUNCTION next_tick_of(plan jsonb, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.next_tick_of(plan jsonb, zone text, after timestamp with time zone, gap text, fold text, anchor timestamp with time zone) IS 'Private: next_tick() of a rule that was parsed already. Locks nothing.';

-- Name: next_time(jsonb, timestamp without time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.next_time(plan jsonb, at timestamp without time zone) RETURNS timestamp without time zone
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  seconds CONSTANT bigint  := (plan->>'s')::bigint;
  minutes CONSTANT bigint  := (plan->>'m')::bigint;
  hours   CONSTANT bigint  := (plan->>'h')::bigint;
  h integer := extract(hour FROM at)::integer;
  m integer := extract(minute FROM at)::integer;
  s integer := next_bit(seconds, extract(second FROM at)::integer);
BEGIN
  IF (hours >> h) & 1 = 0 OR (minutes >> m) & 1 = 0 OR s IS NULL THEN
    s := next_bit(seconds, 0);
    m := CASE WHEN (hours >> h) & 1 = 1 THEN next_bit(minutes, m + CASE WHEN (minutes >> m) & 1 = 1 THEN 1 ELSE 0 END) END;
    IF m IS NULL THEN
      m := next_bit(minutes, 0);
      h := next_bit(hours, h + CASE WHEN (hours >> h) & 1 = 1 THEN 1 ELSE 0 END);
      IF h IS NULL THEN
        RETURN NULL;
      END IF;
    END IF;
  END IF;
  RETURN date_trunc('day', at) + make_interval(hours => h, mins => m, secs => s);
END $$;

-- Name: FUNCTION next_time(plan jsonb, at timestamp without time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.next_time(plan jsonb, at timestamp without time zone) IS 'Private: the first time of a cron plan on the day of a whole second, not before it, or null. Locks nothing.';

-- Name: policy_check(text, text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.policy_check(gap text, fold text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF gap IS NULL OR gap NOT IN ('skip', 'shift') THEN
    PERFORM refuse('gap', format('is %s; allowed are skip and shift', coalesce(quote_literal(left(gap, 64)), 'null')));
  END IF;
  IF fold IS NULL OR fold NOT IN ('first', 'last', 'both') THEN
    PERFORM refuse('fold', format('is %s; allowed are first, last and both', coalesce(quote_literal(left(fold, 64)), 'null')));
  END IF;
END $$;

-- Name: FUNCTION policy_check(gap text, fold text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.policy_check(gap text, fold text) IS 'Private. Refuses (22023) what is no policy for changes of clocks. Locks nothing.';

-- Name: preview_ticks(text, text, timestamp with time zone, integer, text, text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.preview_ticks(rule text, zone text, since timestamp with time zone, most integer DEFAULT 20, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(tick timestamp with time zone, local text, note text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  plan  CONSTANT jsonb := rule_parse(rule);
  free  CONSTANT boolean := coalesce((plan->>'free')::boolean, true);
  one   timestamptz := since;
  wall  timestamp;
  hop   interval;   -- how much the clocks change near this tick: above zero is a gap
  fires boolean;
  shown integer := 0;
BEGIN
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);
  PERFORM since_check('from', since);
  PERFORM since_check('anchor', coalesce(anchor, since));
  IF most IS NULL OR most NOT BETWEEN 1 AND 1000 THEN
    PERFORM refuse('count', format('is %s; allowed is 1 to 1000', coalesce(most::text, 'null')));
  END IF;
  WHILE shown < most LOOP
    -- Everything that any policy would fire; then what this one makes of it.
    one := next_tick_of(plan, zone, one, 'shift', 'both', anchor);
    EXIT WHEN one IS NULL;
    wall := one AT TIME ZONE zone;
    fires := next_tick_of(plan, zone, one - interval '1 second', gap, fold, anchor) = one;
    hop := zone_offset(zone, one + interval '4 hours') - zone_offset(zone, one - interval '4 hours');
    tick := CASE WHEN fires THEN one END;
    note := '';
    IF plan ? 'every' OR free OR hop = interval '0' THEN
      NULL;
    ELSIF hop > interval '0' AND next_time(plan, wall) IS DISTINCT FROM wall THEN
      wall := wall - hop;
      note := CASE WHEN fires THEN 'moved: this local time does not exist on this day' ELSE 'dropped: this local time does not exist on this day' END;
    ELSIF hop < interval '0' AND (one - hop) AT TIME ZONE zone = wall THEN
      note := CASE WHEN fires THEN 'the first of two' ELSE 'dropped: the first of two' END;
    ELSIF hop < interval '0' AND (one + hop) AT TIME ZONE zone = wall THEN
      note := CASE WHEN fires THEN 'the second of two' ELSE 'dropped: the second of two' END;
    END IF;
    local := to_char(wall, 'Dy YYYY-MM-DD HH24:MI:SS');
    IF fires OR note <> '' THEN
      RETURN NEXT;
    END IF;
    IF fires THEN
      shown := shown + 1;
    END IF;
  END LOOP;
END $$;

-- Name: FUNCTION preview_ticks(rule text, zone text, since timestamp with time zone, most integer, gap text, fold text, anchor timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.preview_ticks(rule text, zone text, since timestamp with time zone, most integer, gap text, fold text, anchor timestamp with time zone) IS 'The next ticks of a rule after a time, so many of those that fire, each with the local time that the rule names and what a change of clocks did to it; tick is null for
one that is dropped. Anyone may call it; locks nothing. Errors: 22023.';

-- Name: since_check(text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.since_check(field text, since timestamp with time zone) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF since IS NULL OR NOT (since >= timestamptz '1900-01-01 00:00+00' AND since < timestamptz '9999-01-01 00:00+00') THEN
    PERFORM refuse(field, format('is %s; allowed are the years 1900 to 9998', coalesce(since::text, 'null')));
  END IF;
END $$;

-- Name: FUNCTION since_check(field text, since timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.since_check(field text, since timestamp with time zone) IS 'Private. Refuses (22023) a time from which ticks cannot be counted. Locks nothing.';

-- Name: tick_between(jsonb, timestamp with time zone, timestamp without time zone, timestamp without time zone, interval); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tick_between(plan jsonb, since timestamp with time zone, low timestamp without time zone, high timestamp without time zone, ahead interval) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  local timestamp := greatest(low, (since AT TIME ZONE 'UTC') + ahead);
BEGIN
  IF local >= high THEN
    RETURN NULL;
  END IF;
  local := next_time(plan, local);
  IF local >= high THEN
    RETURN NULL;
  END IF;
  RETURN (local - ahead) AT TIME ZONE 'UTC';
END $$;

-- Name: FUNCTION tick_between(plan jsonb, since timestamp with time zone, low timestamp without time zone, high timestamp without time zone, ahead interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tick_between(plan jsonb, since timestamp with time zone, low timestamp without time zone, high timestamp without time zone, ahead interval) IS 'Private: the first tick, not before since, among the local times from low to high of one day, whose clocks are ahead of UTC by so much; or null. Locks nothing.';

-- Name: ticks_between(text, text, timestamp with time zone, timestamp with time zone, text, text, timestamp with time zone, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.ticks_between(rule text, zone text, since timestamp with time zone, until timestamp with time zone, gap text DEFAULT 'shift'::text, fold text DEFAULT 'first'::text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone, most integer DEFAULT 1000) RETURNS SETOF timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  plan CONSTANT jsonb := rule_parse(rule);
  tick timestamptz := since;
BEGIN
  PERFORM zone_check(zone);
  PERFORM policy_check(gap, fold);
  PERFORM since_check('since', since);
  PERFORM since_check('anchor', coalesce(anchor, since));
  IF until IS NULL OR most IS NULL OR most NOT BETWEEN 1 AND 100000 THEN
    PERFORM refuse(CASE WHEN until IS NULL THEN 'until' ELSE 'most' END,
                   CASE WHEN until IS NULL THEN 'is null; allowed is any time' ELSE format('is %s; allowed is 1 to 100000', coalesce(most::text, 'null')) END);
  END IF;
  FOR i IN 1..most LOOP
    tick := next_tick_of(plan, zone, tick, gap, fold, anchor);
    EXIT WHEN tick IS NULL OR tick > until;
    RETURN NEXT tick;
  END LOOP;
END $$;

-- Name: FUNCTION ticks_between(rule text, zone text, since timestamp with time zone, until timestamp with time zone, gap text, fold text, anchor timestamp with time zone, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.ticks_between(rule text, zone text, since timestamp with time zone, until timestamp with time zone, gap text, fold text, anchor timestamp with time zone, most integer) IS 'The ticks of a rule after since and not after until, at most so many; see next_tick(). Anyone may call it; locks nothing. Errors: 22023.';

-- Name: zone_check(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.zone_check(zone text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
  IF zone = 'UTC' THEN
    RETURN;
  END IF;
  -- PostgreSQL would also take an abbreviation, or make up a zone from any "ABC5". A name with a slash is neither, so to
  -- try it is enough; any other is looked up in the list, which takes some 50 ms.
  IF zone ~ '^[A-Za-z]+/[A-Za-z0-9_/+-]+$' THEN
    BEGIN
      PERFORM clock() AT TIME ZONE zone;
      RETURN;
    EXCEPTION WHEN invalid_parameter_value THEN
      NULL;
    END;
  ELSIF EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = zone_check.zone) THEN
    RETURN;
  END IF;
  PERFORM refuse('zone', format('is %s, which is no time zone that this server knows; allowed are IANA names such as Europe/Berlin (see pg_timezone_names)',
                                coalesce('"' || left(zone, 64) || '"', 'null')));
END $_$;

-- Name: FUNCTION zone_check(zone text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.zone_check(zone text) IS 'Private. Refuses (22023) what is no name of a time zone. Locks nothing.';

-- Name: zone_offset(text, timestamp with time zone); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.zone_offset(zone text, at timestamp with time zone) RETURNS interval
    LANGUAGE sql STABLE
    AS $$
  SELECT (at AT TIME ZONE zone) - (at AT TIME ZONE 'UTC')
$$;

-- Name: FUNCTION zone_offset(zone text, at timestamp with time zone); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.zone_offset(zone text, at timestamp with time zone) IS 'Private: how far a zone''s clocks are ahead of UTC. Locks nothing.';

