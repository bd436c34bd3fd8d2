// pg-boss: batches of 500, fetched and completed by several workers.
import * as module from "pg-boss";
import pg from "pg";

const Boss = module.PgBoss ?? module.default;
const [database, count] = [process.argv[2], Number(process.argv[3])];
const pool = new pg.Pool({ connectionString: database });
await pool.query("DROP SCHEMA IF EXISTS pgboss CASCADE");
const boss = new Boss({ connectionString: database, schedule: false, supervise: false, max: 10 });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("noop");
for (let i = 0; i < count; i += 5000) {
  await boss.insert("noop", Array.from({ length: Math.min(5000, count - i) }, (_, j) => ({ data: { to: "user@example.com", n: i + j } })));
}
await pool.query("VACUUM ANALYZE");
await pool.query("CHECKPOINT");

// Its poll interval is at least half a second, so the workers fetch and complete by hand, which is faster.
let done = 0;
const begin = process.hrtime.bigint();
await Promise.all(
  Array.from({ length: 4 }, async () => {
    for (;;) {
      const jobs = await boss.fetch("noop", { batchSize: 500 });
      if (!jobs?.length) return;
      await boss.complete("noop", jobs.map((job) => job.id));
      done += jobs.length;
    }
  }),
);
const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
if (done !== count) throw new Error(`${done} of ${count} jobs ran`);
await boss.stop({ graceful: false });
await pool.query("DROP SCHEMA pgboss CASCADE");
await pool.end();
console.log(JSON.stringify({ system: "pg-boss", rate_per_s: count / seconds }));
process.exit(0);
