// Lets tensors on the CPU take their memory from functions of Rust, and from malloc what these do not give.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

namespace {

class Allocator final : public c10::Allocator {
public:
  Allocator(void *(*take)(size_t), bool (*give)(void *)) : take(take), give(give) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (void *block = take(bytes))
      return {block, block, raw_deleter(), c10::Device(c10::DeviceType::CPU)};
    c10::DataPtr small = malloc->allocate(bytes);
    // One function frees both, as an allocator promises.
    TORCH_CHECK(small.compare_exchange_deleter(malloc->raw_deleter(), raw_deleter()),
                "libtorch's allocator frees in another way than it says");
    return small;
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free; }

  void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }

private:
  static void free(void *block) {
    if (block && !used->give(block))
      used->malloc->raw_deleter()(block);
  }

  void *(*take)(size_t);
  bool (*give)(void *);
  c10::Allocator *malloc = c10::GetDefaultCPUAllocator();

public:
  static Allocator *used;
};

Allocator *Allocator::used = nullptr;

} // namespace

// `take` gives null for what malloc shall give; `give` is false for what `take` did not give. Once, before other threads begin.
extern "C" void trainer_use_allocator(void *(*take)(size_t), bool (*give)(void *)) {
  // Never freed: tensors may outlive everything else.
  Allocator::used = new Allocator(take, give);
  c10::SetCPUAllocator(Allocator::used);
}
