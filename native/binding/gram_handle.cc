#include "binding/gram_handle.h"

#include "binding/arguments.h"
#include "binding/errors.h"
#include "core/error.h"
#include "core/memory/caching_allocator.h"

namespace strata::binding {
namespace {

std::vector<at::Tensor> blocks_of(const Napi::Value& value) {
  if (!value.IsArray()) fail("BAD_ARGUMENT", "blocks must be an array of Float32Array or Float64Array, one a layer");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<at::Tensor> blocks;
  for (uint32_t layer = 0; layer < array.Length(); ++layer) blocks.push_back(tensor_from(array.Get(layer), "blocks[" + std::to_string(layer) + "]"));
  return blocks;
}

std::vector<GramSums::Pair> pairs_of(const std::vector<int32_t>& places) {
  if (places.size() % 2 != 0) fail("BAD_ARGUMENT", places.size(), " places of pairs came, an even number was expected");
  std::vector<GramSums::Pair> pairs;
  for (size_t at = 0; at < places.size(); at += 2) pairs.emplace_back(places[at], places[at + 1]);
  return pairs;
}

}  // namespace

Napi::Function GramHandle::define(Napi::Env env) {
  return DefineClass(
      env, "NativeGramSums",
      {InstanceMethod<&GramHandle::add>("add"), InstanceMethod<&GramHandle::squares>("squares"), InstanceMethod<&GramHandle::dispose>("dispose")});
}

// NativeGramSums(widths, pairs): places of both layers of each pair, side by side.
GramHandle::GramHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GramHandle>(info) {
  guarded(info.Env(), [&] {
    const std::vector<int32_t> widths = int32_array(info[0], "widths");
    sums_ = std::make_shared<GramSums>(std::vector<int64_t>(widths.begin(), widths.end()), pairs_of(int32_array(info[1], "pairs")));
    thread_ = std::make_unique<ExecutionThread>(info.Env());
  });
}

GramHandle::~GramHandle() {
  if (thread_) thread_->stop();
}

// add(blocks, rows)
Napi::Value GramHandle::add(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!sums_) fail("DISPOSED", "the sums of products have been disposed of; make others");
    return thread_->run(info.Env(), info.This().As<Napi::Object>(),
                        [sums = sums_, blocks = blocks_of(info[0]), rows = integer(info[1], "rows")]() -> MakeValue {
                          const at::NoGradGuard no_grad;
                          sums->add(blocks, rows);
                          return [](Napi::Env env) { return env.Undefined(); };
                        });
  });
}

Napi::Value GramHandle::squares(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!sums_) fail("DISPOSED", "the sums of products have been disposed of; make others");
    return thread_->run(info.Env(), info.This().As<Napi::Object>(), [sums = sums_]() -> MakeValue {
      const at::NoGradGuard no_grad;
      return [squares = sums->squares()](Napi::Env env) -> Napi::Value {
        Napi::Float64Array array = Napi::Float64Array::New(env, squares.size());
        std::copy(squares.begin(), squares.end(), array.Data());
        return array;
      };
    });
  });
}

Napi::Value GramHandle::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!sums_) {
      Napi::Promise::Deferred done = Napi::Promise::Deferred::New(info.Env());
      done.Resolve(info.Env().Undefined());
      return done.Promise();
    }
    // Commands that were asked for earlier run first and hold the sums.
    return thread_->run(info.Env(), info.This().As<Napi::Object>(), [this, sums = std::exchange(sums_, nullptr)]() mutable -> MakeValue {
      sums.reset();
      release_cached_memory();
      return [this](Napi::Env env) -> Napi::Value {
        thread_->stop();
        return env.Undefined();
      };
    });
  });
}

}  // namespace strata::binding
