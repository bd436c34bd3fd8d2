-- Undoes 0017.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

-- Without forward_dead() a failure could not be recorded while a queue has a target.
DELETE FROM dead_queues;
DROP FUNCTION purge_dead(timestamptz, jsonb, integer, bigint);
DROP FUNCTION set_dead_queue_of_kind(text, text);
DROP FUNCTION set_dead_queue(text, text);
DROP FUNCTION forward_dead(bigint[]);
DROP FUNCTION dead_target(tasks);
DELETE FROM migrations WHERE version = 17;
