#include "core/probing/mlp_probe.h"

#include "core/error.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "core/probing/layer_rows.h"
#include "core/probing/softmax_gradient.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace strata {
namespace {

// A parameter of all problems, (P, …), with its moments.
struct Stacked {
  at::Tensor value, first, second;
  explicit Stacked(at::Tensor initial) : value(std::move(initial)), first(at::zeros_like(value)), second(at::zeros_like(value)) {}
  void keep(const at::Tensor& problems) {
    value = value.index_select(0, problems);
    first = first.index_select(0, problems);
    second = second.index_select(0, problems);
  }
};

// torch.optim.Adam with weight_decay = l2 of each problem.
void adam(Stacked& parameter, const at::Tensor& gradient, const std::vector<double>& l2, double rate, int64_t step) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999;
  const at::Tensor contiguous = gradient.contiguous();
  const float* g = contiguous.const_data_ptr<float>();
  float *w = parameter.value.mutable_data_ptr<float>(), *m = parameter.first.mutable_data_ptr<float>(), *v = parameter.second.mutable_data_ptr<float>();
  const auto step_size = static_cast<float>(rate / (1 - std::pow(kBeta1, step)));
  const auto correction = static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, step)));
  const int64_t size = parameter.value.numel() / parameter.value.size(0);
  parallel_for(parameter.value.size(0), 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const auto decay = static_cast<float>(l2[static_cast<size_t>(p)]);
      for (int64_t i = p * size; i < (p + 1) * size; ++i) {
        const float pulled = g[i] + decay * w[i];
        m[i] += 0.1f * (pulled - m[i]);
        v[i] = 0.999f * v[i] + 0.001f * pulled * pulled;
        w[i] -= step_size * m[i] / (std::sqrt(v[i]) * correction + 1e-8f);
      }
    }
  });
}

// Uniform within ±1/√inputs, as torch.nn.Linear draws; the same for every problem, as SentEval seeds each classifier alike.
at::Tensor drawn(at::IntArrayRef shape, int64_t inputs, uint64_t seed, uint64_t number) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* out = tensor.mutable_data_ptr<float>();
  const PhiloxKey key = philox_key(seed, name_hash("probe.mlp"), number);
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  for (int64_t i = 0; i < tensor.numel(); ++i)
    out[i] = static_cast<float>(bound * ((philox4x32(key, static_cast<uint64_t>(i))[0] + 0.5) * 0x1p-31 - 1));
  return tensor;
}

std::vector<int64_t> shuffled(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  const PhiloxKey key = philox_key(seed, name_hash("probe.order"), static_cast<uint64_t>(epoch));
  for (int64_t i = count - 1; i > 0; --i) {
    const auto bits = philox4x32(key, static_cast<uint64_t>(i));
    const uint64_t wide = static_cast<uint64_t>(bits[0]) << 32 | bits[1];
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(wide % static_cast<uint64_t>(i + 1))]);
  }
  return order;
}

at::Tensor index_of(const std::vector<int64_t>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
  return tensor;
}

struct Forward {
  at::Tensor input, hidden, scores;  // (P, B, H), (P, B, M), (P, B, C)
  at::Tensor shares;                 // (P', J) softmax(w) of the mixes
};

// The classifiers that are still under way. Those on a mix come last.
class Group {
 public:
  Group(const MlpSettings& settings, int64_t width, const std::vector<int64_t>& layer_places, const std::vector<int64_t>& mix_places)
      : w1(at::empty({0})), b1(at::empty({0})), w2(at::empty({0})), b2(at::empty({0})), mix(at::empty({0})), gamma(at::empty({0})),
        mix_places_(index_of(mix_places)) {
    const auto strengths = static_cast<int64_t>(settings.l2.size());
    const int64_t plain = static_cast<int64_t>(layer_places.size()) * strengths, mixes = mix_places.empty() ? 0 : strengths;
    std::vector<at::Tensor> start = settings.start;
    if (start.empty())
      start = {drawn({settings.hidden, width}, width, settings.seed, 1), drawn({settings.hidden}, width, settings.seed, 2),
               drawn({settings.classes, settings.hidden}, settings.hidden, settings.seed, 3), drawn({settings.classes}, settings.hidden, settings.seed, 4)};
    const int64_t count = plain + mixes;
    const auto repeated = [&](const at::Tensor& one) { return Stacked(one.unsqueeze(0).repeat({count, 1, 1})); };
    w1 = repeated(start[0].view({settings.hidden, width}).t());
    b1 = repeated(start[1].view({1, settings.hidden}));
    w2 = repeated(start[2].view({settings.classes, settings.hidden}).t());
    b2 = repeated(start[3].view({1, settings.classes}));
    mix = Stacked(at::zeros({mixes, mix_places_.size(0)}));
    gamma = Stacked(at::ones({mixes, 1}));
    for (const int64_t place : layer_places)
      for (int64_t k = 0; k < strengths; ++k) layers_.push_back(place), l2.push_back(settings.l2[static_cast<size_t>(k)]);
    for (int64_t k = 0; k < mixes; ++k) layers_.push_back(-1), l2.push_back(settings.l2[static_cast<size_t>(k)]);
    for (int64_t p = 0; p < count; ++p) numbers.push_back(p);
    place();
  }

