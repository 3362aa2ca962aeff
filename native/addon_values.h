// How the addon's values go to JavaScript and come from there.
#pragma once

#include <napi.h>

#include <string>

#include "lock.h"

namespace kernel_lock {

inline std::string ToText(const Napi::Value& text) { return text.As<Napi::String>().Utf8Value(); }

inline Napi::Value ToValue(Napi::Env env, const Failure& failure) {
  if (failure.syscall == nullptr) return env.Undefined();
  Napi::Object object = Napi::Object::New(env);
  object.Set("syscall", failure.syscall);
  object.Set("errno", failure.code);
  return object;
}

}  // namespace kernel_lock
