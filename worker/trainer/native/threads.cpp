// libtorch's threads for work of Rust.
#include <ATen/Parallel.h>

#include <cstdint>

#include "guarded.h"

extern "C" {

// `work` with each number below `count`, once, by as many threads as libtorch has.
char *trainer_parallel(int64_t count, void (*work)(const void *, int64_t), const void *context) {
  return guarded([&] {
    at::parallel_for(0, count, 1, [&](int64_t first, int64_t end) {
      for (int64_t number = first; number < end; number++)
        work(context, number);
    });
  });
}
}
