#!/usr/bin/env node
import { LockError } from '../errors.js';
import { parseCommand, UsageError } from './args.js';
import { EXIT_OF_ERROR, EXIT_USAGE } from './exit.js';

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
      process.stderr.write(`kernel-lock: ${error.message} (see kernel-lock --help)\n`);
      return EXIT_USAGE;
    }
    if (!(error instanceof LockError)) throw error;
    if (argv.includes('--json')) {
      const { code, message, lockName, path, syscall, errno } = error;
      const text = JSON.stringify({ error: { code, message, lockName, path, syscall, errno } });
      process.stderr.write(`${text}\n`);
    } else {
      process.stderr.write(`kernel-lock: ${error.message}\n`);
    }
    return EXIT_OF_ERROR[error.code];
  }
}

process.exitCode = await main(process.argv.slice(2));
