// Operations that keep less for the way back than those of libtorch, and give the same bits: dropout keeps a byte a value,
// attention its weights once, and a linear layer behind GELU computes GELU again. That layer alone has other bits in bf16,
// where GELU is our own and products may be in tiles.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "guarded.h"
#include "linear.h"

// Of src/native/loops.rs, which says what each does.
extern "C" {
void trainer_scale_floats(float *out, const float *x, const uint8_t *kept, size_t count, float by);
void trainer_scale_bf16(at::BFloat16 *out, const at::BFloat16 *x, const uint8_t *kept, size_t count, float by);
void trainer_gelu_bf16(at::BFloat16 *out, const at::BFloat16 *x, size_t count);
void trainer_gelu_both_ways_bf16(at::BFloat16 *out, at::BFloat16 *gradient, const at::BFloat16 *x, size_t count);
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

void scale(float *out, const float *x, const uint8_t *kept, int64_t count, float by) {
  trainer_scale_floats(out, x, kept, static_cast<size_t>(count), by);
}

void scale(at::BFloat16 *out, const at::BFloat16 *x, const uint8_t *kept, int64_t count, float by) {
  trainer_scale_bf16(out, x, kept, static_cast<size_t>(count), by);
}

// The values times `by` where the byte of the mask is 1, and times 0 where it is 0. The threads are libtorch's own, which its
// iterator has.
template <typename T> void scale_all(at::TensorIterator &iterator, float by) {
  iterator.for_each([by](char **data, const int64_t *strides, int64_t count) {
    bool dense = strides[0] == sizeof(T) && strides[1] == sizeof(T) && strides[2] == 1;
    auto *out = reinterpret_cast<T *>(data[0]);
    auto *x = reinterpret_cast<const T *>(data[1]);
    auto *kept = reinterpret_cast<const uint8_t *>(data[2]);
    if (dense)
      return scale(out, x, kept, count, by);
    for (int64_t i = 0; i < count; i++)
      scale(reinterpret_cast<T *>(data[0] + i * strides[0]), reinterpret_cast<const T *>(data[1] + i * strides[1]),
            kept + i * strides[2], 1, by);
  });
}

at::Tensor dropped(const at::Tensor &x, const at::Tensor &mask, double scale) {
  at::Tensor out;
  auto iterator = at::TensorIteratorConfig()
                      .check_all_same_dtype(false)
                      .declare_static_dtype(x.scalar_type())
                      .add_output(out)
                      .add_const_input(x)
                      .add_const_input(mask)
                      .build();
  switch (x.scalar_type()) {
  case at::kFloat:
    scale_all<float>(iterator, static_cast<float>(scale));
    break;
  case at::kBFloat16:
    scale_all<at::BFloat16>(iterator, static_cast<float>(scale));
    break;
  default:
    throw std::runtime_error("dropout of neither fp32 nor bf16");
  }
  return iterator.output();
}

struct Dropout : Function<Dropout> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &mask, double scale) {
    context->save_for_backward({mask});
    context->saved_data["scale"] = scale;
    return dropped(x, mask, scale);
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    auto mask = context->get_saved_variables()[0];
    return {dropped(gradients[0], mask, context->saved_data["scale"].toDouble()), {}, {}};
  }
};

// As `at::matmul` does it with tables of four dimensions, so that the bits are the same.
at::Tensor flat(const at::Tensor &x) { return x.reshape({-1, x.size(-2), x.size(-1)}); }

struct Mix : Function<Mix> {
  // What `weights` leave after dropout, as `value` has its numbers.
  static at::Tensor left(const at::Tensor &weights, const at::Tensor &mask, double scale, const at::Tensor &value) {
    return flat((mask.defined() ? dropped(weights, mask, scale) : weights).to(value.scalar_type()));
  }

  static at::Tensor forward(AutogradContext *context, const at::Tensor &weights,
                            const std::optional<at::Tensor> &maybe_mask, double scale, const at::Tensor &value) {
    auto mask = maybe_mask.value_or(at::Tensor());
    auto values = flat(value);
    context->save_for_backward({weights, mask, values});
    context->saved_data["scale"] = scale;
    auto sizes = weights.sizes().vec();
    sizes.back() = value.size(-1);
    context->saved_data["sizes"] = value.sizes().vec();
    return at::_unsafe_view(at::bmm(left(weights, mask, scale, value), values), sizes);
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    auto saved = context->get_saved_variables();
    auto &weights = saved[0], &mask = saved[1], &values = saved[2];
    auto scale = context->saved_data["scale"].toDouble();
    auto gradient = flat(gradients[0]);
    auto of_value = at::bmm(left(weights, mask, scale, values).transpose(1, 2), gradient)
                        .view(context->saved_data["sizes"].toIntVector());
    auto of_weights = at::bmm(gradient, values.transpose(1, 2)).to(weights.scalar_type()).view(weights.sizes());
    if (mask.defined())
      of_weights = dropped(of_weights, mask, scale);
    return {of_weights, {}, {}, of_value};
  }
};

