#include "binding/questions.h"

#include "binding/arguments.h"
#include "core/error.h"

namespace strata::binding {
namespace {

Question question(const Napi::Object& fields) {
  Question question;
  question.sequences = int32_array(fields.Get("sequences"), "sequences");
  const std::string kind = string_field(fields, "kind");
  if (kind == "vectors") {
    question.asked = VectorsQuestion{integer_field(fields, "layer"), pooling(string_field(fields, "pooling")),
                                     boolean_field(fields, "normalize", false)};
  } else if (kind == "states") {
    const auto layers = int32_array(fields.Get("layers"), "layers");
    question.asked = StatesQuestion{{layers.begin(), layers.end()}};
  } else if (kind == "scores") {
    const std::string head = string_field(fields, "head");
    const Napi::Value labels = fields.Get("labels");
    if (!labels.IsObject()) fail("BAD_ARGUMENT", "labels of head '", head, "' are missing; an object was expected");
    question.asked = ScoresQuestion{head, head_labels(labels.As<Napi::Object>(), head)};
  } else if (kind == "masks") {
    MasksQuestion masks{string_field(fields, "head"), int32_array(fields.Get("positions"), "positions"), integer_field(fields, "topK"), {}};
    if (!fields.Get("layer").IsUndefined()) masks.layer = integer_field(fields, "layer");
    question.asked = std::move(masks);
  } else {
    fail("BAD_ARGUMENT", "kind of a question is '", kind, "'; vectors, states, scores or masks was expected");
  }
  return question;
}

}  // namespace

std::vector<Question> questions(const Napi::Value& value) {
  if (!value.IsArray()) fail("BAD_ARGUMENT", "questions is no array; a list of questions was expected");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<Question> questions;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsObject()) fail("BAD_ARGUMENT", "questions[", i, "] is no object; a question was expected");
    questions.push_back(question(item.As<Napi::Object>()));
  }
  return questions;
}

Napi::Value answer_lists(Napi::Env env, const std::vector<Answer>& answers) {
  const Napi::Array lists = Napi::Array::New(env, answers.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    const Napi::Array list = Napi::Array::New(env, answers[i].size());
    for (size_t j = 0; j < answers[i].size(); ++j) list.Set(static_cast<uint32_t>(j), shaped(env, answers[i][j]));
    lists.Set(static_cast<uint32_t>(i), list);
  }
  return lists;
}

}  // namespace strata::binding
