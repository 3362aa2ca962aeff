// What the addon has on one operating system only.
#pragma once

#include <napi.h>

namespace kernel_lock {

void export_platform(Napi::Env env, Napi::Object exports);

}  // namespace kernel_lock
