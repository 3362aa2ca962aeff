#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "lock.h"
#include "marks.h"
#include "watch.h"

namespace kernel_lock {
namespace {

// What the kernel follows in one path; also an end to links in a circle.
constexpr size_t kMaxLinks = 40;

struct Way {
  std::set<int> marks;
  bool complete = true;
};

using Key = std::pair<Observer*, uint64_t>;

// One for the process, because a user may have 128 inotify instances only.
struct Watches {
  std::mutex mutex;
  bool started = false;
  std::map<Key, Way> ways;
  std::map<int, int> uses;  // of each mark
};

// Never destroyed: its thread may still run while the process exits.
Watches& watches() {
  static Watches& instance = *new Watches;
  return instance;
}

void keep_looking(void*) {
  Watches& all = watches();
  for (;;) {
    const std::vector<int> marks = wait_for_marks();
    const std::lock_guard<std::mutex> guard(all.mutex);
    for (const auto& entry : all.ways) {
      const std::set<int>& own = entry.second.marks;
      const bool concerned =
          marks.empty() || std::any_of(marks.begin(), marks.end(),
                                       [&own](int mark) { return own.count(mark) != 0; });
      if (concerned) entry.first.first->changed(entry.first.second);
    }
  }
}

bool start(Watches& all) {
  if (all.started) return true;
  if (!open_marks()) return false;
  all.started = BlockingWait::start_thread(keep_looking, nullptr).syscall == nullptr;
  return all.started;
}

std::string target_of(const std::string& link) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(link.c_str(), target, sizeof(target));
  if (size <= 0) return {};
  const std::string text(target, static_cast<size_t>(size));
  return text[0] == '/' ? text : link.substr(0, link.rfind('/') + 1) + text;
}

// Marks everything on the way: each directory, each link, and the way to where that leads.
Way mark_way(Watches& all, const std::string& path) {
  Way way;
  std::vector<std::string> paths = {path};
  for (size_t next = 0; next < paths.size(); ++next) {
    const std::string whole = paths[next];
    for (size_t end = 1; end != std::string::npos && end < whole.size();) {
      end = whole.find('/', end + 1);
      const std::string part = whole.substr(0, end);
      struct stat status;
      if (::lstat(part.c_str(), &status) != 0) {
        way.complete = false;
        break;
      }
      const int mark = add_mark(part, status);
      if (mark == kNoMark) {
        way.complete = false;
      } else if (way.marks.insert(mark).second) {
        ++all.uses[mark];
      }
      if (!S_ISLNK(status.st_mode) || paths.size() > kMaxLinks) continue;
      const std::string target = target_of(part);
      if (target.empty()) way.complete = false;
      paths.push_back(target);
    }
  }
  return way;
}

void forget(Watches& all, const Way& way) {
  for (const int mark : way.marks) {
    if (--all.uses[mark] > 0) continue;
    all.uses.erase(mark);
    remove_mark(mark);
  }
}

}  // namespace

bool watch(Observer* observer, uint64_t id, const std::string& path) {
  Watches& all = watches();
  const std::lock_guard<std::mutex> guard(all.mutex);
  if (!start(all)) return false;
  Way now = mark_way(all, path);
  Way& way = all.ways[{observer, id}];
  forget(all, way);
  way = std::move(now);
  return way.complete;
}

void unwatch(Observer* observer, uint64_t id) {
  Watches& all = watches();
  const std::lock_guard<std::mutex> guard(all.mutex);
  const auto found = all.ways.find({observer, id});
  if (found == all.ways.end()) return;
  forget(all, found->second);
  all.ways.erase(found);
}

}  // namespace kernel_lock
