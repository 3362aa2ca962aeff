#include <windows.h>

#include <memory>

#include "command_line_win.h"
#include "job.h"

namespace kernel_lock {
namespace {

JobResult failed(const char* syscall, DWORD code) { return {{syscall, static_cast<int>(code)}, 0}; }

class Owned {
 public:
  explicit Owned(HANDLE handle = nullptr) : handle_(handle) {}
  ~Owned() {
    if (handle_ != nullptr) ::CloseHandle(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  [[nodiscard]] HANDLE get() const { return handle_; }
  HANDLE* out() { return &handle_; }

 private:
  HANDLE handle_;
};

HANDLE create_job() {
  HANDLE job = ::CreateJobObjectW(nullptr, nullptr);
  if (job == nullptr) return nullptr;
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {};
  limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
  if (::SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits))) {
    return job;
  }
  const DWORD code = ::GetLastError();
  ::CloseHandle(job);
  ::SetLastError(code);
  return nullptr;
}

// The program decides what Ctrl-C means, and this process waits for it. A
// handler, because SetConsoleCtrlHandler(NULL, TRUE) is inherited. After close,
// logoff and shutdown the system ends a process as soon as its handler returns.
BOOL WINAPI leave_to_program(DWORD event) {
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) ::Sleep(INFINITE);
  return TRUE;
}

constexpr int kStreams = 3;
constexpr DWORD kStreamNames[kStreams] = {STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};

// The runtime makes its standard streams non-inheritable. So these are copies,
// and the only handles that the program gets.
class Streams {
 public:
  Streams() {
    for (int i = 0; i < kStreams; ++i) {
      HANDLE own = ::GetStdHandle(kStreamNames[i]);
      if (own == nullptr || own == INVALID_HANDLE_VALUE) continue;
      HANDLE self = ::GetCurrentProcess();
      if (!::DuplicateHandle(self, own, self, copies_[i].out(), 0, TRUE, DUPLICATE_SAME_ACCESS)) {
        continue;
      }
      list_[count_++] = copies_[i].get();
    }
  }
  HANDLE operator[](int stream) const { return copies_[stream].get(); }
  HANDLE* list() { return list_; }
  [[nodiscard]] size_t count() const { return count_; }

 private:
  Owned copies_[kStreams];
  HANDLE list_[kStreams] = {};
  size_t count_ = 0;
};

class Attributes {
 public:
  explicit Attributes(DWORD count) {
    SIZE_T size = 0;
    ::InitializeProcThreadAttributeList(nullptr, count, 0, &size);
    memory_.reset(new char[size]);
    valid_ = ::InitializeProcThreadAttributeList(get(), count, 0, &size) != 0;
  }
  ~Attributes() {
    if (valid_) ::DeleteProcThreadAttributeList(get());
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  [[nodiscard]] LPPROC_THREAD_ATTRIBUTE_LIST get() const {
    return reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(memory_.get());
  }
  bool set(DWORD_PTR name, HANDLE* values, size_t count) {
    return valid_ && ::UpdateProcThreadAttribute(get(), 0, name, values, count * sizeof(HANDLE),
                                                 nullptr, nullptr);
  }

 private:
  std::unique_ptr<char[]> memory_;
  bool valid_ = false;
};

}  // namespace

JobResult run_in_job(const std::vector<std::string>& arguments) {
  static constexpr char kCall[] = "CreateProcessW";
  CommandLine command = make_command_line(arguments);
  if (command.program.empty()) return failed(kCall, ERROR_FILE_NOT_FOUND);
  if (command.line.empty()) return failed(kCall, ERROR_INVALID_PARAMETER);

  const Owned job(create_job());
  if (job.get() == nullptr) return failed("CreateJobObjectW", ::GetLastError());
  HANDLE job_list[] = {job.get()};
  Streams streams;
  // In the job from its first instruction: there is no moment in which it could
  // outlive this process.
  Attributes attributes(2);
  if (!attributes.set(PROC_THREAD_ATTRIBUTE_JOB_LIST, job_list, 1) ||
      (streams.count() > 0 &&
       !attributes.set(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, streams.list(), streams.count()))) {
    return failed("UpdateProcThreadAttribute", ::GetLastError());
  }
  STARTUPINFOEXW startup = {};
  startup.StartupInfo.cb = sizeof(startup);
  startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
  startup.StartupInfo.hStdInput = streams[0];
  startup.StartupInfo.hStdOutput = streams[1];
  startup.StartupInfo.hStdError = streams[2];
  startup.lpAttributeList = attributes.get();

  PROCESS_INFORMATION information = {};
  ::SetConsoleCtrlHandler(leave_to_program, TRUE);
  if (!::CreateProcessW(command.program.c_str(), &command.line[0], nullptr, nullptr,
                        streams.count() > 0, EXTENDED_STARTUPINFO_PRESENT, nullptr, nullptr,
                        &startup.StartupInfo, &information)) {
    const DWORD code = ::GetLastError();
    ::SetConsoleCtrlHandler(leave_to_program, FALSE);
    return failed(kCall, code);
  }
  ::CloseHandle(information.hThread);
  const Owned process(information.hProcess);
  ::WaitForSingleObject(process.get(), INFINITE);
  DWORD exit_code = 0;
  ::GetExitCodeProcess(process.get(), &exit_code);
  ::SetConsoleCtrlHandler(leave_to_program, FALSE);
  return {{}, exit_code};
}

}  // namespace kernel_lock
