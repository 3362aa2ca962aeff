#include <errno.h>
#include <pwd.h>
#include <unistd.h>

#include <vector>

#include "home.h"

namespace kernel_lock {

std::string home_directory() {
  constexpr size_t kMost = size_t{1024} * 1024;
  for (std::vector<char> buffer(4096); buffer.size() <= kMost; buffer.resize(buffer.size() * 4)) {
    struct passwd entry;
    struct passwd* found = nullptr;
    const int error = ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) continue;
    return error == 0 && found != nullptr && found->pw_dir != nullptr ? found->pw_dir : "";
  }
  return {};
}

}  // namespace kernel_lock
