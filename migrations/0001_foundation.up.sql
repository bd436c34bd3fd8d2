-- 0001 foundation: the schema, the list of applied migrations, the clock and the settings.
--
-- Every migration runs as `psql -X -1 -v ON_ERROR_STOP=1 -v schema=millrace -f FILE` or through
-- `millrace migrate up`, which only replaces the two quoted schema tokens below. Bodies are
-- unqualified: each function carries the search_path that is current while this file runs.

CREATE SCHEMA IF NOT EXISTS :"schema";
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

CREATE TABLE migrations (
  version        integer     PRIMARY KEY CHECK (version > 0),
  name           text        NOT NULL CHECK (name <> ''),
  min_compatible integer     NOT NULL CHECK (min_compatible BETWEEN 1 AND version),
  checksum       text,
  applied_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE migrations IS
  'The applied migrations. A binary may serve a newer schema while its own version is at least max(min_compatible). checksum is filled in by the runner.';

CREATE FUNCTION clock() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS 'SELECT pg_catalog.now()';
COMMENT ON FUNCTION clock() IS
  'The one source of time for every decision of the queue. A test may replace it to shift time; nothing else may. Anyone may call it; locks nothing.';

CREATE TABLE settings (
  singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  args_bytes_max integer NOT NULL DEFAULT 1048576 CHECK (args_bytes_max BETWEEN 256 AND 268435456)
);
COMMENT ON TABLE settings IS 'One row: limits that an operator may change with UPDATE.';
COMMENT ON COLUMN settings.args_bytes_max IS 'Largest args accepted at enqueue, in bytes of their JSON text as PostgreSQL prints it. Default 1 MiB.';
INSERT INTO settings DEFAULT VALUES;

INSERT INTO migrations (version, name, min_compatible) VALUES (1, 'foundation', 1);
