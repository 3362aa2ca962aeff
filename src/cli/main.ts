#!/usr/bin/env node
import { LockError } from '../errors.js';
import { printable, printableJson } from '../report.js';
import { parseCommand, UsageError } from './args.js';
import { EXIT_INTERNAL, EXIT_OF_ERROR, EXIT_USAGE } from './exit.js';
import { printError } from './output.js';

// Each command is loaded when it is asked for: `run` starts programs, and should not make them wait.
const COMMANDS = {
  check: async () => (await import('./check.js')).check,
  kill: async () => (await import('./kill.js')).kill,
  run: async () => (await import('./run.js')).run,
  wait: async () => (await import('./wait.js')).wait,
  list: async () => (await import('./list.js')).list,
  path: async () => (await import('./path.js')).path,
  help: async () => (await import('./help.js')).help,
};

export type CommandName = keyof typeof COMMANDS;

async function main(argv: readonly string[]): Promise<number> {
  try {
    const call = parseCommand(argv);
    const command = await COMMANDS[call.command]();
    return await command(call);
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

process.exitCode = await main(process.argv.slice(2));
