// Node-API: this file and the other addon_*.cc alone know it. An operation returns its value, or an
// object { syscall, errno } where a system call failed; classifying that is the
// business of the TypeScript side.
#include <napi.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "addon_platform.h"
#include "addon_values.h"
#include "lock.h"
#include "process.h"
#include "record.h"
#include "waiters.h"
#include "watch.h"

namespace kernel_lock {
namespace {

// Results that are neither a handle nor a failure; native.ts has the same list.
constexpr int kHeld = -1;
constexpr int kUnsafe = -2;
constexpr int kPending = -3;
constexpr int kDeadlock = -4;
constexpr int kGone = -5;

struct Held {
  Handle handle;
  Mode mode;
  std::string path;
};

// The state of one JavaScript environment; only its own thread touches it, but
// for the list of settled tickets.
class Environment final : public Owner, public Observer {
 public:
  explicit Environment(Napi::Env env) : env_(env) {}
  ~Environment() override = default;

  void Start(const Napi::Object& exports);
  void ready(const std::shared_ptr<Ticket>& ticket) override;
  void changed(uint64_t lock) override;

 private:
  Napi::Value SetRecordHead(const Napi::CallbackInfo& info);
  Napi::Value LockStateOf(const Napi::CallbackInfo& info);
  Napi::Value TryAcquire(const Napi::CallbackInfo& info);
  Napi::Value Enqueue(const Napi::CallbackInfo& info);
  Napi::Value Collect(const Napi::CallbackInfo& info);
  Napi::Value Expire(const Napi::CallbackInfo& info);
  Napi::Value Withdraw(const Napi::CallbackInfo& info);
  Napi::Value Release(const Napi::CallbackInfo& info);
  Napi::Value IsCurrent(const Napi::CallbackInfo& info);
  Napi::Value Watch(const Napi::CallbackInfo& info);
  Napi::Value Unwatch(const Napi::CallbackInfo& info);
  Napi::Value Touch(const Napi::CallbackInfo& info);
  Napi::Value PinProcess(const Napi::CallbackInfo& info);
  Napi::Value SignalProcess(const Napi::CallbackInfo& info);
  Napi::Value UnpinProcess(const Napi::CallbackInfo& info);
  Napi::Value ReplaceProcess(const Napi::CallbackInfo& info);

  template <Napi::Value (Environment::*method)(const Napi::CallbackInfo&)>
  void Export(Napi::Object exports, const char* name);

  static void Close(void* raw);
  static void CallSettled(napi_env env, napi_value callback, void* context, void* data);
  void AnnounceSettled();
  void AnnounceChanged();
  void Forget(uint64_t id);
  bool HoldsConflicting(const std::string& path, Mode mode) const;
  bool WaitsConflicting(const std::string& path, Mode mode) const;
  uint64_t Keep(Handle handle, Mode mode, std::string path);
  Napi::Value ToValue(const Outcome& outcome, Mode mode, std::string path);

  struct Pending {
    std::shared_ptr<Ticket> ticket;
    std::string path;
    Napi::FunctionReference settled;  // empty for a synchronous one
  };

