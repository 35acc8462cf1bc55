#include "binding/execution_thread.h"

#include "binding/errors.h"
#include "core/error.h"
#include "core/ops.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace strata::binding {
namespace {

std::atomic<int64_t> commands_running{0};
std::atomic<int64_t> commands_queued{0};
std::atomic<int> wanted_threads{0};
std::atomic<bool> process_ends{false};

#if defined(__linux__)
void leave_while_computing(int status, void*) {
  if (commands_running.load() == 0) return;
  std::fflush(nullptr);
  ::_exit(status);
}
#endif

void take_up_thread_count() {
  thread_local int current = 0;
  const int wanted = wanted_threads.load();
  if (wanted > 0 && wanted != current) {
    at::set_num_threads(wanted);
    current = wanted;
  }
}

}  // namespace

int64_t queued_commands() { return commands_queued.load(); }
void set_compute_threads(int count) { wanted_threads.store(count); }
int compute_threads() { return wanted_threads.load() > 0 ? wanted_threads.load() : at::get_num_threads(); }

// From here on no thread begins a command. What libtorch makes at its first use is destroyed before anything that was registered
// earlier: the handler must be the youngest one.
void prepare_process_exit() {
  if (process_ends.exchange(true)) return;
#if defined(__linux__)
  ::on_exit(leave_while_computing, nullptr);
#endif
  // Windows ends all other threads before it runs a library's destructors: none computes under them.
}

struct ExecutionThread::Job {
  explicit Job(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) { commands_queued += 1; }
  ~Job() { commands_queued -= 1; }
  Command command;
  Napi::Promise::Deferred deferred;
  Napi::ObjectReference keep_alive;
  MakeValue value;
  Failure failure;
  bool failed = false;
};

ExecutionThread::ExecutionThread(Napi::Env env) : env_(env) {
  napi_value name = Napi::String::New(env, "stratabert execution thread");
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, &ExecutionThread::settle, &callback_);
  if (status != napi_ok) throw Napi::Error::New(env, "cannot create a thread-safe function");
  napi_unref_threadsafe_function(env, callback_);
  // Registered after the thread-safe function, hence run before it is torn down.
  napi_add_env_cleanup_hook(env, &ExecutionThread::on_environment_end, this);
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (...) {
    // No destructor runs after this: hook and function must not outlive the object.
    napi_remove_env_cleanup_hook(env, &ExecutionThread::on_environment_end, this);
    napi_release_threadsafe_function(callback_, napi_tsfn_abort);
    fail("NATIVE_ERROR", "no further thread could be started for a model; dispose of others or raise the limit of threads");
  }
}

ExecutionThread::~ExecutionThread() { stop(); }

void ExecutionThread::on_environment_end(void* self) { static_cast<ExecutionThread*>(self)->stop(); }

Napi::Promise ExecutionThread::run(Napi::Env env, Napi::Object keep_alive, Command command) {
  auto job = std::make_unique<Job>(env);
  job->command = std::move(command);
  job->keep_alive = Napi::Persistent(keep_alive);
  const Napi::Promise promise = job->deferred.Promise();
  {
    const std::lock_guard lock(mutex_);
    if (process_ends.load()) {
      Napi::Error error = to_javascript(env, {"DISPOSED", "the process ends ('exit' was emitted): nothing is computed any more"});
      job->deferred.Reject(error.Value());
      return promise;
    }
    if (stopping_) {
      Napi::Error error = to_javascript(env, {"DISPOSED", "the model has been disposed; create or load another one"});
      job->deferred.Reject(error.Value());
      return promise;
    }
    queue_.push_back(std::move(job));
  }
  // A pending promise keeps the process alive; an idle model does not.
  if (pending_++ == 0) napi_ref_threadsafe_function(env, callback_);
  wake_.notify_one();
  return promise;
}

void ExecutionThread::loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    // Either the exit handler sees this command, or this thread sees that the process ends (both are sequentially consistent).
    commands_running += 1;
    if (process_ends.load()) {
      commands_running -= 1;
      job.release();  // holds handles that belong to the JavaScript thread
      return;
    }
    try {
      take_up_thread_count();
      job->value = job->command();
    } catch (...) {
      job->failed = true;
      job->failure = describe(std::current_exception());
    }
    try {
      job->command = nullptr;  // inputs are freed here, not on the JavaScript thread
    } catch (...) {
    }
    // Ownership goes to settle(). When the environment is ending the call is refused; the job then holds handles of an
    // environment that is gone, which only settle() or Node itself may free: it is left to the process.
    Job* raw = job.release();
    if (napi_call_threadsafe_function(callback_, raw, napi_tsfn_blocking) != napi_ok) commands_queued -= 1;
    commands_running -= 1;
  }
}

void ExecutionThread::settle(napi_env raw_env, napi_value, void* context, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (raw_env == nullptr) {
    // The environment is gone: its references cannot be released any more.
    commands_queued -= 1;
    job.release();
    return;
  }
  const Napi::Env env(raw_env);
  const Napi::HandleScope scope(env);
  auto* self = static_cast<ExecutionThread*>(context);
  try {
    if (job->failed) {
      job->deferred.Reject(to_javascript(env, job->failure).Value());
    } else {
      job->deferred.Resolve(job->value ? job->value(env) : env.Undefined());
    }
  } catch (const Napi::Error& error) {
    try {
      job->deferred.Reject(error.Value());
    } catch (...) {
      // Only while the environment ends: nobody is left to hear of it.
    }
  } catch (...) {
    try {
      job->deferred.Reject(to_javascript(env, describe(std::current_exception())).Value());
    } catch (...) {
    }
  }
  self->finished(env);
}

void ExecutionThread::finished(Napi::Env env) {
  if (--pending_ == 0 && !stopped_) napi_unref_threadsafe_function(env, callback_);
}

void ExecutionThread::stop() {
  if (stopped_) return;
  stopped_ = true;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  napi_remove_env_cleanup_hook(env_, &ExecutionThread::on_environment_end, this);
  queue_.clear();
  napi_release_threadsafe_function(callback_, napi_tsfn_release);
}

}  // namespace strata::binding
