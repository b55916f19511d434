// What tch does not bind: loading CUDA, facts of the card, and the optimizer's fused operations. `tensor` is torch-sys'.
// Every function gives a message to be freed, or null where all went well.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/cpu/Utils.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/core/grad_mode.h>

#include <cstdlib>
#include <dlfcn.h>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include "guarded.h"

namespace {

std::vector<at::Tensor> list(tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> all;
  all.reserve(count);
  for (size_t i = 0; i < count; i++)
    all.push_back(*reinterpret_cast<tensor>(tensors[i]));
  return all;
}

void *open(const std::string &library, int flags) {
  void *handle = dlopen(library.c_str(), flags);
  if (!handle)
    throw std::runtime_error(dlerror());
  return handle;
}

// The driver's functions are looked up, so that the trainer starts where there is no driver.
template <typename F> F driver(const char *name) {
  static void *library = open("libcuda.so.1", RTLD_NOW);
  void *found = dlsym(library, name);
  if (!found)
    throw std::runtime_error(std::string("the driver lacks ") + name);
  return reinterpret_cast<F>(found);
}

void check(int result, const char *what) {
  if (result != 0)
    throw std::runtime_error(std::string(what) + " gives error " + std::to_string(result));
}

} // namespace

extern "C" {

void trainer_free(char *message) { free(message); }

// Ends the process without the destructors of libtorch, which take a fifth of a second to give back memory.
void trainer_end(int code) { _exit(code); }

// Has the CPU AMX, and does the system let this process use its tiles?
bool trainer_may_use_amx() { return at::cpu::init_amx(); }

// Loads libtorch's CUDA half from beside its CPU half. The linker drops it from the binary, which refers to none of it.
char *trainer_load_cuda() {
  return guarded([] {
    driver<void *>("cuInit");
    // cuBLAS is deterministic with buffers of a fixed size only; it asks when it is first used.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    Dl_info here{};
    dladdr(reinterpret_cast<void *>(&at::globalContext), &here);
    std::string path = here.dli_fname ? here.dli_fname : "";
    auto slash = path.rfind('/');
    auto folder = slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
    open(folder + "libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
    auto &context = at::globalContext();
    // The same seed gives the same bits: attention and embeddings would add up in any order otherwise.
    context.setDeterministicAlgorithms(true, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(false);
  });
}

// Name and compute capability of the first GPU.
char *trainer_card(char *name, int name_size, int *major, int *minor) {
  return guarded([&] {
    check(driver<int (*)(unsigned)>("cuInit")(0), "cuInit");
    int device = 0;
    check(driver<int (*)(int *, int)>("cuDeviceGet")(&device, 0), "cuDeviceGet");
    check(driver<int (*)(char *, int, int)>("cuDeviceGetName")(name, name_size, device), "cuDeviceGetName");
    auto attribute = driver<int (*)(int *, int, int)>("cuDeviceGetAttribute");
    check(attribute(major, 75, device), "cuDeviceGetAttribute");
    check(attribute(minor, 76, device), "cuDeviceGetAttribute");
  });
}

// The 2-norm over all of `tensors`, as a new fp32 scalar on their device.
char *trainer_norm(tensor *const *tensors, size_t count, tensor *norm) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto norms = at::_foreach_norm(list(tensors, count), 2);
    *norm = new at::Tensor(at::linalg_vector_norm(at::stack(norms)));
  });
}

// One step of AdamW. `scale` divides the gradients, whose values change; `skip` is 1 where nothing shall be done.
char *trainer_adamw(tensor *const *values, tensor *const *gradients, tensor *const *first, tensor *const *second,
                    tensor *const *steps, size_t count, double rate, double beta1, double beta2, double decay,
                    double epsilon, tensor scale, tensor skip) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::_fused_adamw_(list(values, count), list(gradients, count), list(first, count), list(second, count), {},
                      list(steps, count), rate, beta1, beta2, decay, epsilon, /*amsgrad=*/false, /*maximize=*/false,
                      *scale, *skip);
  });
}
}
