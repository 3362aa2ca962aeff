// The exports for platforms whose kernel has no /proc.
#pragma once

#include <napi.h>

namespace kernel_lock {

void export_facts(Napi::Env env, Napi::Object exports);

}  // namespace kernel_lock
