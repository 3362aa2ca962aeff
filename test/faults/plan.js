// What is made to fail, and with which error numbers: those that the manual pages know.
import { constants } from 'node:os';

const {
  EACCES,
  EAGAIN,
  EINTR,
  EINVAL,
  EIO,
  EMFILE,
  ENFILE,
  ENOLCK,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EPERM,
  ERANGE,
  EROFS,
} = constants.errno;

/** The number of each is its place in preload.c. */
export const CALLS = {
  open64: { number: 1, errors: [EMFILE, ENFILE, EACCES, EAGAIN, EINTR, EIO] },
  fstat64: { number: 2, errors: [EIO, ENOMEM] },
  lstat64: { number: 3, errors: [EIO, EACCES] },
  flock: { number: 4, errors: [ENOLCK, EINTR, EIO] },
  fchmod: { number: 5, errors: [EPERM] },
  pwrite64: { number: 6, errors: [ENOSPC, EINTR] },
  close: { number: 7, errors: [EIO, EINTR] },
  pthread_create: { number: 8, errors: [EAGAIN] },
  sigaction: { number: 9, errors: [EINVAL] },
  inotify_init1: { number: 10, errors: [EMFILE] },
  inotify_add_watch: { number: 11, errors: [ENOSPC, EACCES] },
  inotify_rm_watch: { number: 12, errors: [EINVAL] },
  poll: { number: 13, errors: [EINTR, ENOMEM] },
  read: { number: 14, errors: [EINTR, EAGAIN] },
  readlink: { number: 15, errors: [EIO] },
  syscall: { number: 16, errors: [EMFILE, EPERM] },
  fcntl64: { number: 17, errors: [EMFILE] },
  pipe2: { number: 19, errors: [EMFILE] },
  opendir: { number: 20, errors: [EMFILE] },
  readlinkat: { number: 21, errors: [ENOENT] },
  execvp: { number: 22, errors: [ENOMEM] },
  prctl: { number: 24, errors: [EPERM] },
  tee: { number: 25, errors: [ENOMEM] },
  getrlimit64: { number: 26, errors: [EPERM] },
  setrlimit64: { number: 27, errors: [EPERM] },
  prlimit64: { number: 28, errors: [EPERM] },
  readdir64: { number: 29, errors: [ENOENT] },
  pthread_kill: { number: 30, errors: [EAGAIN] },
  futimens: { number: 31, errors: [EACCES, EROFS] },
  getpwuid_r: { number: 32, errors: [EIO, EMFILE, ERANGE] },
  'operator new': { number: 18, errors: [ENOMEM], symbol: '_Znwm' },
};

/** What the addon calls besides: a pattern, and why it is not made to fail. */
export const EXCEPTIONS = [
  [
    /^napi_/,
    'of Node.js, which comes before what is preloaded; it ends the process without memory',
  ],
  [
    /^_ZN?K?St|^_ZSt|^__throw/,
    'libstdc++, which fails by operator new alone: counted where that is for the addon',
  ],
  [/^_Znam$/, 'operator new[]: for calls from JavaScript with seven arguments; there are none'],
  [/^_Zd[al]Pv/, 'operator delete: does not fail'],
  [
    /^(__cxa_|_ITM_|__gmon_|__tls_|__errno_|__gxx_|_Unwind_|__stack_chk_|__libc_)/,
    "the compiler's and the C library's own support",
  ],
  [/^_ZTV/, 'data'],
  [/^(__)?(mem|str)\w+$/, 'computes'],
  [/^(get(eu|p|pp)id|pthread_self|sched_yield)$/, 'does not fail'],
  [/^(closedir|dirfd)$/, 'fails for what opendir did not return alone'],
  [/^(raise|signal)$/, 'fails for a number that is no signal alone'],
  [
    /^(sig(empty|fill)set|sigdelset|pthread_sigmask|pthread_(cond)?attr_\w+)$/,
    'fails for wrong arguments alone, and they are constants',
  ],
  [/^pthread_(mutex|cond)_\w+$/, 'fails for a mutex that is misused alone'],
  [/^(__sigsetjmp|siglongjmp)$/, 'does not fail'],
  [/^clock_gettime$/, 'fails for a clock that is not there alone'],
  [/^nanosleep$/, 'EINTR makes a millisecond shorter, and who slept looks again'],
];
