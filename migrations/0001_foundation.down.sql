-- Undoes 0001. The schema goes too; it must hold nothing but Millrace.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP TABLE settings;
DROP FUNCTION clock();
DROP TABLE migrations;
DO $$ BEGIN EXECUTE format('DROP SCHEMA %I', current_schema()); END $$;
