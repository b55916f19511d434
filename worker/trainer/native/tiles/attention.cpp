// Attention of one head on a CPU with AMX: products of 16 x 32 by 32 x 16 numbers of bf16 into 16 x 16 of fp32, each one
// instruction. Scores, weights and their gradients never leave the cache; on the way back they are computed again (Dao et
// al., "FlashAttention", 2022).
//
// Compiled for AVX-512 and AMX, and called only where both are. So nothing is included that has inline functions which other
// files could share: the linker might take this file's for all others'.
#include "tiles.h"

#if defined(__AMX_BF16__)
#include "registers.h"

namespace {

// e to the power of `x`, which is not above 0; 0 below -87. What is no number stays none.
inline __m512 exponential(__m512 x) {
  auto least = _mm512_set1_ps(-87.0f);
  auto below = _mm512_cmp_ps_mask(x, least, _CMP_LT_OQ);
  auto power = _mm512_mul_ps(_mm512_max_ps(least, x), _mm512_set1_ps(1.44269504f));
  auto whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  auto rest = _mm512_sub_ps(power, whole);
  auto sum = _mm512_set1_ps(1.540353e-4f);
  constexpr float COEFFICIENTS[] = {1.3333558e-3f, 9.618129e-3f, 5.550411e-2f, 0.2402265f, 0.69314718f, 1.0f};
  for (float coefficient : COEFFICIENTS)
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(coefficient));
  return _mm512_mask_mov_ps(_mm512_scalef_ps(sum, whole), below, _mm512_setzero_ps());
}

// Rows of one head: `row(i)` are `size` numbers; behind the last there are zeros.
struct Rows {
  const Bf16 *first;
  int64_t stride, count;
  const Bf16 *row(int64_t i) const { return first + i * stride; }
};

// As the right side of products with rows: tiles of 16 rows by 32 numbers, transposed pair by pair; `[rows / 16][size / 32]`.
inline void turned(const Rows &rows, int64_t padded, int64_t size, Bf16 *to) {
  for (int64_t r = 0; r < padded; r += SIDE)
    for (int64_t n = 0; n < size; n += PAIRS, to += SIDE * PAIRS) {
      __m512i tile[16];
      for (int64_t i = 0; i < SIDE; i++)
        tile[i] = r + i < rows.count ? _mm512_loadu_si512(rows.row(r + i) + n) : _mm512_setzero_si512();
      transpose(tile);
      for (int64_t i = 0; i < SIDE; i++)
        _mm512_store_si512(to + i * PAIRS, tile[i]);
    }
}

// As the right side of products over the rows: tiles of 32 rows by 16 numbers, in pairs of rows; `[rows / 32][size / 16]`.
inline void paired(const Rows &rows, int64_t padded, int64_t size, Bf16 *to) {
  for (int64_t r = 0; r < padded; r += PAIRS)
    for (int64_t n = 0; n < size; n += SIDE, to += SIDE * PAIRS)
      for (int64_t i = 0; i < SIDE; i++) {
        auto first = r + 2 * i < rows.count ? load(rows.row(r + 2 * i) + n) : _mm256_setzero_si256();
        auto second = r + 2 * i + 1 < rows.count ? load(rows.row(r + 2 * i + 1) + n) : _mm256_setzero_si256();
        _mm512_store_si512(to + i * PAIRS, pairs(first, second));
      }
}

// Sixteen of `rows` from `at` on with zeros behind the last, where a tile can be loaded from; gives their stride.
inline const Bf16 *sixteen(const Rows &rows, int64_t at, int64_t size, Bf16 *room, int64_t *stride) {
  if (at + SIDE <= rows.count) {
    *stride = rows.stride;
    return rows.row(at);
  }
  *stride = size;
  for (int64_t i = 0; i < SIDE; i++)
    for (int64_t n = 0; n < size; n += PAIRS)
      _mm512_storeu_si512(room + i * size + n,
                          at + i < rows.count ? _mm512_loadu_si512(rows.row(at + i) + n) : _mm512_setzero_si512());
  return room;
}

