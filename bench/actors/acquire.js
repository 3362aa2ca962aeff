import { tryLock } from 'kernel-lock';

tryLock(process.argv[2], { directory: process.argv[3] });
