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
} = constants.errno;

/** The number of each is its place in preload.c. */
export const CALLS = {
  open64: { number: 1, errors: [EMFILE, ENFILE, EACCES, EINTR, EIO] },
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
  'operator new': { number: 18, errors: [ENOMEM] },
};
