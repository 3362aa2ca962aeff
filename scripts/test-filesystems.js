// npm run test:filesystems: the conformance cases on the file systems that this kernel can mount,
// each in a mount namespace of its own. Wants root, and from the distribution xfsprogs,
// btrfs-progs and bindfs; what can't be run fails, and says why.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conclude, runCases } from './platforms/rows.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const conformance = join(root, 'test', 'platforms', 'conformance.mjs');

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

const only = process.argv[2] ?? '';
const names = Object.keys(ROWS).filter((name) => name.includes(only));
conclude(
  names.map((name) => ({ platform: name, runtime: 'Node.js (this one)', ...run(ROWS[name]) })),
);

function run(mount) {
  const scratch = mkdtempSync(join(tmpdir(), 'kernel-lock-filesystem-'));
  const place = join(scratch, 'place');
  mkdirSync(place);
  // The end of the namespace unmounts.
  const script = `set -e; ${mount}; "$@"`;
  const suite = [process.execPath, conformance, root, place];
  try {
    return runCases(
      ['unshare', '--mount', 'sh', '-c', script, 'sh', ...suite],
      { ...process.env, SCRATCH: scratch, PLACE: place },
      `${scratch}.log`,
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
    rmSync(`${scratch}.log`, { force: true });
  }
}
