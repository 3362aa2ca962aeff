// The home directory, as the addon gives it to JavaScript on POSIX.
#pragma once

#include <napi.h>

#include "addon_values.h"
#include "home.h"

namespace kernel_lock {

// homeDirectory(): its path, undefined where the user has none, or a failure
inline Napi::Value GetHomeDirectory(const Napi::CallbackInfo& info) {
  std::string home;
  const Failure failure = home_directory(home);
  if (failure.syscall != nullptr) return ToValue(info.Env(), failure);
  if (home.empty()) return info.Env().Undefined();
  return Napi::String::New(info.Env(), home);
}

inline void export_home(Napi::Env env, Napi::Object exports) {
  exports.Set("homeDirectory", Napi::Function::New<GetHomeDirectory>(env, "homeDirectory"));
}

}  // namespace kernel_lock
