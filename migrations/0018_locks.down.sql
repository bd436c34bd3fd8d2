-- Undoes 0018. Whoever holds a lock loses it, and tokens begin anew.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION tidy_locks(interval, integer);
DROP FUNCTION assert_lock(text, bigint);
DROP FUNCTION lock_holder(text);
DROP FUNCTION release_lock(text, bigint);
DROP FUNCTION extend_lock(text, bigint, interval);
DROP FUNCTION acquire_lock(text, text, interval);
DROP FUNCTION lock_lost(text, bigint);
DROP FUNCTION lock_check(text, interval);
DROP TYPE lock_attempt;
DROP VIEW held_locks;
DROP TABLE locks;
DELETE FROM migrations WHERE version = 18;
