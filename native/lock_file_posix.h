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
};

// Opens (or creates) the lock file without following, truncating or blocking.
// `acquired` here means: opened.
Outcome open_lock_file(const std::string& path, OpenFile& file);

// Whether `path` still leads to the opened file; to be asked after the lock
// was taken, because a waiter can win the lock on a file that was unlinked or
// renamed meanwhile.
bool still_at_path(const OpenFile& file, const std::string& path);

// A file that is swapped again and again under an acquisition is an attack or
// a broken cleaner; after this many rounds the path counts as unsafe.
constexpr int kMaxReplacements = 1000;

}  // namespace kernel_lock
