-- Undoes 0014.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION depth(text);
DROP FUNCTION count_tasks(jsonb);
DROP FUNCTION task_ids(jsonb, bigint, integer);
DROP FUNCTION list_tasks(jsonb, integer, bigint);
DROP FUNCTION page_check(integer, integer);
DROP FUNCTION task_query(jsonb, text, boolean, bigint, integer);
DROP FUNCTION along_road(text);
DROP FUNCTION parse_filter(jsonb);
DROP FUNCTION filter_value(text, text, jsonb);
DROP FUNCTION filter_fields();
DELETE FROM migrations WHERE version = 14;
