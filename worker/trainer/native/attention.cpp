// Attention of bf16 numbers on CPUs, for training: with libtorch's operations half of its time goes into copies and passes
// over small tables.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "guarded.h"
#include "tiles/tiles.h"

// Of src/native/attention/rows.rs, which says what each does.
extern "C" {
void trainer_attention_weights(const at::BFloat16 *scores, const float *bias, const uint8_t *kept, size_t rows, size_t keys,
                               float size, float scale, float *weights, at::BFloat16 *left);
void trainer_attention_back(at::BFloat16 *gradient, const float *weights, const uint8_t *kept, size_t rows, size_t keys,
                            float size, float scale, at::BFloat16 *left);
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

using Bf16 = at::BFloat16;

// Most heads are of 32 or 64 values: lines of the cache, which are copied without a call.
void copy(Bf16 *to, const Bf16 *from, int64_t count) {
  constexpr int64_t LINE = 32;
  if (count % LINE)
    return static_cast<void>(std::memcpy(to, from, static_cast<size_t>(count) * sizeof(Bf16)));
  for (int64_t i = 0; i < count; i += LINE)
    std::memcpy(to + i, from + i, LINE * sizeof(Bf16));
}

// `[rows, tokens, heads * size]` as `[rows * heads, length, size]`, of zeros behind the tokens.
at::Tensor by_heads(const at::Tensor &given, int64_t heads, int64_t length) {
  auto x = given.stride(2) == 1 ? given : given.contiguous();
  int64_t rows = x.size(0), tokens = x.size(1), size = x.size(2) / heads;
  auto out = at::empty({rows * heads, length, size}, x.options());
  auto *to = out.mutable_data_ptr<Bf16>();
  auto *from = x.const_data_ptr<Bf16>();
  auto of_row = x.stride(0), of_token = x.stride(1);
  at::parallel_for(0, rows * heads, heads, [&](int64_t first, int64_t end) {
    for (int64_t at = first; at < end; at++) {
      auto *source = from + at / heads * of_row + at % heads * size;
      auto *target = to + at * length * size;
      for (int64_t token = 0; token < tokens; token++)
        copy(target + token * size, source + token * of_token, size);
      std::memset(static_cast<void *>(target + tokens * size), 0, static_cast<size_t>((length - tokens) * size) * sizeof(Bf16));
    }
  });
  return out;
}

// The way back: `[rows * heads, length, size]` as `[rows, tokens, heads * size]`.
at::Tensor by_tokens(const at::Tensor &given, int64_t heads, int64_t tokens) {
  auto x = given.contiguous();
  int64_t rows = x.size(0) / heads, length = x.size(1), size = x.size(2);
  auto out = at::empty({rows, tokens, heads * size}, x.options());
  auto *to = out.mutable_data_ptr<Bf16>();
  auto *from = x.const_data_ptr<Bf16>();
  at::parallel_for(0, rows * heads, heads, [&](int64_t first, int64_t end) {
    for (int64_t at = first; at < end; at++) {
      auto *target = to + at / heads * tokens * heads * size + at % heads * size;
      auto *source = from + at * length * size;
      for (int64_t token = 0; token < tokens; token++)
        copy(target + token * heads * size, source + token * size, size);
    }
  });
  return out;
}

struct Attend : Function<Attend> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                            int64_t heads, const at::Tensor &bias, const std::optional<at::Tensor> &maybe_mask,
                            double scale) {
    auto mask = maybe_mask.value_or(at::Tensor());
    int64_t rows = query.size(0), keys = bias.size(1);
    auto q = by_heads(query, heads, query.size(1)), k = by_heads(key, heads, keys), v = by_heads(value, heads, keys);
    auto scores = at::bmm(q, k.transpose(1, 2));
    auto weights = at::empty(scores.sizes(), scores.options().dtype(at::kFloat));
    auto left = at::empty_like(scores);
    auto *kept = mask.defined() ? mask.const_data_ptr<uint8_t>() : nullptr;
    auto *numbers = scores.const_data_ptr<Bf16>();
    auto *added = bias.const_data_ptr<float>();
    auto *to = weights.mutable_data_ptr<float>();
    auto *rest = left.mutable_data_ptr<Bf16>();
    auto of_row = heads * q.size(1) * keys;
    at::parallel_for(0, rows, 1, [&](int64_t first, int64_t end) {
      for (int64_t row = first; row < end; row++)
        trainer_attention_weights(numbers + row * of_row, added + row * keys, kept ? kept + row * of_row : nullptr,
                                  static_cast<size_t>(heads * q.size(1)), static_cast<size_t>(keys),
                                  static_cast<float>(q.size(2)), static_cast<float>(scale), to + row * of_row,
                                  rest + row * of_row);
    });
    context->save_for_backward({q, k, v, weights, mask});
    context->saved_data["heads"] = heads;
    context->saved_data["tokens"] = key.size(1);
    context->saved_data["scale"] = scale;
    return by_tokens(at::bmm(left, v), heads, q.size(1));
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    auto saved = context->get_saved_variables();
    auto &q = saved[0], &k = saved[1], &v = saved[2], &weights = saved[3], &mask = saved[4];
    auto heads = context->saved_data["heads"].toInt(), tokens = context->saved_data["tokens"].toInt();
    auto scale = static_cast<float>(context->saved_data["scale"].toDouble());
    auto gradient = by_heads(gradients[0], heads, q.size(1));
    auto of_scores = at::bmm(gradient, v.transpose(1, 2));
    auto left = at::empty_like(of_scores);
    auto *kept = mask.defined() ? mask.const_data_ptr<uint8_t>() : nullptr;
    auto *changed = of_scores.mutable_data_ptr<Bf16>();
    auto *numbers = weights.const_data_ptr<float>();
    auto *rest = left.mutable_data_ptr<Bf16>();
    auto queries = q.size(1), keys = k.size(1);
    at::parallel_for(0, q.size(0), heads, [&](int64_t first, int64_t end) {
      // One text at a time: what lies between two passes stays in the cache.
      for (; first < end; first += heads) {
        auto from = first * queries * keys;
        auto count = std::min(heads, end - first) * queries;
        trainer_attention_back(changed + from, numbers + from, kept ? kept + from : nullptr, static_cast<size_t>(count),
                               static_cast<size_t>(keys), static_cast<float>(q.size(2)), scale, rest + from);
      }
    });
    auto of_value = at::bmm(left.transpose(1, 2), gradient);
    auto of_query = at::bmm(of_scores, k);
    auto of_key = at::bmm(of_scores.transpose(1, 2), q);
    return {by_tokens(of_query, heads, queries), by_tokens(of_key, heads, tokens), by_tokens(of_value, heads, tokens), {}, {},
            {}, {}};
  }
};