constexpr int64_t A_THREADS_SHARE = 1 << 15;

// GELU of a contiguous tensor of bf16: in one pass, and faster than libtorch's, which takes care of digits that bf16 has not.
at::Tensor gelu_of(const at::Tensor &x) {
  auto out = at::empty_like(x);
  auto *to = out.mutable_data_ptr<at::BFloat16>();
  auto *from = x.const_data_ptr<at::BFloat16>();
  at::parallel_for(0, x.numel(), A_THREADS_SHARE, [&](int64_t first, int64_t end) {
    trainer_gelu_bf16(to + first, from + first, static_cast<size_t>(end - first));
  });
  return out;
}

// The same, and the gradient of `x` in the place of `gradient`, that of what comes out. All are contiguous.
at::Tensor gelu_both_ways(const at::Tensor &x, at::Tensor &gradient) {
  auto out = at::empty_like(x);
  auto *to = out.mutable_data_ptr<at::BFloat16>();
  auto *changed = gradient.mutable_data_ptr<at::BFloat16>();
  auto *from = x.const_data_ptr<at::BFloat16>();
  at::parallel_for(0, x.numel(), A_THREADS_SHARE, [&](int64_t first, int64_t end) {
    trainer_gelu_both_ways_bf16(to + first, changed + first, from + first, static_cast<size_t>(end - first));
  });
  return out;
}

struct GeluLinear : Function<GeluLinear> {
  // Numbers of bf16 have a faster way, whose error is below theirs but far out on the left, where GELU is next to nothing.
  static bool is_narrow(const at::Tensor &x, const std::string &approximate) {
    return x.scalar_type() == at::kBFloat16 && approximate == "none";
  }

  static at::Tensor forward(AutogradContext *context, const at::Tensor &given, const std::string &approximate,
                            const at::Tensor &weight, const at::Tensor &bias, bool in_tiles) {
    auto x = given.contiguous();
    context->save_for_backward({x, weight});
    context->saved_data["approximate"] = approximate;
    context->saved_data["in_tiles"] = in_tiles;
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    auto activated = is_narrow(x, approximate) ? gelu_of(x) : at::gelu(x, approximate);
    // As `at::linear` does it, but no view: what comes out is changed in place where nothing is dropped out of it.
    return at::_unsafe_view(linear_of(rows(activated), weight, bias, in_tiles), sizes);
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    auto saved = context->get_saved_variables();
    auto &x = saved[0], &weight = saved[1];
    auto approximate = context->saved_data["approximate"].toStringRef();
    auto in_tiles = context->saved_data["in_tiles"].toBool();
    auto gradient = rows(gradients[0]);
    auto of_activated = gradient_of_input(gradient, weight, in_tiles).view(x.sizes());
    at::Tensor activated, of_x;
    if (is_narrow(x, approximate)) {
      activated = gelu_both_ways(x, of_activated);
      of_x = of_activated;
    } else {
      of_x = at::gelu_backward(of_activated, x, approximate);
      // These tables are the widest of a layer: two of them at once.
      of_activated.reset();
      activated = at::gelu(x, approximate);
    }
    auto [of_weight, of_bias] = gradients_of_layer(gradient, rows(activated), in_tiles);
    return {of_x, {}, of_weight, of_bias, {}};
  }
};

} // namespace

extern "C" {

// `x` without what the bytes of `mask` drop (0; 1 keeps), the rest times `scale`.
char *trainer_dropout(tensor x, tensor mask, double scale, tensor *out) {
  return guarded([&] { *out = new at::Tensor(Dropout::apply(*x, *mask, scale)); });
}

// Attention's `weights` after dropout, of four dimensions as `value` is, times `value`. `mask` may be null: no dropout.
char *trainer_mix(tensor weights, tensor mask, double scale, tensor value, tensor *out) {
  return guarded([&] {
    auto maybe_mask = mask ? std::optional(*mask) : std::nullopt;
    *out = new at::Tensor(Mix::apply(*weights, maybe_mask, scale, *value));
  });
}

// The linear layer on what GELU makes of `x`; `approximate` is libtorch's `none` or `tanh`.
// `in_tiles` is said of the layer as linear.h has it.
char *trainer_gelu_linear(tensor x, const char *approximate, tensor weight, tensor bias, bool in_tiles, tensor *out) {
  return guarded(
      [&] { *out = new at::Tensor(GeluLinear::apply(*x, std::string(approximate), *weight, *bias, in_tiles)); });
}
}
