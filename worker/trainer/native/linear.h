// The products of a linear layer, with libtorch or in the tiles of AMX.
#pragma once
#include <ATen/core/Tensor.h>

#include <utility>

// `[…, columns]` as `[rows, columns]` with numbers side by side.
at::Tensor rows(const at::Tensor &table);

// In tiles: tables are of bf16, with numbers side by side, and a weight's sizes are multiples of 32.

// `[rows, inputs]` to `[rows, outputs]`, by `weight` `[outputs, inputs]` and `bias`.
at::Tensor linear_of(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, bool in_tiles);

// The gradient of what went in, from that of what came out.
at::Tensor gradient_of_input(const at::Tensor &gradient, const at::Tensor &weight, bool in_tiles);

// The gradients of weight and bias, from that of what came out and what went in.
std::pair<at::Tensor, at::Tensor> gradients_of_layer(const at::Tensor &gradient, const at::Tensor &x, bool in_tiles);
