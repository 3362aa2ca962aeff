// The machines that get a prebuilt addon, and what its file is called there.
// node-gyp-build takes from `prebuilds/<platform>-<arch>/` the file whose dot-separated tags
// (armvN, glibc or musl) all fit; it knows no other way to tell two files of one folder apart.

/**
 * @typedef {object} Target
 * @property {string} name unique; what `--only` takes
 * @property {'linux' | 'darwin' | 'win32'} platform
 * @property {string} arch as in `process.arch`
 * @property {'linux' | 'mac' | 'win'} os as binding.gyp calls it
 * @property {string} file relative to `prebuilds/`
 * @property {string} triple the compiler's name for it; `%` stands for the minimum macOS version
 * @property {string[]} [flags]
 */

/** The oldest glibc among the systems that Node 20 supports is newer than this one. */
const GLIBC = '2.17';

/** @type {Record<string, [cpu: string, abi: string, tag: string, flags: string[]]>} */
const LINUX = {
  x64: ['x86_64', '', '', []],
  arm64: ['aarch64', '', '', []],
  // No NEON: some ARMv7 boards have none, and Node asks for none.
  arm: ['arm', 'eabihf', 'armv7.', ['-mcpu=generic+v7a+vfp3d16']],
};

/** @type {Record<string, string>} */
const CPU = { x64: 'x86_64', arm64: 'aarch64' };

/** @type {Target[]} */
export const TARGETS = [
  ...Object.entries(LINUX).flatMap(([arch, [cpu, abi, tag, flags]]) =>
    ['glibc', 'musl'].map((libc) => ({
      name: `linux-${arch}-${libc}`,
      platform: /** @type {const} */ ('linux'),
      arch,
      os: /** @type {const} */ ('linux'),
      file: `linux-${arch}/kernel-lock.${tag}${libc}.node`,
      triple: `${cpu}-linux-${libc === 'musl' ? `musl${abi}` : `gnu${abi}.${GLIBC}`}`,
      flags,
    })),
  ),
  ...['arm64', 'x64'].map((arch) => ({
    name: `darwin-${arch}`,
    platform: /** @type {const} */ ('darwin'),
    arch,
    os: /** @type {const} */ ('mac'),
    file: `darwin-${arch}/kernel-lock.node`,
    triple: `${CPU[arch]}-macos.%`,
  })),
  ...['x64', 'arm64'].map((arch) => ({
    name: `win32-${arch}`,
    platform: /** @type {const} */ ('win32'),
    arch,
    os: /** @type {const} */ ('win'),
    file: `win32-${arch}/kernel-lock.node`,
    triple: `${CPU[arch]}-windows-gnu`,
  })),
];
