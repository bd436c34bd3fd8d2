-- As pg_dump of PostgreSQL 15 prints it; MILLRACE_UPDATE_GOLDEN=1 in the test's environment writes it anew.
-- Name: lock_attempt; Type: TYPE; Schema: millrace; Owner: -
CREATE TYPE millrace.lock_attempt AS (
	acquired boolean,
	token bigint,
	owner text,
	expires_at timestamp with time zone
);

-- Name: TYPE lock_attempt; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TYPE millrace.lock_attempt IS 'What acquire_lock() answers. Not acquired: token is null, owner is who has it, expires_at when it expires; all null if that cannot be seen yet.';

-- Name: acquire_lock(text, text, interval); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.acquire_lock(name text, owner text, ttl interval DEFAULT '00:00:30'::interval) RETURNS millrace.lock_attempt
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  seen locks;
BEGIN
  PERFORM lock_check(name, ttl);
  IF owner IS NULL THEN PERFORM refuse('owner', 'must not be null'); END IF;
  IF octet_length(owner) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('owner', format('has %s bytes; allowed is 1 to 128', octet_length(owner)));
  END IF;
  -- A row may go while we look at it; it does not go again and again.
  FOR turn IN 1 .. 3 LOOP
    SELECT l.* INTO seen FROM locks l WHERE l.name = acquire_lock.name;
    IF seen.name IS NOT NULL AND seen.expires_at > clock() AND seen.owner = acquire_lock.owner THEN
      UPDATE locks l SET expires_at = greatest(l.expires_at, clock() + ttl)
      WHERE l.name = acquire_lock.name AND l.token = seen.token AND l.expires_at > clock() RETURNING l.* INTO seen;
      IF FOUND THEN
        RETURN (true, seen.token, seen.owner, seen.expires_at);
      END IF;
      CONTINUE;
    END IF;
    IF seen.name IS NULL THEN
      -- Expired as it is born: it is taken below, under its row lock, where its token is drawn. A token drawn for this INSERT
      -- could be older than that of somebody who came and went while it waited for the name.
      INSERT INTO locks AS l (name, owner, acquired_at, expires_at)
      VALUES (acquire_lock.name, acquire_lock.owner, clock(), '-infinity') ON CONFLICT ON CONSTRAINT locks_pkey DO NOTHING;
    END IF;
    PERFORM FROM locks l WHERE l.name = acquire_lock.name AND l.expires_at <= clock() FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
      UPDATE locks l SET token = DEFAULT, owner = acquire_lock.owner, acquired_at = clock(), expires_at = clock() + ttl
      WHERE l.name = acquire_lock.name RETURNING l.* INTO seen;
      RETURN (true, seen.token, seen.owner, seen.expires_at);
    END IF;
    SELECT l.* INTO seen FROM locks l WHERE l.name = acquire_lock.name;
    EXIT WHEN seen.name IS NOT NULL AND NOT (seen.owner = acquire_lock.owner AND seen.expires_at > clock());
  END LOOP;
  RETURN (false, NULL::bigint, seen.owner, seen.expires_at);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  -- Somebody's transaction is taking it and has not ended: it is not ours to have.
  RETURN (false, NULL::bigint, NULL::text, NULL::timestamptz);
END $$;