  Forward forward(const at::Tensor& rows_LBH) const {
    Forward pass;
    const int64_t batch = rows_LBH.size(1), width = rows_LBH.size(2);
    if (plain_ > 0) pass.input = rows_LBH.index_select(0, plain_index_);
    if (mixes() > 0) {
      pass.shares = at::softmax(mix.value, 1);
      const at::Tensor rows = rows_LBH.index_select(0, mix_places_).reshape({mix_places_.size(0), batch * width});
      const at::Tensor mixed = at::mm(pass.shares * gamma.value, rows).view({mixes(), batch, width});
      pass.input = plain_ > 0 ? at::cat({pass.input, mixed}) : mixed;
    }
    pass.hidden = at::sigmoid(at::baddbmm(b1.value, pass.input, w1.value));
    pass.scores = at::baddbmm(b2.value, pass.hidden, w2.value);
    return pass;
  }

  // One update from a batch.
  void step(const at::Tensor& rows_LBH, const std::vector<int32_t>& labels, const MlpSettings& settings, int64_t number) {
    const Forward pass = forward(rows_LBH);
    const int64_t batch = rows_LBH.size(1), width = rows_LBH.size(2), count = problems();
    std::vector<double> losses(1);
    std::vector<int32_t> repeated;
    for (int64_t p = 0; p < count; ++p) repeated.insert(repeated.end(), labels.begin(), labels.end());
    const at::Tensor ds = softmax_gradient(pass.scores.view({count * batch, settings.classes}), repeated.data(), 1, settings.classes, losses.data())
                              .div_(static_cast<double>(batch))
                              .view({count, batch, settings.classes});
    const at::Tensor dw2 = at::bmm(pass.hidden.transpose(1, 2), ds), db2 = ds.sum(1, true);
    const at::Tensor da = at::bmm(ds, w2.value.transpose(1, 2)).mul_(pass.hidden).mul_(1 - pass.hidden);
    const at::Tensor dw1 = at::bmm(pass.input.transpose(1, 2), da), db1 = da.sum(1, true);
    if (mixes() > 0) {
      const at::Tensor flowing = at::bmm(da.narrow(0, plain_, mixes()), w1.value.narrow(0, plain_, mixes()).transpose(1, 2)).reshape({mixes(), batch * width});
      const at::Tensor rows = rows_LBH.index_select(0, mix_places_).view({mix_places_.size(0), batch * width});
      const at::Tensor pulls = at::mm(flowing, rows.t());  // dLoss / d(γ s)
      const at::Tensor weighted = pass.shares * pulls, sum = weighted.sum(1, true);
      const std::vector<double> none(static_cast<size_t>(mixes()), 0);  // no penalty: it would pull towards the plain average and γ = 0
      const at::Tensor dmix = (weighted - pass.shares * sum) * gamma.value;
      adam(mix, dmix, none, settings.learning_rate, number);
      adam(gamma, sum, none, settings.learning_rate, number);
    }
    adam(w1, dw1, l2, settings.learning_rate, number);
    adam(b1, db1, l2, settings.learning_rate, number);
    adam(w2, dw2, l2, settings.learning_rate, number);
    adam(b2, db2, l2, settings.learning_rate, number);
  }

  // Goes on with these of its problems only.
  void keep(const std::vector<int64_t>& kept) {
    std::vector<int64_t> kept_mixes, kept_layers, kept_numbers;
    std::vector<double> kept_l2;
    for (const int64_t p : kept) {
      const auto i = static_cast<size_t>(p);
      kept_layers.push_back(layers_[i]);
      kept_l2.push_back(l2[i]);
      kept_numbers.push_back(numbers[i]);
      if (p >= plain_) kept_mixes.push_back(p - plain_);
    }
    const at::Tensor index = index_of(kept), mix_index = index_of(kept_mixes);
    for (Stacked* stacked : {&w1, &b1, &w2, &b2}) stacked->keep(index);
    mix.keep(mix_index);
    gamma.keep(mix_index);
    layers_ = kept_layers;
    l2 = kept_l2;
    numbers = kept_numbers;
    place();
  }

