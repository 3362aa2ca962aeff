#include "addon_facts.h"
#include "addon_platform.h"
#include "addon_values.h"
#include "folders.h"
#include "held_win.h"
#include "job.h"
#include "wine.h"

namespace kernel_lock {
namespace {

using Info = Napi::CallbackInfo;

// knownFolder(user): path or a failure
Napi::Value GetKnownFolder(const Info& info) {
  const bool user = info[0].As<Napi::Boolean>().Value();
  const Folder folder = known_folder(user ? Scope::user : Scope::machine);
  if (folder.failure.syscall != nullptr) return ToValue(info.Env(), folder.failure);
  return Napi::String::New(info.Env(), folder.path);
}

// makeDirectory(path, everybodys): undefined or a failure
Napi::Value MakeDirectory(const Info& info) {
  const bool everybodys = info[1].As<Napi::Boolean>().Value();
  const Scope scope = everybodys ? Scope::machine : Scope::user;
  return ToValue(info.Env(), make_directory(ToText(info[0]), scope));
}

// holds(path): whether this process holds a lock on the file
Napi::Value GetHolds(const Info& info) {
  return Napi::Boolean::New(info.Env(), holds(ToText(info[0])));
}

// runInJob(arguments): the exit code or a failure
Napi::Value RunInJob(const Info& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<std::string> arguments;
  for (uint32_t i = 0; i < list.Length(); ++i) arguments.push_back(ToText(list.Get(i)));
  const JobResult result = run_in_job(arguments);
  if (result.failure.syscall != nullptr) return ToValue(info.Env(), result.failure);
  return Napi::Number::New(info.Env(), result.exit_code);
}

}  // namespace

void export_platform(Napi::Env env, Napi::Object exports) {
  export_facts(env, exports);
  exports.Set("knownFolder", Napi::Function::New<GetKnownFolder>(env, "knownFolder"));
  exports.Set("makeDirectory", Napi::Function::New<MakeDirectory>(env, "makeDirectory"));
  exports.Set("holds", Napi::Function::New<GetHolds>(env, "holds"));
  exports.Set("trustsRecord", Napi::Boolean::New(env, on_wine()));
  exports.Set("runInJob", Napi::Function::New<RunInJob>(env, "runInJob"));
}

}  // namespace kernel_lock