  Napi::Env env_;
  std::shared_ptr<const std::string> record_head_ = std::make_shared<const std::string>();
  std::unordered_map<uint64_t, Held> held_;
  std::unordered_map<uint64_t, Napi::FunctionReference> watched_;  // by lock
  std::unordered_map<uint64_t, Pending> pending_;
  size_t asynchronous_ = 0;  // of the pending ones; they keep the process alive
  uint64_t next_id_ = 1;
  napi_threadsafe_function settled_ = nullptr;
  std::mutex settled_mutex_;
  std::vector<std::shared_ptr<Ticket>> settled_tickets_;
  std::set<uint64_t> changed_locks_;
};

Mode ToMode(const Napi::Value& shared) {
  return shared.As<Napi::Boolean>().Value() ? Mode::shared : Mode::exclusive;
}

// A string of bytes, one character each.
std::string ToBytes(const Napi::Value& bytes) {
  size_t size = 0;
  napi_get_value_string_latin1(bytes.Env(), bytes, nullptr, 0, &size);
  std::string text(size, '\0');
  napi_get_value_string_latin1(bytes.Env(), bytes, text.data(), size + 1, &size);
  return text;
}

uint64_t ToId(const Napi::Value& id) {
  return static_cast<uint64_t>(id.As<Napi::Number>().Int64Value());
}

// Exact up to 2^53, which no process counts to.
Napi::Value FromId(Napi::Env env, uint64_t id) {
  return Napi::Number::New(env, static_cast<double>(id));
}

Napi::Value ToProcessValue(Napi::Env env, const Failure& failure) {
  return is_gone(failure) ? Napi::Number::New(env, kGone) : ToValue(env, failure);
}

Napi::Value Environment::ToValue(const Outcome& outcome, Mode mode, std::string path) {
  switch (outcome.status) {
    case Status::acquired:
      return FromId(env_, Keep(outcome.handle, mode, std::move(path)));
    case Status::held:
      return Napi::Number::New(env_, kHeld);
    case Status::unsafe:
      return Napi::Number::New(env_, kUnsafe);
    case Status::interrupted:
    case Status::failed:
      break;
  }
  return kernel_lock::ToValue(env_, outcome.failure);
}

uint64_t Environment::Keep(Handle handle, Mode mode, std::string path) {
  const uint64_t id = next_id_++;
  held_.emplace(id, Held{handle, mode, std::move(path)});
  return id;
}

// By file, because a path may lead there under another name.
bool Environment::HoldsConflicting(const std::string& path, Mode mode) const {
  return std::any_of(held_.begin(), held_.end(), [&](const auto& entry) {
    const Held& held = entry.second;
    return (mode == Mode::exclusive || held.mode == Mode::exclusive) &&
           is_current(held.handle, path);
  });
}

// A wait of this environment stands before one that starts now, granted and
// not yet announced perhaps, and its lock would never be released.
bool Environment::WaitsConflicting(const std::string& path, Mode mode) const {
  bool own = false;
  bool exclusive = mode == Mode::exclusive;
  std::unordered_map<std::string, bool> leads_there{{path, true}};
  for (const auto& entry : pending_) {
    const auto seen = leads_there.try_emplace(entry.second.path, false);
    if (seen.second) seen.first->second = is_same_file(entry.second.path, path);
    if (!seen.first->second) continue;
    own = true;
    exclusive = exclusive || entry.second.ticket->mode == Mode::exclusive;
  }
  return own && (exclusive || has_exclusive_waiter(path));
}

// setRecordHead(head): the constant part of the owner record
Napi::Value Environment::SetRecordHead(const Napi::CallbackInfo& info) {
  record_head_ = std::make_shared<const std::string>(ToText(info[0]));
  return env_.Undefined();
}

// tryAcquire(path, shared, recordTail, orderly): lock id, kHeld, kUnsafe or a
// failure. Orderly: a wait follows, so do not overtake those of this process who wait.
Napi::Value Environment::TryAcquire(const Napi::CallbackInfo& info) {
  std::string path = ToText(info[0]);
  const Mode mode = ToMode(info[1]);
  const bool orderly = info[3].As<Napi::Boolean>().Value();
  if (orderly && has_waiters(path)) return Napi::Number::New(env_, kHeld);
  Outcome outcome = try_acquire(path, mode, orderly);
  if (outcome.status == Status::held && outlast_late_grant(path)) {
    outcome = try_acquire(path, mode, orderly);
  }
  if (outcome.status == Status::acquired && outcome.takes_record) {
    char record[kRecordBytes];
    if (compose_record(record, *record_head_, ToText(info[2]))) {
      write_record(outcome.handle, record, sizeof(record));
    }
  }
  return ToValue(outcome, mode, std::move(path));
}

// enqueue(path, shared, recordTail, settled, endless): ticket, kDeadlock or a
// failure. `settled(result)` is called when the wait is over; where there is
// none, the ticket is to be collected.
Napi::Value Environment::Enqueue(const Napi::CallbackInfo& info) {
  std::string path = ToText(info[0]);
  auto ticket = std::make_shared<Ticket>();
  ticket->owner = this;
  ticket->mode = ToMode(info[1]);
  ticket->record_head = record_head_;
  ticket->record_tail = ToText(info[2]);
  ticket->synchronous = !info[3].IsFunction();
  if (ticket->synchronous && info[4].As<Napi::Boolean>().Value() &&
      (HoldsConflicting(path, ticket->mode) || WaitsConflicting(path, ticket->mode))) {
    return Napi::Number::New(env_, kDeadlock);
  }
  ticket->id = next_id_++;
  // A settled ticket may be announced before `enqueue` returns.
  if (!ticket->synchronous && asynchronous_++ == 0) napi_ref_threadsafe_function(env_, settled_);
  const uint64_t id = ticket->id;
  Pending& pending = pending_.emplace(id, Pending{ticket, path, {}}).first->second;
  if (!ticket->synchronous) pending.settled = Napi::Persistent(info[3].As<Napi::Function>());
  const Failure failure = enqueue(path, ticket);
  if (failure.syscall != nullptr) {
    Forget(id);
    return kernel_lock::ToValue(env_, failure);
  }
  return FromId(env_, id);
}

void Environment::Forget(uint64_t id) {
  const auto found = pending_.find(id);
  const bool synchronous = found->second.ticket->synchronous;
  if (!synchronous && --asynchronous_ == 0) {
    napi_unref_threadsafe_function(env_, settled_);
  }
  pending_.erase(found);
}

// collect(ticket, milliseconds): kPending, or what tryAcquire returns
Napi::Value Environment::Collect(const Napi::CallbackInfo& info) {
  const uint64_t id = ToId(info[0]);
  const std::shared_ptr<Ticket> ticket = pending_.at(id).ticket;
  Outcome outcome;
  if (!collect(ticket, info[1].As<Napi::Number>().Int64Value()) || !take(ticket, outcome)) {
    return Napi::Number::New(env_, kPending);
  }
  std::string path = std::move(pending_.at(id).path);
  Forget(id);
  return ToValue(outcome, ticket->mode, std::move(path));
}

// expire(ticket): it is settled in a moment, as kHeld where the lock is still held
Napi::Value Environment::Expire(const Napi::CallbackInfo& info) {
  const auto found = pending_.find(ToId(info[0]));
  if (found != pending_.end()) expire(found->second.ticket);
  return env_.Undefined();
}

// withdraw(ticket): it will not be announced any more, and holds nothing
Napi::Value Environment::Withdraw(const Napi::CallbackInfo& info) {
  const uint64_t id = ToId(info[0]);
  const auto found = pending_.find(id);
  if (found == pending_.end()) return env_.Undefined();
  withdraw(found->second.ticket);
  Forget(id);
  return env_.Undefined();
}

void Environment::ready(const std::shared_ptr<Ticket>& ticket) {
  {
    const std::lock_guard<std::mutex> guard(settled_mutex_);
    settled_tickets_.push_back(ticket);
  }
  napi_call_threadsafe_function(settled_, nullptr, napi_tsfn_nonblocking);
}

void Environment::changed(uint64_t lock) {
  {
    const std::lock_guard<std::mutex> guard(settled_mutex_);
    changed_locks_.insert(lock);
  }
  napi_call_threadsafe_function(settled_, nullptr, napi_tsfn_nonblocking);
}

void Environment::CallSettled(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;  // the environment is going; Close has withdrawn everything
  static_cast<Environment*>(context)->AnnounceSettled();
  static_cast<Environment*>(context)->AnnounceChanged();
}

void Environment::AnnounceChanged() {
  std::set<uint64_t> locks;
  {
    const std::lock_guard<std::mutex> guard(settled_mutex_);
    locks.swap(changed_locks_);
  }
  for (const uint64_t lock : locks) {
    const Napi::HandleScope scope(env_);
    const auto found = watched_.find(lock);
    if (found != watched_.end()) found->second.Value().Call({});
  }
}

void Environment::AnnounceSettled() {
  std::vector<std::shared_ptr<Ticket>> tickets;
  {
    const std::lock_guard<std::mutex> guard(settled_mutex_);
    tickets.swap(settled_tickets_);
  }
  for (const std::shared_ptr<Ticket>& ticket : tickets) {
    const Napi::HandleScope scope(env_);
    const auto found = pending_.find(ticket->id);
    Outcome outcome;
    if (found == pending_.end() || !take(ticket, outcome)) continue;
    const Napi::FunctionReference settled = std::move(found->second.settled);
    std::string path = std::move(found->second.path);
    Forget(ticket->id);
    settled.Call({ToValue(outcome, ticket->mode, std::move(path))});
  }
}

// release(lock)
Napi::Value Environment::Release(const Napi::CallbackInfo& info) {
  const auto found = held_.find(ToId(info[0]));
  if (found == held_.end()) return env_.Undefined();
  release(found->second.handle);
  held_.erase(found);
  return env_.Undefined();
}

// isCurrent(lock): whether its path still leads to the locked file
Napi::Value Environment::IsCurrent(const Napi::CallbackInfo& info) {
  const auto found = held_.find(ToId(info[0]));
  return Napi::Boolean::New(
      env_, found != held_.end() && is_current(found->second.handle, found->second.path));
}

// watch(lock, changed): whether `changed()` would be called for every change of
// where the lock's path leads; once more after such a change
Napi::Value Environment::Watch(const Napi::CallbackInfo& info) {
  const uint64_t id = ToId(info[0]);
  watched_[id] = Napi::Persistent(info[1].As<Napi::Function>());
  return Napi::Boolean::New(env_, watch(this, id, held_.at(id).path));
}

// unwatch(lock)
Napi::Value Environment::Unwatch(const Napi::CallbackInfo& info) {
  const uint64_t id = ToId(info[0]);
  unwatch(this, id);
  watched_.erase(id);
  return env_.Undefined();
}

// touch(lock): its file looks used
Napi::Value Environment::Touch(const Napi::CallbackInfo& info) {
  const auto found = held_.find(ToId(info[0]));
  if (found != held_.end()) touch(found->second.handle);
  return env_.Undefined();
}

// lockState(path): 'free', 'shared', 'exclusive' or undefined
Napi::Value Environment::LockStateOf(const Napi::CallbackInfo& info) {
  switch (lock_state(ToText(info[0]))) {
    case LockState::free:
      return Napi::String::New(env_, "free");
    case LockState::shared:
      return Napi::String::New(env_, "shared");
    case LockState::exclusive:
      return Napi::String::New(env_, "exclusive");
    case LockState::unknown:
      break;
  }
  return env_.Undefined();
}

// pinProcess(pid): process, kGone or a failure
Napi::Value Environment::PinProcess(const Napi::CallbackInfo& info) {
  const Pinned pinned = pin_process(info[0].As<Napi::Number>().Int32Value());
  if (pinned.handle == kNoHandle) return ToProcessValue(env_, pinned.failure);
  return Napi::Number::New(env_, static_cast<double>(pinned.handle));
}

// signalProcess(process, signal): undefined, kGone or a failure
Napi::Value Environment::SignalProcess(const Napi::CallbackInfo& info) {
  const auto process = static_cast<Handle>(info[0].As<Napi::Number>().Int64Value());
  return ToProcessValue(env_, signal_process(process, info[1].As<Napi::Number>().Int32Value()));
}

// unpinProcess(process)
Napi::Value Environment::UnpinProcess(const Napi::CallbackInfo& info) {
  unpin_process(static_cast<Handle>(info[0].As<Napi::Number>().Int64Value()));
  return env_.Undefined();
}

// replaceProcess(arguments, lock?): a failure, or it does not return
Napi::Value Environment::ReplaceProcess(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<std::string> arguments;
  for (uint32_t i = 0; i < list.Length(); ++i) arguments.push_back(ToBytes(list.Get(i)));
  const Handle lock = info[1].IsUndefined() ? kNoHandle : held_.at(ToId(info[1])).handle;
  return kernel_lock::ToValue(env_, replace_process(arguments, lock));
}

template <Napi::Value (Environment::*method)(const Napi::CallbackInfo&)>
void Environment::Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New(
                        env_,
                        [](const Napi::CallbackInfo& info) {
                          return (static_cast<Environment*>(info.Data())->*method)(info);
                        },
                        name, this));
}

