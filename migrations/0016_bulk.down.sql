-- Undoes 0016.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION delete_tasks(jsonb, integer, bigint);
DROP FUNCTION retry_tasks(jsonb, integer, bigint);
DROP FUNCTION run_tasks_now(jsonb, integer, bigint);
DROP FUNCTION reschedule_tasks(jsonb, timestamptz, integer, bigint);
DROP FUNCTION reprioritise_tasks(jsonb, integer, integer, bigint);
DROP FUNCTION move_tasks(text, jsonb, integer, bigint, integer, timestamptz);
DROP FUNCTION cancel_tasks(jsonb, integer, bigint);
DROP FUNCTION without(bigint[], bigint[]);
DROP FUNCTION left_over(bigint[], text);
DROP FUNCTION begin_changes(text, jsonb, bigint, integer);
DELETE FROM migrations WHERE version = 16;
