#include "addon_home.h"
#include "addon_platform.h"
#include "addon_signals.h"
#include "bond.h"

namespace kernel_lock {
namespace {

Napi::Value EndWithParent(const Napi::CallbackInfo& info) {
  const int parent = info[0].As<Napi::Number>().Int32Value();
  return Napi::Boolean::New(info.Env(), end_with_parent(parent));
}

}  // namespace

// The TypeScript side reads /proc for the rest.
void export_platform(Napi::Env env, Napi::Object exports) {
  export_home(env, exports);
  export_signals(env, exports);
  exports.Set("endWithParent", Napi::Function::New<EndWithParent>(env, "endWithParent"));
}

}  // namespace kernel_lock
