// Locks on a server, beside the server's own functions on the same kind of connection.
import { connect, lock } from 'kernel-lock/postgres';
import { withPostgres } from '../lib/postgres.js';
import { median, p99, Rounds } from '../lib/stats.js';
import { atMost } from '../lib/verdict.js';

const BARE = 'bare advisory lock';
const KEPT = 'bare, on connections that are kept';
const WRITING = 'bare, and a row is updated';
const OWN = 'kernel-lock/postgres';
const BATCH = 10;

// What any record of the holder costs: a row of an unlogged table, in the statement that locks.
const TABLE = `CREATE UNLOGGED TABLE IF NOT EXISTS bench (
    name text PRIMARY KEY, token bigint NOT NULL, pid integer, since timestamptz
  ) WITH (fillfactor = 50);
  INSERT INTO bench VALUES ('bench', 0) ON CONFLICT DO NOTHING`;
const updating = (lock) => `WITH attempt AS MATERIALIZED (SELECT ${lock} AS granted)
  UPDATE bench SET token = token + 1, pid = pg_backend_pid(), since = clock_timestamp()
  FROM attempt WHERE granted AND name = 'bench' RETURNING token`;

const nanoseconds = () => Number(process.hrtime.bigint());

export const postgres = {
  id: 'postgres',
  title: 'On PostgreSQL: acquire and release, on one connection',
  unit: 'µs',
  measures:
    'pg_try_advisory_lock and pg_advisory_unlock as prepared statements of pg, and tryLock and ' +
    `release() of a connect(). Medians of batches of ${BATCH}, in turn. kernel-lock grants a token with ` +
    'the lock, and records the holder; the second line is what such a record costs at least.',

  async run(bench) {
    const skipped = [];
    const result = await withPostgres(bench, skipped, async (client) => {
      const bare = client();
      await bare.connect();
      const connection = await connect({ client });
      const ask = (name, text) => bare.query({ name, text });
      await bare.query(TABLE);
      const take = () => ask('take', 'SELECT pg_try_advisory_lock(1)');
      const write = () => ask('write', updating('pg_try_advisory_lock(1)'));
      const give = () => ask('give', 'SELECT pg_advisory_unlock(1)');
      const contestants = {
        [BARE]: async () => {
          await take();
          await give();
        },
        [WRITING]: async () => {
          await write();
          await give();
        },
        [OWN]: async () => await (await connection.tryLock('bench')).release(),
      };
      const rounds = new Rounds();
      for (let round = 0; round < (bench.short ? 6 : 20); round++) {
        for (const [id, once] of Object.entries(contestants)) {
          const samples = [];
          for (let batch = 0; batch < (bench.short ? 5 : 10); batch++) {
            const start = nanoseconds();
            for (let i = 0; i < BATCH; i++) await once();
            samples.push((nanoseconds() - start) / BATCH);
          }
          if (round > 0) rounds.add(id, samples); // the first warms up
        }
      }
      const lines = linesOf(rounds, Object.keys(contestants));
      lines.push(...(await namesOnOne(connection)));
      await connection.close();
      await bare.end();
      return {
        lines,
        verdicts: [
          atMost('tryLock and release against the bare pair', rounds.ratio(OWN, BARE), '×', 1.5, 6),
        ],
      };
    });
    return { lines: [], verdicts: [], ...result, skipped };
  },
};

// Names that are held at the same time: what each costs.
async function namesOnOne(connection) {
  const lines = [];
  for (const count of [1, 10, 100, 1000]) {
    const samples = [];
    for (let round = 0; round < 3; round++) {
      const start = nanoseconds();
      const locks = [];
      for (let i = 0; i < count; i++) locks.push(await connection.lock(`name-${i}`));
      await Promise.all(locks.map((one) => one.release()));
      samples.push((nanoseconds() - start) / count);
    }
    lines.push({
      who: `${OWN}, ${count} names at once, each`,
      samples: samples.length,
      median: median(samples) / 1000,
    });
  }
  return lines;
}

export const postgresHandover = {
  id: 'postgres-hand-over',
  title: 'On PostgreSQL: hand-over to one who waits',
  unit: 'µs',
  measures:
    'From just before the release to the first statement after the acquisition, on another ' +
    'connection of the same process, which has been waiting in the server. Each lock has a new session, ' +
    'as a program has that waits for its turn; but where it says that connections are kept.',

  async run(bench) {
    const skipped = [];
    const result = await withPostgres(bench, skipped, async (client) => {
      const connected = async () => {
        const one = client();
        await one.connect();
        return one;
      };
      const kept = [await connected(), await connected()];
      const spy = await connected();
      const waited = async () => {
        const text = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while ((await spy.query(text)).rowCount === 0);
      };
      const take = { name: 'take', text: 'SELECT pg_advisory_lock(1)' };
      const give = { name: 'give', text: 'SELECT pg_advisory_unlock(1)' };
      await spy.query(TABLE);
      const write = { name: 'write', text: updating('pg_advisory_lock(1) IS NOT NULL') };
      const handOver = async (one, two, acquire = take) => {
        await one.query(acquire);
        const waits = two.query(acquire).then(nanoseconds);
        await waited();
        const start = nanoseconds();
        const released = one.query(give);
        const end = await waits;
        await released;
        await two.query(give);
        return end - start;
      };
      const onNewSessions = async (acquire) => {
        const sessions = [await connected(), await connected()];
        const time = await handOver(...sessions, acquire);
        for (const each of sessions) await each.end();
        return time;
      };
      const contestants = {
        [BARE]: () => onNewSessions(take),
        [WRITING]: () => onNewSessions(write),
        [KEPT]: () => handOver(...kept),
        [OWN]: async () => {
          const held = await lock('bench', { client });
          const waits = lock('bench', { client, wait: true }).then((mine) => [mine, nanoseconds()]);
          await waited();
          const start = nanoseconds();
          const released = held.release();
          const [mine, end] = await waits;
          await released;
          await mine.release();
          return end - start;
        },
      };
      const rounds = new Rounds();
      for (let round = 0; round < (bench.short ? 5 : 12); round++) {
        for (const [id, once] of Object.entries(contestants)) {
          const samples = [];
          while (samples.length < 10) samples.push(await once());
          if (round > 0) rounds.add(id, samples);
        }
      }
      for (const each of [...kept, spy]) await each.end();
      return {
        lines: linesOf(rounds, Object.keys(contestants)),
        verdicts: [
          atMost('hand-over against a bare one', rounds.ratio(OWN, BARE), '×', 1.5, 10),
          atMost('hand-over against kept connections', rounds.ratio(OWN, KEPT), '×', 1.5, 30),
        ],
      };
    });
    return { lines: [], verdicts: [], ...result, skipped };
  },
};

function linesOf(rounds, ids) {
  return ids.map((id) => ({
    who: id,
    samples: rounds.all(id).length,
    median: median(rounds.all(id)) / 1000,
    p99: p99(rounds.all(id)) / 1000,
    ratio: median(rounds.all(id)) / median(rounds.all(BARE)),
  }));
}
