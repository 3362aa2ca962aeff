// Signals that have their own effect again, as the addon gives them to JavaScript on POSIX.
#pragma once

#include <napi.h>

#include "signals.h"

namespace kernel_lock {

// letThrough(signal), catchAgain(signal)
template <void (*change)(int)>
Napi::Value ChangeSignal(const Napi::CallbackInfo& info) {
  change(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

inline void export_signals(Napi::Env env, Napi::Object exports) {
  exports.Set("letThrough", Napi::Function::New<ChangeSignal<let_through>>(env, "letThrough"));
  exports.Set("catchAgain", Napi::Function::New<ChangeSignal<catch_again>>(env, "catchAgain"));
}

}  // namespace kernel_lock
