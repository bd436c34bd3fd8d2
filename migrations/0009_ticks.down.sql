-- Undoes 0009.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION preview_ticks(text, text, timestamptz, integer, text, text, timestamptz);
DROP FUNCTION ticks_between(text, text, timestamptz, timestamptz, text, text, timestamptz, integer);
DROP FUNCTION policy_check(text, text);
DROP FUNCTION next_tick(text, text, timestamptz, text, text, timestamptz);
DROP FUNCTION since_check(text, timestamptz);
DROP FUNCTION next_tick_of(jsonb, text, timestamptz, text, text, timestamptz);
DROP FUNCTION tick_between(jsonb, timestamptz, timestamp, timestamp, interval);
DROP FUNCTION clock_change(text, timestamptz, timestamptz);
DROP FUNCTION zone_offset(text, timestamptz);
DROP FUNCTION next_time(jsonb, timestamp);
DROP FUNCTION next_day(jsonb, date);
DROP FUNCTION next_bit(bigint, integer);
DROP FUNCTION zone_check(text);
DELETE FROM migrations WHERE version = 9;
