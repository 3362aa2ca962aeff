#include "addon_home.h"
#include "addon_platform.h"

namespace kernel_lock {

// For the rest, the TypeScript side reads /proc.
void export_platform(Napi::Env env, Napi::Object exports) { export_home(env, exports); }

}  // namespace kernel_lock
