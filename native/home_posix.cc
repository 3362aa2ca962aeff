#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include <vector>

#include "home.h"

namespace kernel_lock {

Failure home_directory(std::string& home) {
  home.clear();
  constexpr size_t kMost = size_t{1024} * 1024;
  for (std::vector<char> buffer(4096); buffer.size() <= kMost; buffer.resize(buffer.size() * 4)) {
    struct passwd entry;
    struct passwd* found = nullptr;
    const int error = ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) continue;
    // All of these say "not found" somewhere (getpwnam(3)).
    if (error == ENOENT || error == ESRCH || error == EBADF || error == EPERM) return {};
    if (error != 0) return {"getpwuid_r", error};
    if (found != nullptr && found->pw_dir != nullptr) home = found->pw_dir;
    return {};
  }
  return {"getpwuid_r", ERANGE};
}

}  // namespace kernel_lock
