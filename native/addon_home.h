// The home directory, as the addon gives it to JavaScript on POSIX.
#pragma once

#include <napi.h>

#include "home.h"

namespace kernel_lock {

// homeDirectory(): its path, or undefined where the user has none
inline Napi::Value GetHomeDirectory(const Napi::CallbackInfo& info) {
  const std::string home = home_directory();
  if (home.empty()) return info.Env().Undefined();
  return Napi::String::New(info.Env(), home);
}

inline void export_home(Napi::Env env, Napi::Object exports) {
  exports.Set("homeDirectory", Napi::Function::New<GetHomeDirectory>(env, "homeDirectory"));
}

}  // namespace kernel_lock
