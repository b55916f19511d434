// Linear layers. In the tiles of AMX, where the CPU has some and rows are not too many: oneDNN's products are as fast once it
// has compiled one for the sizes at hand, but each batch has another number of tokens, and biases and their gradients are
// passes of their own there.
#include "linear.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "guarded.h"
#include "tiles/tiles.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

using Bf16 = at::BFloat16;
// Rows and columns that tiles take at once.
constexpr int64_t BLOCK = 32;
// Bytes of the right side that all rows pass before the next come: they stay in a thread's second cache.
constexpr int64_t NEAR = 1 << 20;

uint16_t *bits(const at::Tensor &x) { return reinterpret_cast<uint16_t *>(x.mutable_data_ptr<Bf16>()); }

// Rows of numbers that lie side by side.
TilesMatrix matrix(const at::Tensor &x) {
  return {reinterpret_cast<const uint16_t *>(x.const_data_ptr<Bf16>()), x.stride(0), x.size(0), x.size(1)};
}

int64_t up(int64_t value) { return (value + BLOCK - 1) / BLOCK * BLOCK; }

at::Tensor numbers(int64_t rows, int64_t columns, const at::Tensor &like) { return at::empty({rows, columns}, like.options()); }

// `left` times the right side whose panels, of as many numbers as a row of `left`, lie one behind the other.
at::Tensor times_panels(const TilesMatrix &left, const at::Tensor &panels, const at::Tensor *bias) {
  auto count = panels.size(0) / BLOCK, depth = left.columns, columns = count * BLOCK;
  auto out = numbers(left.rows, columns, panels);
  auto rooms = numbers(at::get_num_threads() * BLOCK, depth, panels);
  auto *right = bits(panels), *to = bits(out), *room = bits(rooms), *added = bias ? bits(*bias) : nullptr;
  // Panels that come together, and blocks of rows for each such group: some of both for each thread, however few the rows.
  auto blocks = (left.rows + BLOCK - 1) / BLOCK;
  auto near = NEAR / (BLOCK * depth * 2), fair = count * blocks / (4 * at::get_num_threads());
  auto some = std::max<int64_t>(1, std::min(near, fair)), groups = (count + some - 1) / some;
  at::parallel_for(0, groups * blocks, 1, [&](int64_t first, int64_t end) {
    for (; first < end;) {
      auto panel = first / blocks * some, until = std::min(panel + some, count);
      auto from = first % blocks, to_block = std::min(blocks, from + end - first), row = from * BLOCK;
      TilesMatrix rows{left.first + row * left.stride, left.stride, std::min(to_block * BLOCK, left.rows) - row, depth};
      trainer_tiles_multiply(&rows, right, panel, until, added, to + row * columns, columns,
                             room + at::get_thread_num() * BLOCK * depth);
      first += to_block - from;
    }
  });
  return out;
}

// Panels of a right side from the rows or the columns of a matrix, of `depth` numbers each.
using Panel = void (*)(const TilesMatrix *, int64_t, uint16_t *);

at::Tensor panels_of(const at::Tensor &x, Panel panel, int64_t columns, int64_t depth) {
  auto panels = numbers(columns, depth, x);
  auto *to = bits(panels);
  auto from = matrix(x);
  at::parallel_for(0, columns / BLOCK, 1, [&](int64_t first, int64_t end) {
    for (auto number = first; number < end; number++)
      panel(&from, number, to + number * BLOCK * depth);
  });
  return panels;
}

// What the profile counts as a product of `left` and `right`.
#define RECORD_PRODUCT(left, right) RECORD_FUNCTION("tiles::mm", std::vector<c10::IValue>({left, right}))

// The columns of `x` as the rows of a left side of `depth` numbers, and their sums.
std::pair<at::Tensor, at::Tensor> turned(const at::Tensor &x, int64_t depth) {
  auto rows = numbers(x.size(1), depth, x), sums = at::empty({x.size(1)}, x.options());
  auto *to = bits(rows), *sum = bits(sums);
  auto from = matrix(x);
  at::parallel_for(0, x.size(1) / BLOCK, 1, [&](int64_t first, int64_t end) {
    for (auto number = first; number < end; number++)
      trainer_tiles_rows_of_columns(&from, number, to + number * BLOCK * depth, depth, sum);
  });
  return {rows, sums};
}

} // namespace

at::Tensor rows(const at::Tensor &table) {
  auto flat = table.reshape({-1, table.size(-1)});
  return flat.stride(1) == 1 ? flat : flat.contiguous();
}

at::Tensor linear_of(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, bool in_tiles) {
  if (!in_tiles)
    return at::addmm(bias, x, weight.t());
  TORCH_CHECK(weight.size(0) % BLOCK == 0 && weight.size(1) % BLOCK == 0 && weight.stride(1) == 1,
              "a weight of ", weight.sizes(), " and ", weight.strides(), " is not for tiles");
  TORCH_CHECK(x.size(1) == weight.size(1) && bias.numel() == weight.size(0) && bias.scalar_type() == at::kBFloat16,
              "a linear layer of ", weight.sizes(), " with a bias of ", bias.sizes(), " on ", x.sizes());
  RECORD_PRODUCT(x, weight.t());
  auto added = bias.contiguous();
  auto panels = panels_of(weight, trainer_tiles_panel_of_rows, weight.size(0), weight.size(1));
  return times_panels(matrix(x), panels, &added);
}

at::Tensor gradient_of_input(const at::Tensor &gradient, const at::Tensor &weight, bool in_tiles) {
  if (!in_tiles)
    return gradient.mm(weight);
  RECORD_PRODUCT(gradient, weight);
  auto panels = panels_of(weight, trainer_tiles_panel_of_columns, weight.size(1), weight.size(0));
  return times_panels(matrix(gradient), panels, nullptr);
}

std::pair<at::Tensor, at::Tensor> gradients_of_layer(const at::Tensor &gradient, const at::Tensor &x, bool in_tiles) {
  if (!in_tiles)
    return {gradient.t().mm(x), gradient.sum(0)};
  RECORD_PRODUCT(gradient.t(), x);
  auto depth = up(x.size(0));
  auto [left, sums] = turned(gradient, depth);
  auto panels = panels_of(x, trainer_tiles_panel_of_columns, x.size(1), depth);
  return {times_panels(matrix(left), panels, nullptr), sums};
}

namespace {

struct InTiles : Function<InTiles> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias) {
    context->save_for_backward({x, weight});
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    // No view: what comes out may be changed in place.
    return at::_unsafe_view(linear_of(rows(x), weight, bias, true), sizes);
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    auto saved = context->get_saved_variables();
    auto &x = saved[0], &weight = saved[1];
    auto gradient = rows(gradients[0]);
    at::Tensor of_x, of_weight, of_bias;
    if (context->needs_input_grad(0))
      of_x = gradient_of_input(gradient, weight, true).view(x.sizes());
    if (context->needs_input_grad(1) || context->needs_input_grad(2))
      std::tie(of_weight, of_bias) = gradients_of_layer(gradient, rows(x), true);
    return {of_x, of_weight, of_bias};
  }
};

} // namespace

extern "C" {

// Does libtorch's parallel_for, which is a template, use several threads here? Where it was compiled with -fopenmp.
bool trainer_linear_has_threads() {
#ifdef _OPENMP
  return true;
#else
  return false;
#endif
}

// `torch.nn.functional.linear` in tiles.
char *trainer_linear_in_tiles(tensor x, tensor weight, tensor bias, tensor *out) {
  return guarded([&] { *out = new at::Tensor(InTiles::apply(*x, *weight, *bias)); });
}
}
