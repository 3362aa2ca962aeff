#include "watch.h"

namespace kernel_lock {

// The open handle, which shares no deletion, keeps the file and the directories above it where they
// are. What is left is that a junction on the way is changed, or a drive letter: that is not told,
// so the path has to be looked at now and then.
bool watch(Observer*, uint64_t, const std::string&) { return false; }

void unwatch(Observer*, uint64_t) {}

}  // namespace kernel_lock
