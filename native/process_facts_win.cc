#include <windows.h>
// windows.h has to come first.
#include <psapi.h>
#include <shellapi.h>

#include <memory>

#include "facts.h"
#include "lock_file_win.h"
#include "process.h"
#include "text_win.h"

namespace kernel_lock {
namespace {

// In milliseconds, from 1601 to 1970.
constexpr double kFiletimeEpoch = 11644473600000.0;

uint64_t to_number(const FILETIME& time) {
  return uint64_t{time.dwHighDateTime} << 32 | time.dwLowDateTime;
}

std::string executable_of(HANDLE process) {
  constexpr DWORD kLongest = 32768;
  const std::unique_ptr<wchar_t[]> path(new wchar_t[kLongest]);
  DWORD size = kLongest;
  if (!::QueryFullProcessImageNameW(process, 0, path.get(), &size)) return {};
  return to_utf8(path.get(), size);
}

// Absent from the headers; since Windows 8.1, and without reading the memory
// of the process.
constexpr int kProcessCommandLineInformation = 60;
struct CountedText {
  USHORT bytes;
  USHORT capacity;
  const wchar_t* text;
};
using QueryProcess = LONG(WINAPI*)(HANDLE, int, void*, ULONG, ULONG*);

std::vector<std::string> arguments_of(HANDLE process) {
  static const auto query = reinterpret_cast<QueryProcess>(reinterpret_cast<void*>(
      ::GetProcAddress(::GetModuleHandleW(L"ntdll.dll"), "NtQueryInformationProcess")));
  ULONG size = 0;
  query(process, kProcessCommandLineInformation, nullptr, 0, &size);
  if (size < sizeof(CountedText)) return {};
  const size_t words = size / sizeof(CountedText) + 1;
  const std::unique_ptr<CountedText[]> buffer(new CountedText[words]);
  if (query(process, kProcessCommandLineInformation, buffer.get(), size, &size) < 0) return {};
  const std::wstring line(buffer[0].text, buffer[0].bytes / sizeof(wchar_t));
  if (line.empty()) return {};  // for which CommandLineToArgvW would name this program

  int count = 0;
  wchar_t** list = ::CommandLineToArgvW(line.c_str(), &count);
  if (list == nullptr) return {};
  std::vector<std::string> arguments;
  for (int i = 0; i < count; ++i) arguments.push_back(to_utf8(list[i], ::lstrlenW(list[i])));
  ::LocalFree(list);
  return arguments;
}

std::string user_of(HANDLE process) {
  HANDLE token;
  if (!::OpenProcessToken(process, TOKEN_QUERY, &token)) return {};
  alignas(TOKEN_USER) char buffer[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
  DWORD size = 0;
  const bool known = ::GetTokenInformation(token, TokenUser, buffer, sizeof(buffer), &size) != 0;
  ::CloseHandle(token);
  if (!known) return {};
  constexpr DWORD kLongest = 256;  // UNLEN, DNLEN
  wchar_t name[kLongest + 1];
  wchar_t domain[kLongest + 1];
  DWORD name_size = kLongest + 1;
  DWORD domain_size = kLongest + 1;
  SID_NAME_USE use;
  if (!::LookupAccountSidW(nullptr, reinterpret_cast<TOKEN_USER*>(buffer)->User.Sid, name,
                           &name_size, domain, &domain_size, &use)) {
    return {};
  }
  return to_utf8(name, name_size);
}

}  // namespace

ProcessFacts process_facts(int pid) {
  ProcessFacts facts;
  const Pinned pinned = pin_process(pid);
  if (pinned.handle == kNoHandle) return facts;
  HANDLE process = from_handle(pinned.handle);
  FILETIME created;
  FILETIME ended;
  FILETIME kernel;
  FILETIME user;
  if (::GetProcessTimes(process, &created, &ended, &kernel, &user)) {
    facts.start_token = std::to_string(to_number(created));
    facts.started_at = static_cast<double>(to_number(created)) / 1e4 - kFiletimeEpoch;
    facts.cpu_seconds = static_cast<double>(to_number(kernel) + to_number(user)) / 1e7;
  }
  PROCESS_MEMORY_COUNTERS memory = {};
  memory.cb = sizeof(memory);
  if (::K32GetProcessMemoryInfo(process, &memory, sizeof(memory))) {
    facts.memory_bytes = static_cast<double>(memory.WorkingSetSize);
  }
  facts.executable = executable_of(process);
  facts.arguments = arguments_of(process);
  facts.user = user_of(process);
  facts.status = "running";
  unpin_process(pinned.handle);
  return facts;
}

}  // namespace kernel_lock
