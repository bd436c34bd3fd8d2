-- Undoes 0005.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION release(uuid, bigint[], bigint[], interval, text, boolean);
DROP FUNCTION settle_cancelled(uuid, bigint[], bigint[], text[], boolean);
DROP FUNCTION fail(uuid, bigint[], bigint[], text[], boolean[], interval[], boolean);
DROP FUNCTION died_last(jsonb);
DROP FUNCTION with_error(jsonb, integer, uuid, text, boolean);
DROP FUNCTION retry_delay(jsonb, integer);
DROP FUNCTION complete_task(bigint, bigint, jsonb);
DROP FUNCTION assert_lease(bigint, bigint);
DROP FUNCTION complete(uuid, bigint[], tid[], bigint[], jsonb[], bigint[], boolean);
DROP FUNCTION tell_waits(bigint[]);
DROP FUNCTION task_channel(bigint);
DROP FUNCTION drop_leases(uuid, bigint[]);
DROP FUNCTION unsettled(uuid, bigint[], bigint[]);
DELETE FROM migrations WHERE version = 5;