  // The weights of one problem: (M, H), (M), (C, M), (C), and of a mix w (J) and γ (1).
  std::vector<at::Tensor> weights(int64_t problem) const {
    std::vector<at::Tensor> parts;
    for (const Stacked* stacked : {&w1, &b1, &w2, &b2}) parts.push_back(stacked->value.select(0, problem).clone());
    if (problem >= plain_) {
      parts.push_back(mix.value.select(0, problem - plain_).clone());
      parts.push_back(gamma.value.select(0, problem - plain_).clone());
    }
    return parts;
  }

  int64_t problems() const { return static_cast<int64_t>(layers_.size()); }

  Stacked w1, b1, w2, b2, mix, gamma;
  std::vector<double> l2;
  std::vector<int64_t> numbers;  // which problem of the whole each is

 private:
  int64_t mixes() const { return problems() - plain_; }
  void place() {
    plain_ = std::find(layers_.begin(), layers_.end(), -1) - layers_.begin();
    plain_index_ = index_of({layers_.begin(), layers_.begin() + plain_});
  }

  std::vector<int64_t> layers_;  // of each problem, its place among the gathered layers; -1 for a mix
  int64_t plain_ = 0;
  at::Tensor plain_index_, mix_places_;
};

constexpr int64_t kRowsAtOnce = 512;

// Right answers of every problem under way.
std::vector<int64_t> right_on(const Group& group, const LayerRows& examples, const std::vector<int32_t>& labels) {
  std::vector<int64_t> right(static_cast<size_t>(group.problems()), 0);
  for (int64_t start = 0; start < examples.count(); start += kRowsAtOnce) {
    const at::Tensor scores = group.forward(examples.block(start, std::min(kRowsAtOnce, examples.count() - start))).scores;
    for (size_t p = 0; p < right.size(); ++p) right[p] += count_right(scores.select(0, static_cast<int64_t>(p)), labels.data() + start);
  }
  return right;
}

// Scores of one problem with kept weights, (N, C).
at::Tensor scores_with(const std::vector<at::Tensor>& weights, const at::Tensor& rows_NH) {
  return at::addmm(weights[3], at::sigmoid(at::addmm(weights[1], rows_NH, weights[0])), weights[2]);
}

void check(const MlpSettings& settings, const ProbeExamples& examples, const std::vector<int64_t>& layers, const std::vector<int64_t>& mixed, int64_t width) {
  if (layers.empty() && mixed.empty()) fail("BAD_ARGUMENT", "neither layers nor mixed layers were given; at least one was expected");
  if (settings.l2.empty()) fail("BAD_ARGUMENT", "l2 is empty; at least one strength was expected");
  for (const double strength : settings.l2)
    if (!(strength >= 0 && strength <= 1e6)) fail("BAD_ARGUMENT", "l2 holds ", strength, "; numbers of at least 0 (at most 1e6) were expected");
  const std::pair<const char*, int64_t> counts[] = {{"hidden", settings.hidden}, {"batchSize", settings.batch_size}, {"epochSize", settings.epoch_size},
                                                    {"maxEpochs", settings.max_epochs}};
  for (const auto& [name, value] : counts)
    if (value < 1 || value > 1 << 20) fail("BAD_ARGUMENT", name, " is ", value, "; a whole number of at least 1 was expected");
  if (settings.tenacity < 0) fail("BAD_ARGUMENT", "tenacity is ", settings.tenacity, "; 0 or more was expected");
  if (!(settings.learning_rate > 0)) fail("BAD_ARGUMENT", "learningRate is ", settings.learning_rate, "; a number above 0 was expected");
  if (!settings.start.empty()) {
    const int64_t sizes[] = {settings.hidden * width, settings.hidden, settings.classes * settings.hidden, settings.classes};
    for (size_t i = 0; i < 4; ++i)
      if (settings.start.size() != 4 || settings.start[i].numel() != sizes[i])
        fail("BAD_ARGUMENT", "start must hold four lists of ", sizes[0], ", ", sizes[1], ", ", sizes[2], " and ", sizes[3], " numbers");
  }
  const auto needed = static_cast<size_t>(examples.train.count() * settings.max_epochs);
  if (!settings.orders.empty() && settings.orders.size() < needed)
    fail("BAD_ARGUMENT", "orders has ", settings.orders.size(), " entries; maxEpochs times ", examples.train.count(), " were expected");
  for (const int32_t place : settings.orders)
    if (place < 0 || place >= examples.train.count()) fail("BAD_ARGUMENT", "orders holds ", place, "; 0 to ", examples.train.count() - 1, " was expected");
}

struct Progress {
  int64_t dev_right = -1;
  int64_t epochs = 0;
  int64_t misses = 0;
  std::vector<at::Tensor> weights;
};

}  // namespace