// 16 rows of `left`, of `depth` numbers, times two or one tiles' columns of `right`: tile number `i` along the depth lies
// `step` tiles behind the one before, and the second column `next` tiles behind the first.
inline void product(const Bf16 *left, int64_t stride, int64_t depth, const Bf16 *right, int64_t step, int64_t next, float *to,
                    int64_t columns, bool two) {
  written();
  _tile_zero(0);
  if (two)
    _tile_zero(1);
  for (int64_t d = 0; d < depth; d += PAIRS, right += step * TILE) {
    _tile_loadd(4, left + d, stride * 2);
    _tile_loadd(5, right, 64);
    _tile_dpbf16ps(0, 4, 5);
    if (two) {
      _tile_loadd(6, right + next * TILE, 64);
      _tile_dpbf16ps(1, 4, 6);
    }
  }
  _tile_stored(0, to, columns * 4);
  if (two)
    _tile_stored(1, to + SIDE, columns * 4);
}

// 16 rows of scores, or of the gradient of weights: `[16][keys]`.
inline void by_keys(const Bf16 *left, int64_t stride, const Bf16 *turned, int64_t size, int64_t keys, float *to) {
  auto tiles = size / PAIRS;
  for (int64_t k = 0; k < keys; k += 2 * SIDE)
    product(left, stride, size, turned + k / SIDE * tiles * SIDE * PAIRS, 1, tiles, to + k, keys, k + SIDE < keys);
}

// 16 rows of `left`, each of `depth` numbers, times rows that are `paired`, as numbers of bf16 to the first `count` of 16 rows.
inline void mix(const Bf16 *left, int64_t stride, int64_t depth, const Bf16 *paired, int64_t size, Bf16 *to, int64_t to_stride,
                int64_t count) {
  alignas(64) float sums[SIDE * 2 * SIDE];
  for (int64_t n = 0; n < size; n += 2 * SIDE) {
    product(left, stride, depth, paired + n / SIDE * SIDE * PAIRS, size / SIDE, 1, sums, 2 * SIDE, true);
    for (int64_t i = 0; i < count; i++) {
      store(to + i * to_stride + n, narrow(_mm512_load_ps(sums + i * 2 * SIDE)));
      store(to + i * to_stride + n + SIDE, narrow(_mm512_load_ps(sums + i * 2 * SIDE + SIDE)));
    }
  }
}

// What dropout multiplies 16 weights by.
inline __m512 dropped(const uint8_t *kept, float scale) {
  auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(kept));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)), _mm512_set1_ps(scale));
}

// Parts of the room that the caller gives.
struct Room {
  char *next;
  template <typename T> T *of(int64_t count) {
    auto *part = reinterpret_cast<T *>(next);
    next += up(count * static_cast<int64_t>(sizeof(T)), 64);
    return part;
  }
};

void forward(const TilesHead &head, char *room) {
  auto queries = head.queries, keys = head.keys, size = head.size, depth = up(keys, PAIRS);
  Room parts{room};
  auto *key = parts.of<Bf16>(keys * size), *value = parts.of<Bf16>(depth * size), *few = parts.of<Bf16>(SIDE * size);
  auto *scores = parts.of<float>(SIDE * keys);
  auto *weights = parts.of<Bf16>(SIDE * depth);
  turned({head.key, head.key_stride, head.tokens}, keys, size, key);
  paired({head.value, head.value_stride, head.tokens}, depth, size, value);
  // Behind the keys of the table.
  for (int64_t i = 0; i < SIDE; i++)
    store(weights + i * depth + depth - SIDE, _mm256_setzero_si256());
  auto by = _mm512_set1_ps(head.by);
  for (int64_t q = 0; q < queries; q += SIDE) {
    int64_t stride, count = queries - q < SIDE ? queries - q : SIDE;
    auto *query = sixteen({head.query, head.query_stride, queries}, q, size, few, &stride);
    by_keys(query, stride, key, size, keys, scores);
    for (int64_t i = 0; i < count; i++) {
      auto *row = scores + i * keys;
      auto largest = _mm512_set1_ps(-3.4028235e38f);
      for (int64_t k = 0; k < keys; k += SIDE) {
        auto score = _mm512_fmadd_ps(_mm512_load_ps(row + k), by, _mm512_loadu_ps(head.bias + k));
        largest = _mm512_max_ps(score, largest);
        _mm512_store_ps(row + k, score);
      }
      auto most = _mm512_reduce_max_ps(largest);
      auto sums = _mm512_setzero_ps();
      for (int64_t k = 0; k < keys; k += SIDE) {
        auto weight = exponential(_mm512_sub_ps(_mm512_load_ps(row + k), _mm512_set1_ps(most)));
        sums = _mm512_add_ps(sums, weight);
        _mm512_store_ps(row + k, weight);
      }
      auto share = 1.0f / _mm512_reduce_add_ps(sums);
      for (int64_t k = 0; k < keys; k += SIDE) {
        auto weight = _mm512_mul_ps(_mm512_load_ps(row + k), _mm512_set1_ps(share));
        if (head.kept)
          weight = _mm512_mul_ps(weight, dropped(head.kept + (q + i) * keys + k, head.scale));
        store(weights + i * depth + k, narrow(weight));
      }
      head.softmax[2 * (q + i)] = most;
      head.softmax[2 * (q + i) + 1] = share;
    }
    mix(weights, depth, depth, value, size, head.out + q * head.out_stride, head.out_stride, count);
  }
}

