-- Undoes 0012.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION tidy_keys(bigint, integer);
DROP FUNCTION enqueue_once(text, jsonb, text, interval, text, text[], interval, interval, interval, interval, boolean, text, integer, timestamptz, interval, integer, jsonb, interval, boolean, timestamptz, interval, text, text, text[], jsonb, text);
DROP FUNCTION replace_task(bigint, jsonb, text, integer, timestamptz, interval, integer, jsonb, interval, boolean, timestamptz, text, text, text[], jsonb, text);
DROP FUNCTION identity_of(text, text[], jsonb);
DROP FUNCTION keys_check(text, interval, text, text[], interval, interval, interval, interval, boolean, timestamptz, interval);
DROP FUNCTION retake_key(tasks);
DROP FUNCTION take_key(text, text, text, bigint, timestamptz, boolean);
DROP FUNCTION holder_of(text, text, text);
DROP FUNCTION expire_task(bigint);
DROP FUNCTION key_holds(task_keys);
DROP TYPE enqueued;
DROP TABLE task_keys;
DELETE FROM migrations WHERE version = 12;
