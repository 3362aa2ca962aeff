#include <sys/stat.h>

#include "lock_file_posix.h"

namespace kernel_lock {

// The sticky bit of a file is for root alone, and keeps no cleaner away.
const mode_t kFileMode = S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH;

}  // namespace kernel_lock
