-- Undoes 0013.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP VIEW live_workers;
DROP FUNCTION attend_wish(uuid, text);
DROP FUNCTION stop_worker(text);
DROP FUNCTION resume_worker(text);
DROP FUNCTION pause_worker(text);
DROP FUNCTION wish_of_worker(text, text);
DROP FUNCTION worker_named(text);
DELETE FROM migrations WHERE version = 13;
