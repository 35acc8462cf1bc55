#include "binding/errors.h"

#include "core/error.h"

#include <c10/util/Exception.h>

#include <new>
#include <string_view>

namespace strata::binding {

Failure describe(std::exception_ptr caught) noexcept {
  try {
    try {
      std::rethrow_exception(caught);
    } catch (const Error& error) {
      return {error.code(), error.what()};
    } catch (const c10::OutOfMemoryError& error) {
      return {"OUT_OF_MEMORY", std::string("the device has no memory left for this batch; use smaller batches or sequences. ") +
                                   error.what_without_backtrace()};
    } catch (const c10::Error& error) {
      const std::string message = error.what_without_backtrace();
      if (message.find("can't allocate memory") != std::string::npos || message.find("not enough memory") != std::string::npos ||
          message.find("Storage size calculation overflowed") != std::string::npos)
        return {"OUT_OF_MEMORY", "the machine has no memory left for this; use smaller batches, sequences or models. " + message};
      // What libraries on the device allocate beside libtorch's allocator.
      if (message.find("CUDA error: out of memory") != std::string::npos || message.find("CUBLAS_STATUS_ALLOC_FAILED") != std::string::npos)
        return {"OUT_OF_MEMORY", "the device has no memory left for this batch; use smaller batches or sequences. " + message};
      return {"NATIVE_ERROR", message};
    } catch (const std::bad_alloc&) {
      return {"OUT_OF_MEMORY", "the machine has no memory left; use smaller batches or a smaller model"};
    } catch (const std::exception& error) {
      // oneDNN's, whose status is not to be had from here: it makes the code of a product that it has described as possible, and lacks the pages.
      if (std::string_view(error.what()) == "could not create a primitive")
        return {"OUT_OF_MEMORY", "the machine has no memory left for this; use smaller batches, sequences or models. oneDNN could not create a primitive"};
      return {"NATIVE_ERROR", error.what()};
    } catch (...) {
      return {"NATIVE_ERROR", "an unknown native exception"};
    }
  } catch (...) {
    return {};  // no memory left even for a message
  }
}

Napi::Error to_javascript(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, failure.code.empty() ? "OUT_OF_MEMORY" : failure.code));
  return error;
}

}  // namespace strata::binding
