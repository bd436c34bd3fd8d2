-- Undoes 0003.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION enqueue_many(text, jsonb[], text, integer, timestamptz, interval, integer, jsonb, interval, boolean, timestamptz, interval, text, text, text[], jsonb, text);
DROP FUNCTION enqueue(text, jsonb, text, integer, timestamptz, interval, integer, jsonb, interval, boolean, timestamptz, interval, text, text, text[], jsonb, text);
DROP FUNCTION add_task(bigint, text, jsonb, text, integer, timestamptz, integer, jsonb, interval, boolean, timestamptz, text, text, text[], jsonb, text, text);
DROP FUNCTION wake(text, timestamptz);
DROP FUNCTION wake_channel(text);
DROP FUNCTION args_check(jsonb);
DROP FUNCTION with_defaults(text, text, integer, integer, jsonb, interval);
DROP FUNCTION about_check(timestamptz, interval, text, text, text[], jsonb, text);
DROP FUNCTION options_check(text, text, integer, timestamptz, interval, integer, jsonb, interval);
DROP FUNCTION priority(text);
DROP FUNCTION backoff_check(jsonb);
DROP FUNCTION interval_check(text, interval, interval, interval, text);
DROP FUNCTION refuse(text, text);
DELETE FROM migrations WHERE version = 3;
