#include "addon_facts.h"
#include "addon_home.h"
#include "addon_platform.h"
#include "addon_signals.h"

namespace kernel_lock {

void export_platform(Napi::Env env, Napi::Object exports) {
  export_facts(env, exports);
  export_home(env, exports);
  export_signals(env, exports);
}

}  // namespace kernel_lock