// The gradients of 16 rows' scores from those of their weights, both `[16][keys]`, and what dropout left of the weights; as
// numbers of bf16 `[16][depth]`.
inline void through_softmax(const TilesHead &head, int64_t q, int64_t count, float *scores, float *gradients, int64_t depth,
                            Bf16 *of_scores, Bf16 *weights) {
  auto keys = head.keys;
  auto by = _mm512_set1_ps(head.by);
  for (int64_t i = 0; i < SIDE; i++) {
    auto *row = scores + i * keys, *gradient = gradients + i * keys;
    if (i >= count) {
      for (int64_t k = 0; k < keys; k += SIDE) {
        store(weights + i * depth + k, _mm256_setzero_si256());
        store(of_scores + i * depth + k, _mm256_setzero_si256());
      }
      continue;
    }
    auto most = _mm512_set1_ps(head.softmax[2 * (q + i)]), share = _mm512_set1_ps(head.softmax[2 * (q + i) + 1]);
    auto sums = _mm512_setzero_ps();
    for (int64_t k = 0; k < keys; k += SIDE) {
      auto score = _mm512_fmadd_ps(_mm512_load_ps(row + k), by, _mm512_loadu_ps(head.bias + k));
      auto weight = _mm512_mul_ps(exponential(_mm512_sub_ps(score, most)), share);
      auto product = _mm512_mul_ps(_mm512_load_ps(gradient + k), weight), left = weight;
      if (head.kept) {
        auto factor = dropped(head.kept + (q + i) * keys + k, head.scale);
        product = _mm512_mul_ps(product, factor);
        left = _mm512_mul_ps(weight, factor);
      }
      sums = _mm512_add_ps(sums, product);
      _mm512_store_ps(row + k, weight);
      _mm512_store_ps(gradient + k, product);
      store(weights + i * depth + k, narrow(left));
    }
    auto sum = _mm512_set1_ps(_mm512_reduce_add_ps(sums));
    for (int64_t k = 0; k < keys; k += SIDE) {
      auto of_score = _mm512_fnmadd_ps(_mm512_load_ps(row + k), sum, _mm512_load_ps(gradient + k));
      store(of_scores + i * depth + k, narrow(_mm512_mul_ps(of_score, by)));
    }
  }
}

// 32 rows `[32][depth]` to columns `[keys][...]`, the first of them at `to`, whose rows are `width` apart.
inline void columns(const Bf16 *rows, int64_t depth, int64_t keys, Bf16 *to, int64_t width) {
  for (int64_t k = 0; k < keys; k += SIDE) {
    __m512i tile[16];
    for (int64_t i = 0; i < SIDE; i++)
      tile[i] = pairs(load(rows + 2 * i * depth + k), load(rows + (2 * i + 1) * depth + k));
    transpose(tile);
    for (int64_t i = 0; i < SIDE; i++)
      _mm512_store_si512(to + (k + i) * width, tile[i]);
  }
}

