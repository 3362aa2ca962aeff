#include "held_win.h"

#include <algorithm>
#include <map>
#include <mutex>

namespace kernel_lock {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<Handle, std::string> records;
};

// Never destroyed: waiting threads may outlive what the runtime unloads.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

using Guard = std::lock_guard<std::mutex>;

}  // namespace

void remember_held(Handle handle) {
  const Guard guard(registry().mutex);
  registry().records[handle];
}

void remember_record(Handle handle, const char* record, size_t size) {
  const Guard guard(registry().mutex);
  const auto found = registry().records.find(handle);
  if (found != registry().records.end()) found->second.assign(record, size);
}

std::string forget_held(Handle handle) {
  const Guard guard(registry().mutex);
  auto& records = registry().records;
  const auto found = records.find(handle);
  if (found == records.end()) return {};
  std::string record = std::move(found->second);
  records.erase(found);
  return record;
}

bool holds(const std::string& path) {
  // No handle is closed meanwhile, nor its number given to another file.
  const Guard guard(registry().mutex);
  const auto& records = registry().records;
  return std::any_of(records.begin(), records.end(),
                     [&](const auto& entry) { return is_current(entry.first, path); });
}

}  // namespace kernel_lock
