// npm run test:filesystems: the conformance cases on the file systems that this kernel can mount,
// each in a mount namespace of its own. Wants root, and from the distribution xfsprogs,
// btrfs-progs and bindfs; what can't be run fails, and says why.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const conformance = join(root, 'test', 'platforms', 'conformance.mjs');
const MINUTES_PER_ROW = 5;

const image = (make) => `truncate -s 512M "$SCRATCH/image" && ${make} "$SCRATCH/image" >/dev/null
  mount -o loop "$SCRATCH/image" "$PLACE"`;
const layers = 'mkdir "$SCRATCH/lower" "$SCRATCH/upper" "$SCRATCH/work"';

/** How each is mounted at $PLACE; $SCRATCH is a folder beside it. */
const ROWS = {
  ext4: image('mkfs.ext4 -q'),
  xfs: image('mkfs.xfs -q'),
  btrfs: image('mkfs.btrfs -q'),
  tmpfs: 'mount -t tmpfs none "$PLACE"',
  overlay: `mount -t tmpfs none "$SCRATCH"; ${layers}; mkdir "$PLACE"
    mount -t overlay none -o lowerdir="$SCRATCH/lower",upperdir="$SCRATCH/upper",workdir="$SCRATCH/work" "$PLACE"`,
  'FUSE (bindfs)': 'mkdir "$SCRATCH/source" && bindfs "$SCRATCH/source" "$PLACE"',
};

const only = process.argv[2];
const names = Object.keys(ROWS).filter((name) => name.includes(only ?? ''));
const results = names.map((name) => [name, run(ROWS[name])]);
console.log('');
for (const [name, { text }] of results) console.log(`${name.padEnd(14)}  ${text}`);
const failures = results.filter(([, { ok }]) => !ok).length;
console.log(`${results.length - failures} passed, ${failures} failed`);
process.exitCode = failures === 0 && results.length > 0 ? 0 : 1;

function run(mount) {
  const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-filesystem-'));
  const place = join(scratch, 'place');
  mkdirSync(place);
  // The end of the namespace unmounts.
  const script = `set -e; ${mount}; "$@"`;
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', script, 'sh', process.execPath, conformance, root, place],
    {
      encoding: 'utf8',
      env: { ...process.env, SCRATCH: scratch, PLACE: place },
      timeout: MINUTES_PER_ROW * 60_000,
      killSignal: 'SIGKILL',
    },
  );
  rmSync(scratch, { recursive: true, force: true });
  const counts = /^\d+ passed, \d+ failed, \d+ .*$/m.exec(stdout ?? '');
  for (const line of (stdout ?? '').split('\n'))
    if (/^(FAILED|not run)/.test(line)) console.log(line);
  if (status === 0 && counts !== null) return { ok: true, text: counts[0] };
  return {
    ok: false,
    text: `status ${status}: ${counts?.[0] ?? ''} ${stderr?.trim().slice(-500)}`,
  };
}
