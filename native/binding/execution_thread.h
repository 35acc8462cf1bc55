#pragma once
// One native thread that runs a model's commands in order; JavaScript gets a promise for each. Neither the event loop nor
// libuv's pool ever runs tensor work.
#include <napi.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace strata::binding {

// Makes a command's JavaScript value, on the JavaScript thread.
using MakeValue = std::function<Napi::Value(Napi::Env)>;
// Runs on the execution thread.
using Command = std::function<MakeValue()>;

class ExecutionThread {
 public:
  explicit ExecutionThread(Napi::Env env);
  ~ExecutionThread();
  ExecutionThread(const ExecutionThread&) = delete;
  ExecutionThread& operator=(const ExecutionThread&) = delete;

  // `keep_alive` is not collected before the promise is settled.
  Napi::Promise run(Napi::Env env, Napi::Object keep_alive, Command command);
  // Lets the command in progress end, drops those that wait, joins. Idempotent; JavaScript thread only.
  void stop();

 private:
  struct Job;
  void loop();
  static void settle(napi_env env, napi_value, void* context, void* data);
  static void on_environment_end(void* self);
  void finished(Napi::Env env);

  napi_env env_;
  napi_threadsafe_function callback_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> queue_;
  bool stopping_ = false;
  bool stopped_ = false;
  int64_t pending_ = 0;  // JavaScript thread only
  std::thread thread_;
};

// Commands that run or wait, in the whole process.
int64_t queued_commands();
// Threads that each command may use inside libtorch; taken up before the next command.
void set_compute_threads(int count);
int compute_threads();
// To be called when the main thread's environment announces its end (process 'exit'): if a command still runs when the process
// ends, it ends at once, because static destructors, libtorch's above all, must not run under a thread that computes.
void prepare_process_exit();

}  // namespace strata::binding
