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

}  // namespace

Folder known_folder(Scope scope) {
  const KNOWNFOLDERID& id = scope == Scope::machine ? FOLDERID_ProgramData : FOLDERID_LocalAppData;
  PWSTR path = nullptr;
  const HRESULT result = ::SHGetKnownFolderPath(id, KF_FLAG_DONT_VERIFY, nullptr, &path);
  Folder folder;
  if (FAILED(result)) {
    folder.failure = failure("SHGetKnownFolderPath", static_cast<DWORD>(result) & 0xffff);
  } else {
    folder.path = to_utf8(path, ::lstrlenW(path));
  }
  ::CoTaskMemFree(path);
  return folder;
}

Failure make_shared_directory(const std::string& path) {
  const std::wstring wide = long_path(path);
  if (wide.empty()) return failure("CreateDirectoryW", ERROR_INVALID_NAME);
  SECURITY_ATTRIBUTES security = {sizeof(security), nullptr, FALSE};
  if (!::ConvertStringSecurityDescriptorToSecurityDescriptorW(
          kSharedRights, SDDL_REVISION_1, &security.lpSecurityDescriptor, nullptr)) {
    return failure("ConvertStringSecurityDescriptorToSecurityDescriptorW", ::GetLastError());
  }
  const bool created = ::CreateDirectoryW(wide.c_str(), &security) != 0;
  const DWORD code = ::GetLastError();
  ::LocalFree(security.lpSecurityDescriptor);
  if (created) return {};
  if (code == ERROR_ALREADY_EXISTS) {
    return is_plain_directory(wide) ? Failure{} : failure("CreateDirectoryW", ERROR_DIRECTORY);
  }
  return failure("CreateDirectoryW", code);
}

}  // namespace kernel_lock