uint16_t *bits(Bf16 *numbers) { return reinterpret_cast<uint16_t *>(numbers); }
const uint16_t *bits(const Bf16 *numbers) { return reinterpret_cast<const uint16_t *>(numbers); }

// Of `[rows, tokens, heads * size]` with numbers side by side: where a head begins.
template <typename T> T *head_of(T *numbers, const at::Tensor &x, int64_t number, int64_t heads) {
  return numbers + number / heads * x.stride(0) + number % heads * (x.size(2) / heads);
}

// What attention in tiles computes with.
struct Tables {
  at::Tensor query, key, value, bias, mask, out, softmax;
  int64_t heads;
  double scale;

  TilesHead at(int64_t number) const {
    auto queries = query.size(1), keys = bias.size(1), size = query.size(2) / heads;
    TilesHead head{};
    head.query = head_of(bits(query.const_data_ptr<Bf16>()), query, number, heads);
    head.key = head_of(bits(key.const_data_ptr<Bf16>()), key, number, heads);
    head.value = head_of(bits(value.const_data_ptr<Bf16>()), value, number, heads);
    head.query_stride = query.stride(1), head.key_stride = key.stride(1), head.value_stride = value.stride(1);
    head.queries = queries, head.tokens = key.size(1), head.keys = keys, head.size = size;
    head.bias = bias.const_data_ptr<float>() + number / heads * keys;
    head.kept = mask.defined() ? mask.const_data_ptr<uint8_t>() + number * queries * keys : nullptr;
    head.scale = static_cast<float>(scale);
    head.by = 1.0f / std::sqrt(static_cast<float>(size));
    if (out.defined()) {
      head.out = head_of(bits(out.mutable_data_ptr<Bf16>()), out, number, heads);
      head.out_stride = out.stride(1);
    }
    head.softmax = softmax.mutable_data_ptr<float>() + number * queries * 2;
    return head;
  }

