#include <errno.h>
#include <fcntl.h>
#include <libproc.h>
#include <mach/mach_time.h>
#include <pwd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "facts.h"
#include "lock.h"
#include "process_mac.h"

namespace kernel_lock {
namespace {

// fcntl.h shows it to the kernel alone, but proc_pidfdinfo hands out the
// kernel's flags whole (XNU, proc_info.c: fill_fileinfo). flock(2) sets it when
// it grants, and it stays until the descriptor is closed. So in 11417.101; an old
// XNU, that has it as FHASLOCK, sets it before it waits, and shows waiters too.
constexpr uint32_t kWasLocked = 0x4000;

// The clock may be set back, and a boot may come to the same microsecond.
std::string boot_session() {
  char uuid[64] = "";
  size_t size = sizeof(uuid) - 1;
  return ::sysctlbyname("kern.bootsessionuuid", uuid, &size, nullptr, 0) == 0 ? uuid : "";
}

std::string user_name(uid_t uid) {
  char buffer[4096];
  struct passwd entry;
  struct passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) != 0 || found == nullptr)
    return std::to_string(uid);
  return found->pw_name;
}

// argc, the executable's path, zeros up to a word's border, the arguments, the
// environment.
std::vector<std::string> arguments_of(int pid) {
  int limit_name[] = {CTL_KERN, KERN_ARGMAX};
  int limit = 0;
  size_t size = sizeof(limit);
  if (::sysctl(limit_name, 2, &limit, &size, nullptr, 0) != 0) return {};
  std::vector<char> buffer(static_cast<size_t>(limit));
  size = buffer.size();
  int name[] = {CTL_KERN, KERN_PROCARGS2, pid};
  if (::sysctl(name, 3, buffer.data(), &size, nullptr, 0) != 0 || size <= sizeof(int)) return {};

  int count = 0;
  std::memcpy(&count, buffer.data(), sizeof(count));
  const char* at = buffer.data() + sizeof(count);
  const char* const end = buffer.data() + size;
  const auto length = [&] { return ::strnlen(at, static_cast<size_t>(end - at)); };
  at += length();
  while (at != end && *at == '\0') ++at;
  std::vector<std::string> arguments;
  for (; count > 0 && at != end; --count) {
    arguments.emplace_back(at, length());
    at += arguments.back().size();
    if (at != end) ++at;
  }
  return arguments;
}

// The times are in ticks of the Mach clock, which are nanoseconds on Intel only.
double seconds(uint64_t ticks) {
  mach_timebase_info_data_t base;
  if (::mach_timebase_info(&base) != KERN_SUCCESS || base.denom == 0) return -1;
  return static_cast<double>(ticks) * base.numer / base.denom / 1e9;
}

template <typename Info>
bool ask(int pid, int flavor, Info& info) {
  return ::proc_pidinfo(pid, flavor, 0, &info, sizeof(info)) == static_cast<int>(sizeof(info));
}

// Whether the process has a descriptor of the file that was granted a lock.
bool was_granted(int pid, const struct stat& file) {
  const int needed = ::proc_pidinfo(pid, PROC_PIDLISTFDS, 0, nullptr, 0);
  if (needed <= 0) return false;
  constexpr size_t kSpare = 32;  // opened in the meantime
  std::vector<struct proc_fdinfo> descriptors(
      static_cast<size_t>(needed) / sizeof(struct proc_fdinfo) + kSpare);
  const int got = ::proc_pidinfo(pid, PROC_PIDLISTFDS, 0, descriptors.data(),
                                 static_cast<int>(descriptors.size() * sizeof(struct proc_fdinfo)));
  if (got <= 0) return false;
  descriptors.resize(static_cast<size_t>(got) / sizeof(struct proc_fdinfo));
  return std::any_of(descriptors.begin(), descriptors.end(), [&](const struct proc_fdinfo& one) {
    struct vnode_fdinfo info = {};
    return one.proc_fdtype == PROX_FDTYPE_VNODE &&
           ::proc_pidfdinfo(pid, one.proc_fd, PROC_PIDFDVNODEINFO, &info, sizeof(info)) ==
               static_cast<int>(sizeof(info)) &&
           info.pvi.vi_stat.vst_dev == static_cast<uint32_t>(file.st_dev) &&
           info.pvi.vi_stat.vst_ino == file.st_ino && (info.pfi.fi_openflags & kWasLocked) != 0;
  });
}

}  // namespace

