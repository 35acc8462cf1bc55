#pragma once
// Typed errors of the core. The binding turns them into JavaScript errors with the same code.
#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace strata {

class Error : public std::exception {
 public:
  Error(std::string code, std::string message) : code_(std::move(code)), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& code() const noexcept { return code_; }

 private:
  std::string code_;
  std::string message_;
};

// fail("BAD_ARGUMENT", "labels[", i, "] is ", label, ", …"): the pieces are written one after the other.
template <typename... Pieces>
[[noreturn]] void fail(const char* code, const Pieces&... pieces) {
  std::ostringstream message;
  (message << ... << pieces);
  throw Error(code, message.str());
}

}  // namespace strata
