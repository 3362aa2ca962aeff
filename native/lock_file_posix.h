// The steps that the non-blocking and the blocking acquisition share on POSIX.
#pragma once

#include <sys/types.h>

#include <string>

#include "lock.h"

namespace kernel_lock {

// The permissions of a lock file, whatever the umask.
extern const mode_t kFileMode;

struct OpenFile {
  int fd = -1;
  dev_t device = 0;
  ino_t inode = 0;
  int looks = 1;  // how often it has to be found alone at its path
};

// Opens (or creates) the lock file without following, truncating or blocking,
// and changes nothing of what was there. `acquired` here means: opened.
Outcome open_lock_file(const std::string& path, OpenFile& file);

// Whether `path`, and nothing else, leads to the opened file; to be asked after
// the lock was taken, because a waiter can win the lock on a file that was
// unlinked or renamed meanwhile. Only then the file is marked as a lock's, and
// `opened` says whether it takes a record: who had the lock until now may have
// written to it, or have set its mode.
bool adopt(const OpenFile& file, const std::string& path, Outcome& opened);

// A file that is swapped again and again under an acquisition is an attack or
// a broken cleaner; after this many rounds the path counts as unsafe.
constexpr int kMaxReplacements = 1000;

}  // namespace kernel_lock
