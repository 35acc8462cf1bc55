#pragma once
// Questions of several kinds about one batch (core/inference/questions.h), from JavaScript and back.
#include "core/inference/questions.h"

#include <napi.h>

#include <vector>

namespace strata::binding {

// [{ sequences, kind, … }]; lib/model/model-types.ts has the kinds. Throws BAD_ARGUMENT.
std::vector<Question> questions(const Napi::Value& value);

// [[{ shape, values }]]
Napi::Value answer_lists(Napi::Env env, const std::vector<Answer>& answers);

}  // namespace strata::binding
