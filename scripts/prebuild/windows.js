// On Windows an addon names the module that it takes Node-API from, `node.exe`. In a program
// called otherwise (Bun, Deno, Electron, a renamed node) that loads nothing, or a second Node.
// node-gyp answers with a delay-load hook, which Microsoft's linker alone can do; here the
// functions are looked up in the running program when the addon is loaded. The header is told
// to declare them as imported, so every call goes through a pointer `__imp_NAME`, and these are ours.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locateExports } from './pe.js';

const TEMPLATE = `
#include <windows.h>
#define FUNCTIONS(X) \\
@LIST@
#define DEFINE(name) void* __imp_##name;
FUNCTIONS(DEFINE)

static BOOL look_up(void** place, const char* name) {
  static HMODULE hosts[2];
  if (hosts[0] == NULL) {
    hosts[0] = GetModuleHandleW(NULL);
    hosts[1] = GetModuleHandleW(L"libnode.dll");
  }
  for (int i = 0; i < 2; ++i) {
    if (hosts[i] != NULL && (*place = (void*)GetProcAddress(hosts[i], name)) != NULL) return TRUE;
  }
  return FALSE;
}

#define LOOK_UP(name) && look_up(&__imp_##name, #name)
BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved) {
  (void)module;
  (void)reserved;
  return reason != DLL_PROCESS_ATTACH || (TRUE FUNCTIONS(LOOK_UP));
}
`;

/**
 * Writes the C source that looks up what the object files need.
 * @param {string} work
 * @param {string[]} objects
 * @returns {string} its path
 */
export function writeNodeApiLookup(work, objects) {
  const names = new Set();
  for (const object of objects) {
    const symbols = readFileSync(object, 'latin1').matchAll(/__imp_(napi_\w+|node_api_\w+)/g);
    for (const [, name] of symbols) names.add(name);
  }
  const list = [...names].sort().map((name) => `  X(${name})`);
  const file = join(work, 'node_api.c');
  writeFileSync(file, TEMPLATE.replace('@LIST@', list.join(' \\\n')).trimStart());
  return file;
}

/**
 * The linker writes the time of day into the file's header and its table of exports.
 * @param {Buffer} file changed in place
 */
export function clearTimes(file) {
  const header = file.readUInt32LE(0x3c);
  file.writeUInt32LE(0, header + 8);
  const exports = locateExports(file);
  if (exports !== undefined) file.writeUInt32LE(0, exports + 4);
}
