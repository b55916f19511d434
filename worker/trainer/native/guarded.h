// How functions for Rust end: with a message to be freed, or null where all went well.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>

using tensor = at::Tensor *;

template <typename F> char *guarded(F work) {
  try {
    work();
    return nullptr;
  } catch (const c10::Error &error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return strdup(error.what());
  }
}
