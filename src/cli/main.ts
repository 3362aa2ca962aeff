#!/usr/bin/env node
import { LockError } from '../errors.js';
import { printable, printableJson } from '../report.js';
import { parseCommand, UsageError } from './args.js';
import { check } from './check.js';
import { EXIT_INTERNAL, EXIT_OF_ERROR, EXIT_USAGE } from './exit.js';
import { help } from './help.js';
import { kill } from './kill.js';
import { list } from './list.js';
import { migration } from './migration.js';
import { printError } from './output.js';
import { path } from './path.js';
import { run } from './run.js';
import { hidePasswords } from './server.js';
import { becomeUnder, UNDER } from './under.js';
import { wait } from './wait.js';

const COMMANDS = { check, kill, run, wait, list, path, migration, help };

export type CommandName = keyof typeof COMMANDS;

async function main(argv: readonly string[]): Promise<number> {
  try {
    if (argv[0] === UNDER) return becomeUnder(Number(argv[1]), argv.slice(2));
    const call = parseCommand(argv);
    return await COMMANDS[call.command](call);
  } catch (error) {
    if (error instanceof UsageError) {
      printError(`kernel-lock: ${error.message} (see kernel-lock --help)`);
      return EXIT_USAGE;
    }
    if (!(error instanceof LockError)) {
      printError(printable(error instanceof Error ? String(error.stack) : String(error)));
      return EXIT_INTERNAL;
    }
    if (wantsJson(argv)) {
      const { code, message, lockName, path, syscall, errno } = error;
      printError(printableJson({ error: { code, message, lockName, path, syscall, errno } }));
    } else {
      printError(`kernel-lock: ${printable(error.message)}`);
    }
    return EXIT_OF_ERROR[error.code];
  }
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json');
}

hidePasswords(process.argv.slice(2));
process.exitCode = await main(process.argv.slice(2));
