-- Undoes 0004.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION claim(uuid, text, integer, timestamptz[], bigint[], boolean, boolean);
DELETE FROM migrations WHERE version = 4;
