-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: cron_field(text, text, integer, integer, text[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cron_field(item text, field text, low integer, high integer, names text[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  part  text[] := regexp_match(item, '^(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?$');
  first integer;
  last  integer;
  step  integer := 1;
  mask  bigint := 0;
BEGIN
  IF part IS NULL OR (part[1] = '*' AND part[2] IS NOT NULL) THEN
    PERFORM refuse('rule', format('has "%s" as %s; allowed are values, ranges such as 1-5, steps such as */10, and lists of them', left(item, 32), field));
  END IF;
  IF part[3] IS NOT NULL THEN
    IF length(part[3]) > 4 OR part[3]::integer NOT BETWEEN 1 AND high THEN
      PERFORM refuse('rule', format('has the step "%s" in %s; allowed is 1 to %s', left(part[3], 32), field, high));
    END IF;
    step := part[3]::integer;
  END IF;
  IF part[1] = '*' THEN
    first := low;
    last := CASE WHEN field = 'weekday' THEN 6 ELSE high END;
  ELSE
    first := cron_value(part[1], field, low, high, names);
    last := CASE WHEN part[2] IS NOT NULL THEN cron_value(part[2], field, low, high, names)
                 WHEN part[3] IS NOT NULL THEN CASE WHEN field = 'weekday' THEN 6 ELSE high END
                 ELSE first END;
    -- FRI-SUN ends with the Sunday that follows.
    IF field = 'weekday' AND part[2] IS NOT NULL AND last = 0 AND first > 0 THEN
      last := 7;
    END IF;
    IF first > last THEN
      PERFORM refuse('rule', format('has the range "%s" in %s; allowed are ranges that do not wrap around: write two, with a comma', left(item, 32), field));
    END IF;
  END IF;
  FOR value IN first..last BY step LOOP
    mask := mask | (1::bigint << CASE WHEN field = 'weekday' THEN value % 7 ELSE value END);
  END LOOP;
  RETURN mask;
END $_$;

-- Name: FUNCTION cron_field(item text, field text, low integer, high integer, names text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cron_field(item text, field text, low integer, high integer, names text[]) IS 'Private: one element of a cron field as a mask of its values. Locks nothing. Errors: 22023.';

-- Name: cron_fields(text, text, integer, integer, text[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cron_fields(fields text, field text, low integer, high integer, names text[] DEFAULT '{}'::text[]) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  item text;
  mask bigint := 0;
BEGIN
  FOREACH item IN ARRAY string_to_array(fields, ',') LOOP
    mask := mask | cron_field(item, field, low, high, names);
  END LOOP;
  RETURN mask;
END $$;

-- Name: FUNCTION cron_fields(fields text, field text, low integer, high integer, names text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cron_fields(fields text, field text, low integer, high integer, names text[]) IS 'Private: a list of elements of a cron field as a mask of its values. Locks nothing. Errors: 22023.';

-- Name: cron_parse(text[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cron_parse(fields text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  days_of_week CONSTANT text[] := '{SUN,MON,TUE,WED,THU,FRI,SAT}';
  item    text;
  part    text[];
  seconds bigint;
  minutes bigint;
  hours   bigint;
  months  bigint;
  days    bigint := 0;      -- 1 to 31
  near    bigint := 0;      -- nearest weekday to the 1st to 31st
  last    boolean := false; -- the last day
  last_w  boolean := false; -- the last weekday
  week    bigint := 0;      -- 0 to 6
  nth     bigint := 0;      -- bit 5 * weekday + n - 1
  final   bigint := 0;      -- last such weekday of the month
  any_day CONSTANT boolean := fields[4] IN ('*', '?');
  any_dow CONSTANT boolean := fields[6] IN ('*', '?');
  longest integer;
BEGIN
  seconds := cron_fields(fields[1], 'second', 0, 59);
  minutes := cron_fields(fields[2], 'minute', 0, 59);
  hours   := cron_fields(fields[3], 'hour', 0, 23);
  months  := cron_fields(fields[5], 'month', 1, 12, '{JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC}');
  IF NOT any_day THEN
    FOREACH item IN ARRAY string_to_array(fields[4], ',') LOOP
      IF upper(item) = 'L' THEN
        last := true;
      ELSIF upper(item) = 'LW' THEN
        last_w := true;
      ELSIF item ~* '^[0-9]+W$' THEN
        near := near | (1::bigint << cron_value(rtrim(item, 'wW'), 'day of month', 1, 31, '{}'));
      ELSIF item ~* 'L|W' THEN
        PERFORM refuse('rule', format('has "%s" as day of month; allowed are 1 to 31, L, LW and such as 15W', left(item, 32)));
      ELSE
        days := days | cron_field(item, 'day of month', 1, 31, '{}');
      END IF;
    END LOOP;
  END IF;
  IF NOT any_dow THEN
    FOREACH item IN ARRAY string_to_array(fields[6], ',') LOOP
      IF item LIKE '%#%' THEN
        part := regexp_match(item, '^([0-9A-Za-z]+)#([1-5])$');
        IF part IS NULL THEN
          PERFORM refuse('rule', format('has "%s" as weekday; allowed after # is 1 to 5, such as MON#2', left(item, 32)));
        END IF;
        nth := nth | (1::bigint << (cron_value(part[1], 'weekday', 0, 7, days_of_week) % 7 * 5 + part[2]::integer - 1));
      ELSIF item ~* '^([0-7]|[a-z]{3})L$' THEN
        final := final | (1::bigint << (cron_value(left(item, -1), 'weekday', 0, 7, days_of_week) % 7));
      ELSIF upper(item) = 'L' THEN
        PERFORM refuse('rule', 'has "L" as weekday; allowed is L after a weekday, such as FRIL or 5L');
      ELSE
        week := week | cron_field(item, 'weekday', 0, 7, days_of_week);
      END IF;
    END LOOP;
  END IF;
  -- A day that none of the months has: nothing else can fire.
  IF any_dow AND NOT (any_day OR last OR last_w) THEN
    longest := CASE WHEN months & 5546 <> 0 THEN 31 WHEN months & 2640 <> 0 THEN 30 ELSE 29 END;
    IF (days | near) & ((1::bigint << longest + 1) - 1) = 0 THEN
      PERFORM refuse('rule', format('names day %s of months that have at most %s, so it would never fire', replace(fields[4], ',', ', '), longest));
    END IF;
  END IF;
  RETURN jsonb_build_object(
    's', seconds, 'm', minutes, 'h', hours, 'mon', months,
    -- Hours that are not named run through every change of clocks.
    'free', fields[3] ~ '^(\*|0-23)(/[0-9]+)?$' OR hours = 16777215,
    'any_day', any_day, 'any_dow', any_dow, 'dom', days, 'near', near, 'last', last, 'last_w', last_w,
    'dow', week, 'nth', nth, 'final', final);
END $_$;

-- Name: FUNCTION cron_parse(fields text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cron_parse(fields text[]) IS 'Private: the plan of six cron fields, seconds first. Locks nothing. Errors: 22023.';

-- Name: cron_value(text, text, integer, integer, text[]); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.cron_value(value text, field text, low integer, high integer, names text[]) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  named integer := array_position(names, upper(value));
BEGIN
  IF named IS NOT NULL THEN
    -- The names of months begin with 1, those of weekdays with 0.
    RETURN named - 1 + CASE WHEN field = 'month' THEN 1 ELSE 0 END;
  END IF;
  IF value !~ '^[0-9]{1,4}$' OR value::integer NOT BETWEEN low AND high THEN
    PERFORM refuse('rule', format('has "%s" as %s; allowed are %s to %s%s', left(value, 32), field, low, high,
                                  CASE WHEN names <> '{}' THEN ' and ' || names[1] || ' to ' || names[cardinality(names)] ELSE '' END));
  END IF;
  RETURN value::integer;
END $_$;

-- Name: FUNCTION cron_value(value text, field text, low integer, high integer, names text[]); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.cron_value(value text, field text, low integer, high integer, names text[]) IS 'Private: one number or name of a cron field. Locks nothing. Errors: 22023.';

SET default_tablespace = '';

SET default_table_access_method = heap;

-- Name: rule_parse(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.rule_parse(rule text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  words text[];
  part  text[];
  total numeric := 0;
  cron  text;
BEGIN
  IF rule IS NULL OR octet_length(rule) NOT BETWEEN 1 AND 256 THEN
    PERFORM refuse('rule', format('has %s bytes; allowed are 1 to 256', coalesce(octet_length(rule)::text, 'no')));
  END IF;
  words := regexp_split_to_array(btrim(rule, E' \t\r\n'), '\s+');
  IF lower(words[1]) = 'every' THEN
    IF cardinality(words) <> 2 OR words[2] !~ '^([0-9]{1,9}[smhdw])+$' THEN
      PERFORM refuse('rule', format('is "%s"; allowed after every is a duration such as 90s, 1h30m or 2d', left(rule, 64)));
    END IF;
    FOR part IN SELECT regexp_matches(words[2], '([0-9]+)([smhdw])', 'g') LOOP
      total := total + part[1]::numeric * CASE part[2] WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 WHEN 'd' THEN 86400 ELSE 604800 END;
    END LOOP;
    IF total NOT BETWEEN 1 AND 31622400 THEN
      PERFORM refuse('rule', format('is every %s seconds; allowed is 1 second to 366 days', total));
    END IF;
    RETURN jsonb_build_object('every', total);
  END IF;
  IF words[1] LIKE '@%' THEN
    cron := CASE WHEN cardinality(words) = 1 THEN
      CASE lower(words[1]) WHEN '@hourly' THEN '0 * * * *' WHEN '@daily' THEN '0 0 * * *' WHEN '@midnight' THEN '0 0 * * *'
                           WHEN '@weekly' THEN '0 0 * * 0' WHEN '@monthly' THEN '0 0 1 * *'
                           WHEN '@yearly' THEN '0 0 1 1 *' WHEN '@annually' THEN '0 0 1 1 *' END END;
    IF cron IS NULL THEN
      PERFORM refuse('rule', format('is "%s"; allowed are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually', left(rule, 64)));
    END IF;
    words := string_to_array(cron, ' ');
  END IF;
  IF cardinality(words) NOT IN (5, 6) THEN
    PERFORM refuse('rule', format('has %s fields; allowed are 5 (minute, hour, day of month, month, weekday), or 6 with seconds first', cardinality(words)));
  END IF;
  IF cardinality(words) = 5 THEN
    words := '0'::text || words;
  END IF;
  RETURN cron_parse(words);
END $_$;

-- Name: FUNCTION rule_parse(rule text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.rule_parse(rule text) IS 'Reads a rule and returns its plan, which only next_tick_of() understands. A rule is a cron of 5 fields, or 6 with seconds first (values, ranges, steps, lists,
names such as MON and JAN, ? for *, L, LW, 15W, MON#2, FRIL), @hourly to @yearly, or an interval such as every 1h30m. Anyone may call it; locks nothing.
Errors: 22023, with the field, the value and what is allowed; also for a rule that can never fire.';

