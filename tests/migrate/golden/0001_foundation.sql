-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

-- Name: millrace; Type: SCHEMA; Schema: -; Owner: -
CREATE SCHEMA millrace;

-- Name: clock(); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.clock() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$SELECT pg_catalog.now()$$;

-- Name: FUNCTION clock(); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.clock() IS 'The one source of time for every decision of the queue. A test may replace it to shift time; nothing else may. Anyone may call it; locks nothing.';

-- Name: migrations; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    min_compatible integer NOT NULL,
    checksum text,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT migrations_check CHECK (((min_compatible >= 1) AND (min_compatible <= version))),
    CONSTRAINT migrations_name_check CHECK ((name <> ''::text)),
    CONSTRAINT migrations_version_check CHECK ((version > 0))
);

-- Name: TABLE migrations; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.migrations IS 'The applied migrations. A binary may serve a newer schema while its own version is at least max(min_compatible). checksum is filled in by the runner.';

-- Name: settings; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.settings (
    singleton boolean DEFAULT true NOT NULL,
    args_bytes_max integer DEFAULT 1048576 NOT NULL,
    CONSTRAINT settings_args_bytes_max_check CHECK (((args_bytes_max >= 256) AND (args_bytes_max <= 268435456))),
    CONSTRAINT settings_singleton_check CHECK (singleton)
);

-- Name: TABLE settings; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.settings IS 'One row: limits that an operator may change with UPDATE.';

-- Name: COLUMN settings.args_bytes_max; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.settings.args_bytes_max IS 'Largest args accepted at enqueue, in bytes of their JSON text as PostgreSQL prints it. Default 1 MiB.';

-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);

-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (singleton);

