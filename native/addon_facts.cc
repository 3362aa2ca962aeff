#include "addon_facts.h"

#include "addon_values.h"
#include "facts.h"

namespace kernel_lock {
namespace {

using Info = Napi::CallbackInfo;

template <typename List, typename Convert>
Napi::Array ToArray(Napi::Env env, const List& list, Convert convert) {
  Napi::Array array = Napi::Array::New(env, list.size());
  uint32_t index = 0;
  for (const auto& item : list) array.Set(index++, convert(item));
  return array;
}

// processFacts(pid): what is known of it; {} where there is no such process
Napi::Value GetProcessFacts(const Info& info) {
  const Napi::Env env = info.Env();
  const ProcessFacts facts = process_facts(info[0].As<Napi::Number>().Int32Value());
  Napi::Object object = Napi::Object::New(env);
  const auto set_text = [&](const char* key, const std::string& text) {
    if (!text.empty()) object.Set(key, text);
  };
  const auto set_number = [&](const char* key, double number) {
    if (number >= 0) object.Set(key, number);
  };
  set_text("startToken", facts.start_token);
  set_number("startedAt", facts.started_at);
  set_text("executable", facts.executable);
  if (!facts.arguments.empty()) {
    object.Set("argv", ToArray(env, facts.arguments, [&](const std::string& argument) {
                 return Napi::String::New(env, argument);
               }));
  }
  set_text("cwd", facts.directory);
  set_number("uid", facts.uid);
  set_text("user", facts.user);
  set_text("status", facts.status);
  set_number("cpuSeconds", facts.cpu_seconds);
  set_number("memoryBytes", facts.memory_bytes);
  return object;
}

// openers(path): pids, or undefined where the system won't tell
Napi::Value GetOpeners(const Info& info) {
  const Napi::Env env = info.Env();
  const Openers openers = openers_of(ToText(info[0]));
  if (!openers.known) return env.Undefined();
  return ToArray(env, openers.pids, [&](int pid) { return Napi::Number::New(env, pid); });
}

// fileSystem(directory): its name, or undefined where the system won't tell
Napi::Value GetFileSystem(const Info& info) {
  const std::string name = file_system_of(ToText(info[0]));
  if (name.empty()) return info.Env().Undefined();
  return Napi::String::New(info.Env(), name);
}

}  // namespace

void export_facts(Napi::Env env, Napi::Object exports) {
  exports.Set("processFacts", Napi::Function::New<GetProcessFacts>(env, "processFacts"));
  exports.Set("openers", Napi::Function::New<GetOpeners>(env, "openers"));
  exports.Set("fileSystem", Napi::Function::New<GetFileSystem>(env, "fileSystem"));
}

}  // namespace kernel_lock
