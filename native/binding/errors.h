#pragma once
// Every failure of the core becomes one JavaScript Error with a `code` (see lib/errors.ts).
#include <napi.h>

#include <exception>
#include <string>

namespace strata::binding {

struct Failure {
  std::string code;
  std::string message;
};

// To be called inside a catch block or with a caught exception; never throws.
Failure describe(std::exception_ptr caught) noexcept;
Napi::Error to_javascript(Napi::Env env, const Failure& failure);

// Runs `body` on the JavaScript thread and turns whatever it throws into a JavaScript exception.
template <typename Body>
auto guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_javascript(env, describe(std::current_exception()));
  }
}

}  // namespace strata::binding
