// The kernel of this machine.

import * as facts from './facts.js';
import * as linux from './linux.js';

const system = process.platform === 'linux' ? linux : facts;

export type LockTable = Pick<linux.LockTable, 'locksOn' | 'isHeld' | 'callersOf' | 'openerOf'>;
export const LockTable: new () => LockTable = system.LockTable;
export const startToken: typeof linux.startToken = system.startToken;
export const ownStartToken: typeof linux.ownStartToken = system.ownStartToken;
export const pidsAreOurs: typeof linux.pidsAreOurs = system.pidsAreOurs;
export const describeProcess: typeof linux.describeProcess = system.describeProcess;
export const privateDirectory: typeof linux.privateDirectory = system.privateDirectory;
export const fileSystemOf: typeof linux.fileSystemOf = system.fileSystemOf;
export const rawArguments: typeof linux.rawArguments = system.rawArguments;
export const initialVariable: typeof linux.initialVariable = system.initialVariable;
