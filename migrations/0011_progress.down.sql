-- Undoes 0011.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION tidy_reports(bigint, integer);
DROP FUNCTION record_reports(uuid, bigint[], bigint[], smallint[], bigint[], bigint[], text[], bigint[], bigint[], bigint[], bigint[], text[]);
DROP VIEW task_logs;
DROP VIEW task_progress;
DROP TABLE log_lines;
DROP TABLE reports;
DROP FUNCTION end_wait(bigint, bigint);
DROP FUNCTION renew_wait(bigint, bigint);
DROP FUNCTION begin_wait(bigint, boolean);
DELETE FROM migrations WHERE version = 11;
