-- Undoes 0007.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION mend();
DROP FUNCTION doctor();
DROP FUNCTION stats();
DROP VIEW dead_letters, running_tasks, upcoming_tasks, ready_tasks;
DROP FUNCTION retry(bigint);
DROP FUNCTION revive(bigint);
DROP FUNCTION cancel(bigint);
DROP FUNCTION drop_ticket(tasks);
DELETE FROM migrations WHERE version = 7;
