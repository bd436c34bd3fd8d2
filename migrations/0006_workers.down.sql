-- Undoes 0006.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP FUNCTION tidy(interval);
DROP FUNCTION record_stats(uuid, text[], text[], bigint[], bigint[], bigint[], bigint[]);
DROP FUNCTION forget_kind(text);
DROP FUNCTION register_kinds(jsonb);
DROP FUNCTION declared_number(jsonb, text, bigint, bigint);
DROP FUNCTION deregister_worker(uuid);
DROP FUNCTION rescue(integer);
DROP FUNCTION forget_wish(uuid);
DROP FUNCTION heartbeat(uuid, bigint[]);
DROP FUNCTION cancellations(uuid);
DROP FUNCTION worker_channel(uuid);
DROP FUNCTION give_back(bigint, boolean, boolean);
DROP FUNCTION want_wakes(uuid, boolean);
DROP FUNCTION attach_session(uuid);
DROP FUNCTION register_worker(uuid, text, text, integer, text, text[], interval, interval, text[]);
DELETE FROM migrations WHERE version = 6;
