// Where the time of a step goes: every operation of libtorch with its callers, by at::RecordFunction.
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>

#include <chrono>
#include <cstring>
#include <mutex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Frame {
  std::string path;
  int64_t begun;
  int64_t inner;
};

struct Cost {
  int64_t calls = 0;
  int64_t nanoseconds = 0; // Without those of the frames inside.
  double operations = 0;   // Floating-point ones, of matrix products.
};

thread_local std::vector<Frame> stack;
std::mutex mutex;
std::unordered_map<std::string, Cost> costs;
at::CallbackHandle handle = 0;
bool running = false;

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void enter(const char *name) {
  std::string path = stack.empty() ? std::string(name) : stack.back().path + ";" + name;
  stack.push_back({std::move(path), now(), 0});
}

void leave(double operations) {
  // Frames that were open when the recording began have no beginning.
  if (stack.empty())
    return;
  Frame frame = std::move(stack.back());
  stack.pop_back();
  int64_t took = now() - frame.begun;
  if (!stack.empty())
    stack.back().inner += took;
  std::lock_guard<std::mutex> guard(mutex);
  Cost &cost = costs[frame.path];
  cost.calls += 1;
  cost.nanoseconds += took - frame.inner;
  cost.operations += operations;
}

// Of a product of matrices, from its operands' shapes; 0 of anything else.
double operations(const at::RecordFunction &function) {
  std::string name = function.name();
  bool product = name == "aten::mm" || name == "aten::bmm" || name == "tiles::mm";
  bool sum = name == "aten::addmm" || name == "aten::baddbmm";
  if (!product && !sum)
    return 0;
  size_t first = sum ? 1 : 0;
  auto inputs = function.inputs();
  if (inputs.size() < first + 2 || !inputs[first].isTensor() || !inputs[first + 1].isTensor())
    return 0;
  return 2.0 * inputs[first].toTensor().numel() * inputs[first + 1].toTensor().size(-1);
}

struct Operations : at::ObserverContext {
  double count;
};

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction &function) {
  auto context = std::make_unique<Operations>();
  context->count = operations(function);
  enter(function.name());
  return context;
}

void end(const at::RecordFunction &, at::ObserverContext *context) {
  leave(static_cast<Operations *>(context)->count);
}

} // namespace

extern "C" {

// From now on every operation is recorded.
void trainer_profile_begin() {
  costs.clear();
  stack.clear();
  running = true;
  handle = at::addGlobalCallback(at::RecordFunctionCallback(begin, end).needsInputs(true).scopes(
      {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}

// A part of a step, between these two calls; nothing where nothing is recorded.
void trainer_profile_enter(const char *name) {
  if (running)
    enter(name);
}

void trainer_profile_leave() {
  if (running)
    leave(0);
}

// Ends the recording: a line for each chain of callers (`a;b;c`), TAB, calls, TAB, nanoseconds, TAB, operations. To be freed.
char *trainer_profile_end() {
  at::removeCallback(handle);
  running = false;
  std::lock_guard<std::mutex> guard(mutex);
  std::ostringstream text;
  for (const auto &[path, cost] : costs)
    text << path << '\t' << cost.calls << '\t' << cost.nanoseconds << '\t' << static_cast<int64_t>(cost.operations)
         << '\n';
  return strdup(text.str().c_str());
}
}
