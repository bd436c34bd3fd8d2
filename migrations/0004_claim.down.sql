-- Undoes 0004.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION left_alone(text, integer[], integer);
DROP FUNCTION claim(uuid, text, integer, timestamptz[], bigint[], boolean, boolean, integer[]);
DROP FUNCTION expire_tasks(integer);
DROP FUNCTION expire_claimed(bigint[]);
DELETE FROM migrations WHERE version = 4;