std::vector<MlpResult> fit_mlp(const ProbeFeatures& features, const ProbeExamples& examples, const std::vector<int64_t>& layers,
                               const std::vector<int64_t>& mixed, const MlpSettings& settings) {
  check_examples(examples, features.units(), settings.classes);
  const int64_t width = features.width() * examples.parts;
  check(settings, examples, layers, mixed, width);
  // Every layer that is read, once.
  std::vector<int64_t> gathered;
  const auto place_of = [&](int64_t layer) {
    const auto found = std::find(gathered.begin(), gathered.end(), layer);
    if (found != gathered.end()) return static_cast<int64_t>(found - gathered.begin());
    gathered.push_back(layer);
    return static_cast<int64_t>(gathered.size()) - 1;
  };
  std::vector<int64_t> layer_places, mix_places;
  for (const int64_t layer : layers) layer_places.push_back(place_of(layer));
  for (const int64_t layer : mixed) mix_places.push_back(place_of(layer));
  const LayerRows train(features, examples.train, examples.parts, gathered, settings.held_bytes);
  const LayerRows dev(features, examples.dev, examples.parts, gathered, settings.held_bytes);

  Group group(settings, width, layer_places, mix_places);
  std::vector<Progress> progress(static_cast<size_t>(group.problems()));
  const int64_t count = examples.train.count();
  int64_t steps = 0;
  for (int64_t epoch = 0; group.problems() > 0;) {
    for (int64_t end = std::min(epoch + settings.epoch_size, settings.max_epochs); epoch < end; ++epoch) {
      std::vector<int64_t> order;
      if (settings.orders.empty()) {
        order = shuffled(count, settings.seed, epoch);
      } else {
        order.assign(settings.orders.begin() + epoch * count, settings.orders.begin() + (epoch + 1) * count);
      }
      for (int64_t start = 0; start < count; start += settings.batch_size) {
        const std::vector<int64_t> chosen(order.begin() + start, order.begin() + std::min(count, start + settings.batch_size));
        std::vector<int32_t> labels;
        for (const int64_t i : chosen) labels.push_back(examples.train.labels[static_cast<size_t>(i)]);
        group.step(train.chosen(chosen), labels, settings, ++steps);
      }
    }
    const std::vector<int64_t> rights = right_on(group, dev, examples.dev.labels);
    std::vector<int64_t> kept;
    for (int64_t p = 0; p < group.problems(); ++p) {
      Progress& own = progress[static_cast<size_t>(group.numbers[static_cast<size_t>(p)])];
      const int64_t right = rights[static_cast<size_t>(p)];
      bool stops = false;
      if (right > own.dev_right) {
        own = {right, epoch, own.misses, group.weights(p)};
      } else {
        stops = own.misses++ >= settings.tenacity;
      }
      if (!stops && epoch < settings.max_epochs) kept.push_back(p);
    }
    if (static_cast<int64_t>(kept.size()) < group.problems()) group.keep(kept);
  }

  std::vector<MlpResult> results;
  const size_t strengths = settings.l2.size();
  for (size_t first = 0; first < progress.size(); first += strengths) {
    MlpResult result;
    for (size_t k = 0; k < strengths; ++k) {
      const Progress& own = progress[first + k];
      result.grid.push_back({settings.l2[k], static_cast<double>(own.dev_right) / static_cast<double>(examples.dev.count()), own.epochs});
      // Of equals the first, as SentEval's argmax over ascending strengths.
      if (own.dev_right > progress[first + result.best].dev_right) result.best = k;
    }
    const std::vector<at::Tensor>& weights = progress[first + result.best].weights;
    const size_t row = first / strengths;
    std::vector<int64_t> read = mixed;
    if (row < layers.size()) {
      read = {layers[row]};
    } else {
      const at::Tensor soft = at::softmax(weights[4].to(at::kDouble), 0);
      result.shares = {soft.const_data_ptr<double>(), soft.const_data_ptr<double>() + soft.numel()};
      result.gamma = weights[5].item<double>();
    }
    const LayerRows test(features, examples.test, examples.parts, read, settings.held_bytes);
    result.predictions.resize(examples.test.labels.size());
    for (int64_t start = 0; start < test.count(); start += kRowsAtOnce) {
      const at::Tensor rows_JnH = test.block(start, std::min(kRowsAtOnce, test.count() - start));
      at::Tensor rows_nH = rows_JnH[0];
      if (!result.shares.empty()) rows_nH = rows_nH * (result.gamma * result.shares[0]);
      for (size_t j = 1; j < result.shares.size(); ++j) rows_nH.add_(rows_JnH[static_cast<int64_t>(j)], result.gamma * result.shares[j]);
      result.test_right += count_right(scores_with(weights, rows_nH), examples.test.labels.data() + start, result.predictions.data() + start);
    }
    if (settings.keep_weights)
      result.weights = {weights[0].t().contiguous(), weights[1].flatten(), weights[2].t().contiguous(), weights[3].flatten()};
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace strata
