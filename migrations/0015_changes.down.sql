-- Undoes 0015.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION take_tickets(bigint[], text);
DROP FUNCTION plan_tasks(text, jsonb, integer);
DROP FUNCTION scope_of(text, jsonb);
DROP FUNCTION delete_task(bigint);
DROP FUNCTION run_now(bigint);
DROP FUNCTION reschedule(bigint, timestamptz);
DROP FUNCTION reprioritise(bigint, integer);
DROP FUNCTION move_task(bigint, text, integer, timestamptz);
DROP FUNCTION forget_tasks(bigint[]);
DROP FUNCTION status_moved(status, timestamptz);
DROP FUNCTION change_time_check(timestamptz);
DROP FUNCTION change_priority_check(integer);
DROP TYPE changes;
DELETE FROM migrations WHERE version = 15;
