// Notices that a path may lead elsewhere than before: that the file, a directory on the way to it,
// or a symbolic link there was moved or deleted, or that something was mounted over it. Nothing
// here knows JavaScript.
#pragma once

#include <cstdint>
#include <string>

namespace kernel_lock {

// Who is told, from a thread of this file's own that is held up meanwhile: has to be quick and must
// not call back into this file.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void changed(uint64_t id) = 0;
};

// Looks at the way to `path` and watches all of it, for this observer's number `id`; once more for
// the same number where the way may have changed. Returns whether every change would be noticed:
// not where a directory can't be read or the system has no watch left.
bool watch(Observer* observer, uint64_t id, const std::string& path);

// After this returned, the observer is not told of `id` any more.
void unwatch(Observer* observer, uint64_t id);

}  // namespace kernel_lock