-- Name: FUNCTION acquire_lock(name text, owner text, ttl interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.acquire_lock(name text, owner text, ttl interval) IS 'Takes the lock of this name if nobody holds it, for ttl (1 second to 1 day) from when this transaction began; it is held once the transaction
commits. Who acquires what it holds already extends it and gets the same token, so repeating a call whose answer was lost is safe. It does not wait for a
holder; it answers at once, or within 2 seconds if a transaction that takes the name has not ended. An expired lock is not taken while a transaction
that asserted it is open. Anyone who may write locks may call it. Locks the lock''s row. Errors: 22023, 40001 (above READ COMMITTED: repeat).';

-- Name: assert_lock(text, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.assert_lock(name text, token bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
BEGIN
  PERFORM lock_check(name);
  PERFORM FROM locks l WHERE l.name = assert_lock.name AND l.token = assert_lock.token AND l.expires_at > clock() FOR KEY SHARE;
  IF NOT FOUND THEN PERFORM lock_lost(name, token); END IF;
END $$;

-- Name: FUNCTION assert_lock(name text, token bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.assert_lock(name text, token bigint) IS 'For a transaction that writes what the lock protects: fails unless the lock is held with this token, and until the transaction ends nobody else can
acquire it, also if it expires meanwhile. The holder may extend it, also from another session. Anyone who may write locks may call it. Locks the lock''s
row FOR KEY SHARE. Errors: MR001 (lost), 22023, 55P03, 40001 (above READ COMMITTED: repeat).';

-- Name: extend_lock(text, bigint, interval); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.extend_lock(name text, token bigint, ttl interval DEFAULT '00:00:30'::interval) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  until timestamptz;
BEGIN
  PERFORM lock_check(name, ttl);
  UPDATE locks l SET expires_at = greatest(l.expires_at, clock() + ttl)
  WHERE l.name = extend_lock.name AND l.token = extend_lock.token AND l.expires_at > clock() RETURNING l.expires_at INTO until;
  IF NOT FOUND THEN PERFORM lock_lost(name, token); END IF;
  RETURN until;
END $$;

-- Name: FUNCTION extend_lock(name text, token bigint, ttl interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.extend_lock(name text, token bigint, ttl interval) IS 'For the holder: the lock expires ttl (1 second to 1 day) from when this transaction began, if that is later than it was. Returns when. What has
expired cannot be extended, even if nobody has taken it. Anyone who may write locks may call it. Locks the lock''s row, but stands in the way of no
assert_lock(), nor that in its way. Errors: MR001 (lost), 22023, 55P03.';

-- Name: lock_check(text, interval); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.lock_check(name text, ttl interval DEFAULT '00:01:00'::interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF name IS NULL THEN PERFORM refuse('name', 'must not be null'); END IF;
  IF octet_length(name) NOT BETWEEN 1 AND 128 THEN
    PERFORM refuse('name', format('has %s bytes; allowed is 1 to 128', octet_length(name)));
  END IF;
  IF ttl IS NULL THEN PERFORM refuse('ttl', 'must not be null'); END IF;
  PERFORM interval_check('ttl', ttl, '1 second', '1 day', '1 second to 1 day');
END $$;

-- Name: FUNCTION lock_check(name text, ttl interval); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.lock_check(name text, ttl interval) IS 'Private: refuses a name or a ttl that is out of range. Locks nothing. Errors: 22023.';

-- Name: locks; Type: TABLE; Schema: millrace; Owner: -
CREATE TABLE millrace.locks (
    name text NOT NULL,
    token bigint NOT NULL,
    owner text NOT NULL,
    acquired_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

-- Name: TABLE locks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON TABLE millrace.locks IS 'Private. One row per lock that is held, or has expired and not been tidied away. Look at held_locks; change it with acquire_lock() and the like.';

-- Name: COLUMN locks.token; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON COLUMN millrace.locks.token IS 'From one sequence, taken while the row is locked, so that the tokens of a name only grow, also when its row is removed and made anew.';

-- Name: held_locks; Type: VIEW; Schema: millrace; Owner: -
CREATE VIEW millrace.held_locks AS
 SELECT l.name,
    l.owner,
    l.token,
    l.acquired_at,
    l.expires_at
   FROM millrace.locks l
  WHERE (l.expires_at > millrace.clock());

-- Name: VIEW held_locks; Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON VIEW millrace.held_locks IS 'The locks that are held now: by whom, with which token, since when, and when they expire unless they are extended.';

-- Name: lock_holder(text); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.lock_holder(name text) RETURNS SETOF millrace.held_locks
    LANGUAGE plpgsql STABLE
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM lock_check(name);
  RETURN QUERY SELECT h.* FROM held_locks h WHERE h.name = lock_holder.name;
END $$;

-- Name: FUNCTION lock_holder(name text); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.lock_holder(name text) IS 'Who holds this lock: one row of held_locks, or none. It may have changed by the time that you read it. Anyone who may read locks may call it; locks nothing. Errors: 22023.';

-- Name: lock_lost(text, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.lock_lost(name text, token bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  now_held held_locks;
BEGIN
  SELECT h.* INTO now_held FROM held_locks h WHERE h.name = lock_lost.name;
  RAISE EXCEPTION USING ERRCODE = 'MR001',
    MESSAGE = format('lock "%s" is not held with token %s (any more): %s', name, coalesce(token::text, 'null'),
                     CASE WHEN now_held.name IS NULL THEN 'nobody holds it'
                          ELSE format('%s holds it with token %s', now_held.owner, now_held.token) END),
    HINT = 'It expired, was released, or was taken over: roll back what was done under it.';
END $$;

-- Name: FUNCTION lock_lost(name text, token bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.lock_lost(name text, token bigint) IS 'Private: raises MR001 and says who holds the lock now. Locks nothing.';

-- Name: release_lock(text, bigint); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.release_lock(name text, token bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s'
    AS $$
DECLARE
  held boolean;
BEGIN
  PERFORM lock_check(name);
  DELETE FROM locks l WHERE l.name = release_lock.name AND l.token = release_lock.token RETURNING l.expires_at > clock() INTO held;
  RETURN coalesce(held, false);
END $$;

-- Name: FUNCTION release_lock(name text, token bigint); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.release_lock(name text, token bigint) IS 'For the holder: others may acquire it now. True if it was held with this token until now; false if it had been lost, or released, before; then
whoever holds it keeps it. Waits up to 2 seconds for transactions that asserted it. Anyone who may write locks may call it. Locks the lock''s
row. Errors: 22023, 55P03.';

-- Name: tidy_locks(interval, integer); Type: FUNCTION; Schema: millrace; Owner: -
CREATE FUNCTION millrace.tidy_locks(keep interval DEFAULT '01:00:00'::interval, most integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'millrace', 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    AS $$
DECLARE
  gone integer;
BEGIN
  DELETE FROM locks l WHERE l.name IN (
    SELECT o.name FROM locks o WHERE o.expires_at < clock() - keep LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS gone = ROW_COUNT;
  RETURN gone;
END $$;

-- Name: FUNCTION tidy_locks(keep interval, most integer); Type: COMMENT; Schema: millrace; Owner: -
COMMENT ON FUNCTION millrace.tidy_locks(keep interval, most integer) IS 'Private, for workers, in turn: removes locks that expired so long ago, at most so many, and returns how many. Tokens go on growing. Locks the rows it deletes.';

-- Name: locks_token_seq; Type: SEQUENCE; Schema: millrace; Owner: -
ALTER TABLE millrace.locks ALTER COLUMN token ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME millrace.locks_token_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

-- Name: locks locks_pkey; Type: CONSTRAINT; Schema: millrace; Owner: -
ALTER TABLE ONLY millrace.locks
    ADD CONSTRAINT locks_pkey PRIMARY KEY (name);

