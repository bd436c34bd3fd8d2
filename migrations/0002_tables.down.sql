-- Undoes 0002: every task is gone with it.
SET LOCAL search_path = :"schema", pg_catalog, pg_temp;

DROP TABLE task_stats, dead_queues, kinds, expiries, waits, cancel_requests, worker_wishes, worker_sessions, workers, leases, tickets, tasks;
DROP FUNCTION kind_hash(text);
DROP TYPE status;
DELETE FROM migrations WHERE version = 2;
