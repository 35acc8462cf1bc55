#pragma once
// What the other files here share: Windows' own text and error numbers.
#include <string>

namespace strata::platform {

// UTF-8 → an absolute path in UTF-16 with backslashes; one that is too long for the old limit in the form that has none.
std::wstring wide_path(const std::string& path);
// errno for GetLastError(), as the C library would choose it.
void set_errno();
// The system's words for an error number, with the number.
std::string error_words(unsigned long number);

}  // namespace strata::platform
