#include <sys/stat.h>

#include "lock_file_posix.h"

namespace kernel_lock {

// The sticky bit keeps systemd-tmpfiles, which deletes old files in /tmp even
// while they are locked (before v254), away from a regular file.
const mode_t kFileMode = S_ISVTX | S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH;

}  // namespace kernel_lock
