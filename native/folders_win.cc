#include <windows.h>

#include "folders.h"
// windows.h has to come first.
#include <knownfolders.h>
#include <sddl.h>
#include <shlobj.h>

#include "text_win.h"

namespace kernel_lock {
namespace {

Failure failure(const char* syscall, DWORD code) { return {syscall, static_cast<int>(code)}; }

// SY and BA (the system, administrators): everything. AU (whoever has logged
// on): in the directory list, traverse and create files (0x1200ab); in a file
// all but deleting it and changing its permissions (0x12019f). OW (the owner)
// takes away the right to change permissions that an owner has otherwise, and
// with it the way to delete or replace a file in use. P: nothing is inherited
// from ProgramData, where everyone may create directories.
constexpr wchar_t kSharedRights[] =
    L"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
    L"(A;;0x1200ab;;;AU)(A;OIIO;0x12019f;;;AU)"
    L"(A;;0x1200ab;;;OW)(A;OIIO;0x12019f;;;OW)";

// Someone may have put a link there that leads everybody's locks elsewhere.
bool is_plain_directory(const std::wstring& path) {
  const DWORD attributes = ::GetFileAttributesW(path.c_str());
  return attributes != INVALID_FILE_ATTRIBUTES &&
         (attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)) ==
             FILE_ATTRIBUTE_DIRECTORY;
}

// `C:\x` or `\\server\share`.
bool is_absolute(const wchar_t* path) {
  return path[0] != L'\0' &&
         ((path[1] == L':' && path[2] == L'\\') || (path[0] == L'\\' && path[1] == L'\\'));
}

}  // namespace

Folder known_folder(Scope scope) {
  const KNOWNFOLDERID& id = scope == Scope::machine ? FOLDERID_ProgramData : FOLDERID_LocalAppData;
  Folder folder;
  // Where no user is named, the variables in the registry's paths (%USERPROFILE%,
  // %ProgramData%) are looked up in this process's environment.
  HANDLE token = nullptr;
  if (!::OpenProcessToken(::GetCurrentProcess(), TOKEN_QUERY | TOKEN_IMPERSONATE | TOKEN_DUPLICATE,
                          &token)) {
    folder.failure = failure("OpenProcessToken", ::GetLastError());
    return folder;
  }
  PWSTR path = nullptr;
  const HRESULT result = ::SHGetKnownFolderPath(id, KF_FLAG_DONT_VERIFY, token, &path);
  ::CloseHandle(token);
  if (FAILED(result)) {
    folder.failure = failure("SHGetKnownFolderPath", static_cast<DWORD>(result) & 0xffff);
  } else if (!is_absolute(path)) {
    folder.failure = failure("SHGetKnownFolderPath", ERROR_BAD_PATHNAME);
  } else {
    folder.path = to_utf8(path, ::lstrlenW(path));
  }
  ::CoTaskMemFree(path);
  return folder;
}

Failure make_directory(const std::string& path, Scope scope) {
  const std::wstring wide = long_path(path);
  if (wide.empty()) return failure("CreateDirectoryW", ERROR_INVALID_NAME);
  SECURITY_ATTRIBUTES shared = {sizeof(shared), nullptr, FALSE};
  if (scope == Scope::machine &&
      !::ConvertStringSecurityDescriptorToSecurityDescriptorW(
          kSharedRights, SDDL_REVISION_1, &shared.lpSecurityDescriptor, nullptr)) {
    return failure("ConvertStringSecurityDescriptorToSecurityDescriptorW", ::GetLastError());
  }
  const bool created =
      ::CreateDirectoryW(wide.c_str(), scope == Scope::machine ? &shared : nullptr) != 0;
  const DWORD code = ::GetLastError();
  ::LocalFree(shared.lpSecurityDescriptor);
  if (created) return {};
  // One that is there is told as that or, to some users, as a refusal.
  if (is_plain_directory(wide)) return {};
  return failure("CreateDirectoryW", code == ERROR_ALREADY_EXISTS ? ERROR_DIRECTORY : code);
}

}  // namespace kernel_lock