void backward(const TilesHead &head, const TilesGradients &out, char *room) {
  auto queries = head.queries, keys = head.keys, size = head.size;
  auto depth = up(keys, PAIRS), width = up(queries, PAIRS);
  Room parts{room};
  auto *key = parts.of<Bf16>(keys * size), *value = parts.of<Bf16>(keys * size), *right = parts.of<Bf16>(depth * size);
  auto *few = parts.of<Bf16>(SIDE * size), *few_gradients = parts.of<Bf16>(SIDE * size);
  auto *scores = parts.of<float>(SIDE * keys), *gradients = parts.of<float>(SIDE * keys);
  auto *of_scores = parts.of<Bf16>(PAIRS * depth), *weights = parts.of<Bf16>(PAIRS * depth);
  auto *scores_by_key = parts.of<Bf16>(keys * width), *weights_by_key = parts.of<Bf16>(keys * width);
  auto *right_query = parts.of<Bf16>(width * size), *right_gradient = parts.of<Bf16>(width * size);
  Rows all_queries{head.query, head.query_stride, queries}, all_gradients{out.gradient, out.gradient_stride, queries};
  Rows all_keys{head.key, head.key_stride, head.tokens};
  turned(all_keys, keys, size, key);
  turned({head.value, head.value_stride, head.tokens}, keys, size, value);
  paired(all_keys, depth, size, right);
  paired(all_queries, width, size, right_query);
  paired(all_gradients, width, size, right_gradient);
  for (int64_t i = 0; i < PAIRS; i++)
    store(of_scores + i * depth + depth - SIDE, _mm256_setzero_si256());
  for (int64_t q = 0; q < width; q += SIDE) {
    auto count = queries - q < SIDE ? queries - q : SIDE;
    auto half = q % PAIRS * depth;
    if (count > 0) {
      int64_t stride;
      auto *left = sixteen(all_queries, q, size, few, &stride);
      by_keys(left, stride, key, size, keys, scores);
      left = sixteen(all_gradients, q, size, few_gradients, &stride);
      by_keys(left, stride, value, size, keys, gradients);
    }
    through_softmax(head, q, count, scores, gradients, depth, of_scores + half, weights + half);
    if (count > 0)
      mix(of_scores + half, depth, depth, right, size, out.query + q * out.query_stride, out.query_stride, count);
    if (half) {
      columns(of_scores, depth, keys, scores_by_key + q - SIDE, width);
      columns(weights, depth, keys, weights_by_key + q - SIDE, width);
    }
  }
  for (int64_t k = 0; k < head.tokens; k += SIDE) {
    auto count = head.tokens - k < SIDE ? head.tokens - k : SIDE;
    mix(scores_by_key + k * width, width, width, right_query, size, out.key + k * out.key_stride, out.key_stride, count);
    mix(weights_by_key + k * width, width, width, right_gradient, size, out.value + k * out.value_stride, out.value_stride,
        count);
  }
}

} // namespace

extern "C" {

bool trainer_tiles_compiled() { return true; }

int64_t trainer_tiles_room(int64_t queries, int64_t keys, int64_t size) {
  auto depth = up(keys, PAIRS), width = up(queries, PAIRS);
  return 2 * (2 * keys * size + depth * size + 2 * SIDE * size + 2 * PAIRS * depth + 2 * keys * width + 2 * width * size) +
         4 * 2 * SIDE * keys + 16 * 64;
}

void trainer_tiles_forward(const TilesHead *heads, int64_t count, char *room) {
  Registers registers;
  for (int64_t i = 0; i < count; i++)
    forward(heads[i], room);
}

void trainer_tiles_backward(const TilesHead *heads, const TilesGradients *gradients, int64_t count, char *room) {
  Registers registers;
  for (int64_t i = 0; i < count; i++)
    backward(heads[i], gradients[i], room);
}
}
#else

extern "C" {
bool trainer_tiles_compiled() { return false; }
int64_t trainer_tiles_room(int64_t, int64_t, int64_t) { return 0; }
void trainer_tiles_forward(const TilesHead *, int64_t, char *) {}
void trainer_tiles_backward(const TilesHead *, const TilesGradients *, int64_t, char *) {}
}
#endif
