// The rounds, the table and the ratios. Every system drains as many tasks with the same args from the same server.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const database = process.env.PEERS_DATABASE;
const millrace = process.env.PEERS_MILLRACE;
const rounds = Number(process.env.PEERS_ROUNDS ?? 3);
const tasks = Number(process.env.PEERS_TASKS ?? 200_000);

function run(command, args) {
  const child = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26, env: { ...process.env, MILLRACE_DATABASE: database } });
  if (child.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${child.stdout}\n${child.stderr}`);
  return child.stdout.trim().split("\n").map((line) => JSON.parse(line));
}

function millraceRate(count, bytes) {
  const args = ["bench", "drain", "--json", "--rounds", "1", "--tasks", String(count), "--args-bytes", String(bytes)];
  return run(millrace, args).find((line) => line.system === "millrace").rate_per_s;
}
const peer = (script) => (count, bytes) => run(process.execPath, [join(here, script), database, String(count), String(bytes)]).at(-1).rate_per_s;

const systems = [
  { name: "millrace", key: "millrace", bytes: 0, tasks, rate: millraceRate },
  { name: "graphile-worker", key: "graphile_worker", bytes: 0, tasks, rate: peer("graphile-worker.mjs") },
  { name: "pg-boss", key: "pg_boss", bytes: 0, tasks: Math.ceil(tasks / 4), rate: peer("pg-boss.mjs") },
  { name: "millrace, 4 KB", key: "millrace_4k", bytes: 4000, tasks: Math.ceil(tasks / 4), rate: millraceRate },
  { name: "graphile-worker, 4 KB", key: "graphile_worker_4k", bytes: 4000, tasks: Math.ceil(tasks / 4), rate: peer("graphile-worker.mjs") },
];
const rates = Object.fromEntries(systems.map((system) => [system.key, []]));
for (let round = 1; round <= rounds; ++round) {
  for (const system of round % 2 === 1 ? systems : systems.toReversed()) {
    const rate = system.rate(system.tasks, system.bytes);
    rates[system.key].push(Math.round(rate));
    console.error(`round ${round}: ${system.name} ${Math.round(rate)}/s`);
  }
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
console.log(`${"system".padEnd(24)}${"tasks".padStart(10)}${"median/s".padStart(12)}   rounds`);
for (const { name, key, tasks: count } of systems) {
  console.log(`${name.padEnd(24)}${String(count).padStart(10)}${String(median(rates[key])).padStart(12)}   ${rates[key].join(" ")}`);
}
const ratio = (ours, theirs) => Number(median(rates[ours].map((rate, i) => rate / rates[theirs][i])).toFixed(3));
console.log(
  JSON.stringify({
    vs_graphile_worker: ratio("millrace", "graphile_worker"),
    vs_graphile_worker_4k: ratio("millrace_4k", "graphile_worker_4k"),
    vs_pg_boss: ratio("millrace", "pg_boss"),
    rates,
  }),
);
