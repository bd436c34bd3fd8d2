-- Undoes 0010.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION run_schedule(text);
DROP FUNCTION delete_schedule(text);
DROP FUNCTION resume_schedule(text);
DROP FUNCTION pause_schedule(text);
DROP FUNCTION schedule_named(text);
DROP FUNCTION put_schedule(text, text, text, jsonb, text, text, text, text, integer, interval, interval, text, timestamptz, text, integer, integer, jsonb, interval, text[]);
DROP FUNCTION fire_schedules(integer);
DROP FUNCTION fire_schedule(schedules);
DROP FUNCTION tidy_ticks(bigint, integer);
DROP FUNCTION enqueue_tick(schedules, timestamptz);
DROP FUNCTION latest_ticks(schedules, timestamptz, timestamptz, integer);
DROP FUNCTION ticks_within(schedules, timestamptz, timestamptz, integer);
DROP FUNCTION tick_after(schedules, timestamptz);
DROP FUNCTION tick_at(schedules, timestamptz);
DROP FUNCTION schedules_channel();
DROP TABLE schedule_ticks;
DROP TABLE schedules;
DELETE FROM migrations WHERE version = 10;
