// Defects of the kind that each sanitizer is there to find: one that does not find its own has
// looked at nothing.

/** @typedef {import('./build.js').Change & { found: string }} Defect with what the report says */

/** @type {Record<string, Defect>} */
export const DEFECTS = {
  'a lock is used after it was freed': {
    file: 'native/addon.cc',
    from: '  release(found->second.handle);\n  held_.erase(found);',
    to: '  held_.erase(found);\n  release(found->second.handle);',
    found: 'heap-use-after-free',
  },
  'an environment outlives its worker': {
    file: 'native/addon.cc',
    from: '  env_.SetInstanceData<Environment>(this);',
    to: '',
    found: 'detected memory leaks',
  },
  'the milliseconds since 1970 are an int': {
    file: 'native/record.cc',
    from: 'static_cast<unsigned>(now % 86400000)',
    to: 'static_cast<unsigned>(now - static_cast<int>(now / 86400000) * 86400000)',
    found: 'signed integer overflow',
  },
};

/** Those for ThreadSanitizer: in the program of test/native, and in the addon. @type {Record<string, Defect>} */
export const RACES = {
  'the lines are looked through without the mutex': {
    file: 'native/waiters.cc',
    from: '  const Guard guard(all.mutex);\n  const auto found = all.lines.find(path);\n  if (found == all.lines.end()) return false;',
    to: '  const auto found = all.lines.find(path);\n  if (found == all.lines.end()) return false;',
    found: 'data race',
  },
};
export const ADDON_RACES = {
  'whether somebody waits is looked up without the mutex': {
    file: 'native/waiters.cc',
    from: '  const Guard guard(all.mutex);\n  // A line outlives',
    to: '  // A line outlives',
    found: 'data race',
  },
};