// The environment ends (also where a worker is terminated): what it holds is
// released, what it waits for is withdrawn.
void Environment::Close(void* raw) {
  auto* self = static_cast<Environment*>(raw);
  for (const auto& entry : self->pending_) withdraw(entry.second.ticket);
  for (const auto& entry : self->watched_) unwatch(self, entry.first);
  for (const auto& entry : self->held_) release(entry.second.handle);
  self->pending_.clear();
  self->watched_.clear();
  self->held_.clear();
}

void Environment::Start(const Napi::Object& exports) {
  env_.SetInstanceData<Environment>(this);  // freed with the environment, after Close
  // Hooks run last in, first out: Close comes before the end of the
  // thread-safe function, so that no waiting thread calls a dead one.
  napi_create_threadsafe_function(env_, nullptr, nullptr, Napi::String::New(env_, "kernel-lock"), 0,
                                  1, nullptr, nullptr, this, CallSettled, &settled_);
  napi_unref_threadsafe_function(env_, settled_);
  napi_add_env_cleanup_hook(env_, Close, this);
  remember_stdio();
  Export<&Environment::SetRecordHead>(exports, "setRecordHead");
  Export<&Environment::TryAcquire>(exports, "tryAcquire");
  Export<&Environment::Enqueue>(exports, "enqueue");
  Export<&Environment::Collect>(exports, "collect");
  Export<&Environment::Expire>(exports, "expire");
  Export<&Environment::Withdraw>(exports, "withdraw");
  Export<&Environment::Release>(exports, "release");
  Export<&Environment::IsCurrent>(exports, "isCurrent");
  Export<&Environment::Watch>(exports, "watch");
  Export<&Environment::Unwatch>(exports, "unwatch");
  Export<&Environment::Touch>(exports, "touch");
  Export<&Environment::LockStateOf>(exports, "lockState");
  Export<&Environment::PinProcess>(exports, "pinProcess");
  Export<&Environment::SignalProcess>(exports, "signalProcess");
  Export<&Environment::UnpinProcess>(exports, "unpinProcess");
  Export<&Environment::ReplaceProcess>(exports, "replaceProcess");
  export_platform(env_, exports);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  (new Environment(env))->Start(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(kernel_lock, Init)

}  // namespace kernel_lock
