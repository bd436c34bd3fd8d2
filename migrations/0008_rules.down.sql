-- Undoes 0008.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION rule_parse(text);
DROP FUNCTION cron_parse(text[]);
DROP FUNCTION cron_fields(text, text, integer, integer, text[]);
DROP FUNCTION cron_field(text, text, integer, integer, text[]);
DROP FUNCTION cron_value(text, text, integer, integer, text[]);
DELETE FROM migrations WHERE version = 8;
