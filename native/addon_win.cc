#include "addon_facts.h"
#include "addon_platform.h"
#include "folders.h"
#include "job.h"

namespace kernel_lock {
namespace {

using Info = Napi::CallbackInfo;

std::string ToText(const Napi::Value& text) { return text.As<Napi::String>().Utf8Value(); }

Napi::Value ToValue(Napi::Env env, const Failure& failure) {
  if (failure.syscall == nullptr) return env.Undefined();
  Napi::Object object = Napi::Object::New(env);
  object.Set("syscall", failure.syscall);
  object.Set("errno", failure.code);
  return object;
}

// knownFolder(user): path or a failure
Napi::Value GetKnownFolder(const Info& info) {
  const bool user = info[0].As<Napi::Boolean>().Value();
  const Folder folder = known_folder(user ? Scope::user : Scope::machine);
  if (folder.failure.syscall != nullptr) return ToValue(info.Env(), folder.failure);
  return Napi::String::New(info.Env(), folder.path);
}

// makeSharedDirectory(path): undefined or a failure
Napi::Value MakeSharedDirectory(const Info& info) {
  return ToValue(info.Env(), make_shared_directory(ToText(info[0])));
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
  exports.Set("makeSharedDirectory",
              Napi::Function::New<MakeSharedDirectory>(env, "makeSharedDirectory"));
  exports.Set("runInJob", Napi::Function::New<RunInJob>(env, "runInJob"));
}

}  // namespace kernel_lock
