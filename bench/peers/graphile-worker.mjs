// graphile-worker at its fastest: local queue, batched completion. It deletes what is done: no history.
import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";

const [database, count, bytes] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const logger = new Logger(() => () => {});  // a line per job would cost it more than the job
const pool = new pg.Pool({ connectionString: database, max: 30 });
await pool.query("DROP SCHEMA IF EXISTS graphile_worker CASCADE");
const quiet = { logger, pgPool: pool, preset: { worker: { concurrentJobs: 24, maxPoolSize: 30, pollInterval: 100, localQueue: { size: 500 },
  completeJobBatchDelay: 0, failJobBatchDelay: 0 } } };
await runMigrations(quiet);
await pool.query(
  `WITH n AS MATERIALIZED (SELECT string_agg(md5(j::text), '') AS noise FROM generate_series(1, 512) j)
   SELECT count(*) FROM n, LATERAL (SELECT graphile_worker.add_jobs(ARRAY(
     SELECT json_populate_record(NULL::graphile_worker.job_spec, json_build_object('identifier', 'noop', 'payload',
       jsonb_build_object('to', 'user@example.com', 'n', i) || CASE WHEN $2 > 0 THEN jsonb_build_object('text', substr(noise, i % 4096 + 1, $2)) ELSE '{}' END))
     FROM generate_series(1, $1::int) i), false)) added`,
  [count, bytes],
);
await pool.query("VACUUM ANALYZE graphile_worker._private_jobs");
await pool.query("CHECKPOINT");

let done = 0;
const begin = process.hrtime.bigint();
const runner = await run({ ...quiet, noHandleSignals: true, taskList: { noop: () => { ++done; } } });
while (Number((await pool.query("SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)::int AS rest")).rows[0].rest) === 1) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
await runner.stop();
if (done !== count) throw new Error(`${done} of ${count} jobs ran`);
await pool.query("DROP SCHEMA graphile_worker CASCADE");
await pool.end();
console.log(JSON.stringify({ system: "graphile-worker", rate_per_s: count / seconds }));
process.exit(0);