  // `work` with some heads, of which each thread has its part, the number of the first and room for one.
  template <typename F> void for_each(F work) const {
    auto bytes = trainer_tiles_room(query.size(1), bias.size(1), query.size(2) / heads);
    auto rooms = at::empty({at::get_num_threads(), (bytes + 63) / 64 * 64}, query.options().dtype(at::kByte));
    auto *room = reinterpret_cast<char *>(rooms.mutable_data_ptr<uint8_t>());
    at::parallel_for(0, query.size(0) * heads, heads, [&](int64_t first, int64_t end) {
      std::vector<TilesHead> some;
      for (auto number = first; number < end; number++)
        some.push_back(at(number));
      work(some, first, room + at::get_thread_num() * rooms.stride(0));
    });
  }
};

at::Tensor side_by_side(const at::Tensor &x) { return x.stride(2) == 1 ? x : x.contiguous(); }

// The same attention where each head is computed at once in the tiles of AMX: no table is kept, and none is ever in memory.
struct AttendInTiles : Function<AttendInTiles> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                            int64_t heads, const at::Tensor &bias, const std::optional<at::Tensor> &maybe_mask,
                            double scale) {
    auto out = at::empty(query.sizes(), query.options());
    auto softmax = at::empty({query.size(0), heads, query.size(1), 2}, query.options().dtype(at::kFloat));
    Tables tables{side_by_side(query), side_by_side(key), side_by_side(value), bias, maybe_mask.value_or(at::Tensor()), out,
                  softmax, heads, scale};
    tables.for_each([](const std::vector<TilesHead> &some, int64_t, char *room) {
      trainer_tiles_forward(some.data(), static_cast<int64_t>(some.size()), room);
    });
    context->save_for_backward({query, key, value, bias, tables.mask, softmax});
    context->saved_data["heads"] = heads;
    context->saved_data["scale"] = scale;
    return out;
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    auto saved = context->get_saved_variables();
    auto heads = context->saved_data["heads"].toInt();
    Tables tables{side_by_side(saved[0]), side_by_side(saved[1]), side_by_side(saved[2]), saved[3], saved[4], {}, saved[5],
                  heads, context->saved_data["scale"].toDouble()};
    auto given = side_by_side(gradients[0]);
    auto of_query = at::empty(saved[0].sizes(), given.options()), of_key = at::empty(saved[1].sizes(), given.options()),
         of_value = at::empty(saved[2].sizes(), given.options());
    tables.for_each([&](const std::vector<TilesHead> &some, int64_t first, char *room) {
      std::vector<TilesGradients> to;
      for (auto number = first; number < first + static_cast<int64_t>(some.size()); number++) {
        TilesGradients one{};
        one.gradient = head_of(bits(given.const_data_ptr<Bf16>()), given, number, heads);
        one.query = head_of(bits(of_query.mutable_data_ptr<Bf16>()), of_query, number, heads);
        one.key = head_of(bits(of_key.mutable_data_ptr<Bf16>()), of_key, number, heads);
        one.value = head_of(bits(of_value.mutable_data_ptr<Bf16>()), of_value, number, heads);
        one.gradient_stride = given.stride(1), one.query_stride = of_query.stride(1);
        one.key_stride = of_key.stride(1), one.value_stride = of_value.stride(1);
        to.push_back(one);
      }
      trainer_tiles_backward(some.data(), to.data(), static_cast<int64_t>(some.size()), room);
    });
    return {of_query, of_key, of_value, {}, {}, {}, {}};
  }
};

} // namespace

extern "C" {

// Attention of bf16 `query`, `key` and `value` `[rows, tokens, hidden]` in `heads` parts. `bias` is fp32 `[rows, keys]`, of
// as many keys as tables shall have, with the smallest number behind the tokens; `mask` is `[rows, heads, queries, keys]` or
// null. `in_tiles` asks for those of AMX, which take parts of a multiple of 32 numbers.
char *trainer_attend(tensor query, tensor key, tensor value, int64_t heads, tensor bias, tensor mask, double scale,
                     bool in_tiles, tensor *out) {
  return guarded([&] {
    auto maybe_mask = mask ? std::optional(*mask) : std::nullopt;
    auto attended = in_tiles ? AttendInTiles::apply(*query, *key, *value, heads, *bias, maybe_mask, scale)
                             : Attend::apply(*query, *key, *value, heads, *bias, maybe_mask, scale);
    *out = new at::Tensor(attended);
  });
}
}