ProcessFacts process_facts(int pid) {
  ProcessFacts facts;
  struct kinfo_proc process = {};
  if (read_process(pid, process) != 0) return facts;
  const int64_t start = start_time(process);
  facts.start_token = boot_session() + ':' + std::to_string(start);
  facts.started_at = static_cast<double>(start) / 1000;
  facts.uid = process.kp_eproc.e_ucred.cr_uid;
  facts.user = user_name(process.kp_eproc.e_ucred.cr_uid);
  if (process.kp_proc.p_stat == SZOMB) {
    facts.status = "zombie";
    return facts;
  }
  char path[PROC_PIDPATHINFO_MAXSIZE];
  const int length = ::proc_pidpath(pid, path, sizeof(path));
  if (length > 0) facts.executable.assign(path, static_cast<size_t>(length));
  facts.arguments = arguments_of(pid);
  struct proc_vnodepathinfo directories = {};
  if (ask(pid, PROC_PIDVNODEPATHINFO, directories)) facts.directory = directories.pvi_cdir.vip_path;
  struct proc_taskinfo task = {};
  const bool known = ask(pid, PROC_PIDTASKINFO, task);
  if (known) {
    facts.cpu_seconds = seconds(task.pti_total_user + task.pti_total_system);
    facts.memory_bytes = static_cast<double>(task.pti_resident_size);
  }
  // XNU calls every process that is neither stopped nor dead SRUN.
  if (process.kp_proc.p_stat == SSTOP) {
    facts.status = "stopped";
  } else if (known) {
    facts.status = task.pti_numrunning > 0 ? "running" : "sleeping";
  }
  return facts;
}

// Unlike elsewhere, those who wait for the lock are told from those who hold it,
// this process too. libproc leaves out whom this user may not look into: other
// users' processes, unless it is root.
Openers openers_of(const std::string& path) {
  Openers found;
  struct stat file;
  if (::lstat(path.c_str(), &file) != 0) return found;
  const int needed = ::proc_listpidspath(PROC_ALL_PIDS, 0, path.c_str(), 0, nullptr, 0);
  if (needed <= 0) return found;
  constexpr size_t kSpare = 64;  // started in the meantime
  std::vector<pid_t> pids(static_cast<size_t>(needed) / sizeof(pid_t) + kSpare);
  const int got = ::proc_listpidspath(PROC_ALL_PIDS, 0, path.c_str(), 0, pids.data(),
                                      static_cast<int>(pids.size() * sizeof(pid_t)));
  if (got < 0) return found;
  found.known = true;
  pids.resize(static_cast<size_t>(got) / sizeof(pid_t));
  for (const pid_t pid : pids) {
    // The list also has who maps the file, or had it open a moment ago.
    if (was_granted(pid, file)) found.pids.push_back(pid);
  }
  return found;
}

std::string file_system_of(const std::string& directory) {
  struct statfs system;
  return ::statfs(directory.c_str(), &system) == 0 ? system.f_fstypename : "";
}

// XNU keeps flock's locks and fcntl's in one list, and F_GETLK reports either
// kind, with -1 for the process of a flock (kern_lockf.c: lf_getlock).
LockState lock_state(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return errno == ENOENT ? LockState::free : LockState::unknown;
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool known = ::fcntl(fd, F_GETLK, &lock) == 0;
  ::close(fd);
  if (!known) return LockState::unknown;
  if (lock.l_type == F_UNLCK) return LockState::free;
  return lock.l_type == F_RDLCK ? LockState::shared : LockState::exclusive;
}

}  // namespace kernel_lock
