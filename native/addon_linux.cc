#include "addon_platform.h"

namespace kernel_lock {

// The TypeScript side reads /proc.
void export_platform(Napi::Env /*env*/, Napi::Object /*exports*/) {}

}  // namespace kernel_lock
