// The products of linear.cpp: panels of a right side, and a left side times some of them. As in attention.cpp nothing is
// included that has inline functions which other files could share.
#include "tiles.h"

#if defined(__AMX_BF16__)
#include "registers.h"

namespace {

// Two tiles side by side, both ways.
constexpr int64_t BLOCK = 2 * SIDE;

// The sums of 32 x 32 products: 32 rows of `left`, of `depth` numbers, times a panel of the right side.
inline void block(const Bf16 *left, int64_t stride, int64_t depth, const Bf16 *panel, float *sums) {
  written();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t d = 0; d < depth; d += PAIRS, panel += 2 * TILE) {
    _tile_loadd(6, panel, 64);
    _tile_loadd(4, left + d, stride * 2);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, left + SIDE * stride + d, stride * 2);
    _tile_dpbf16ps(2, 5, 6);
    _tile_loadd(7, panel + TILE, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, BLOCK * 4);
  _tile_stored(1, sums + SIDE, BLOCK * 4);
  _tile_stored(2, sums + SIDE * BLOCK, BLOCK * 4);
  _tile_stored(3, sums + SIDE * BLOCK + SIDE, BLOCK * 4);
}

inline __m512 widened(const Bf16 *numbers) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load(numbers)), 16));
}

// The last rows of the left side with zeros behind them: 32 rows of `depth` numbers.
inline void fill_up(const TilesMatrix &left, int64_t row, Bf16 *to) {
  for (int64_t i = 0; i < BLOCK; i++)
    for (int64_t n = 0; n < left.columns; n += PAIRS) {
      auto there = row + i < left.rows;
      _mm512_storeu_si512(to + i * left.columns + n,
                          there ? _mm512_loadu_si512(left.first + (row + i) * left.stride + n) : _mm512_setzero_si512());
    }
}

} // namespace

extern "C" {

// Panel number `panel` of the right side where its columns are the rows of `matrix`, of which there are a multiple of 32.
void trainer_tiles_panel_of_rows(const TilesMatrix *matrix, int64_t panel, uint16_t *to) {
  for (int64_t n = 0; n < matrix->columns; n += PAIRS)
    for (int64_t half = 0; half < 2; half++, to += TILE) {
      auto *rows = matrix->first + (panel * BLOCK + half * SIDE) * matrix->stride + n;
      __m512i tile[16];
      for (int64_t i = 0; i < SIDE; i++)
        tile[i] = _mm512_loadu_si512(rows + i * matrix->stride);
      transpose(tile);
      for (int64_t i = 0; i < SIDE; i++)
        _mm512_storeu_si512(to + i * PAIRS, tile[i]);
    }
}

// The same where its columns are those of `matrix`.
void trainer_tiles_panel_of_columns(const TilesMatrix *matrix, int64_t panel, uint16_t *to) {
  for (int64_t r = 0; r < matrix->rows; r += PAIRS)
    for (int64_t half = 0; half < 2; half++, to += TILE) {
      auto *rows = matrix->first + r * matrix->stride + panel * BLOCK + half * SIDE;
      for (int64_t i = 0; i < SIDE; i++) {
        auto first = r + 2 * i < matrix->rows ? load(rows + 2 * i * matrix->stride) : _mm256_setzero_si256();
        auto second = r + 2 * i + 1 < matrix->rows ? load(rows + (2 * i + 1) * matrix->stride) : _mm256_setzero_si256();
        _mm512_storeu_si512(to + i * PAIRS, pairs(first, second));
      }
    }
}

// 32 columns of `matrix` as rows of a left side, `depth` numbers each, with zeros behind those there are; and their sums.
void trainer_tiles_rows_of_columns(const TilesMatrix *matrix, int64_t panel, uint16_t *to, int64_t depth, uint16_t *sums) {
  for (int64_t half = 0; half < 2; half++) {
    auto *column = matrix->first + panel * BLOCK + half * SIDE;
    auto *out = to + half * SIDE * depth;
    auto sum = _mm512_setzero_ps();
    for (int64_t r = 0; r < depth; r += PAIRS) {
      __m512i tile[16];
      for (int64_t i = 0; i < SIDE; i++) {
        auto row = r + 2 * i;
        auto first = row < matrix->rows ? load(column + row * matrix->stride) : _mm256_setzero_si256();
        auto second = row + 1 < matrix->rows ? load(column + (row + 1) * matrix->stride) : _mm256_setzero_si256();
        tile[i] = pairs(first, second);
        sum = _mm512_add_ps(sum, _mm512_castsi512_ps(_mm512_slli_epi32(tile[i], 16)));
        sum = _mm512_add_ps(sum, _mm512_castsi512_ps(_mm512_and_si512(tile[i], _mm512_set1_epi32(0xffff0000))));
      }
      transpose(tile);
      for (int64_t i = 0; i < SIDE; i++)
        _mm512_storeu_si512(out + i * depth + r, tile[i]);
    }
    store(sums + panel * BLOCK + half * SIDE, narrow(sum));
  }
}

// `left` times panels number `first` to `end` of the right side, all of which lie at `panels`, and the bias, into these columns
// of `out`. `room` is for 32 rows of the left side.
void trainer_tiles_multiply(const TilesMatrix *left, const uint16_t *panels, int64_t first, int64_t end, const uint16_t *bias,
                            uint16_t *out, int64_t out_stride, uint16_t *room) {
  Registers registers;
  alignas(64) float sums[BLOCK * BLOCK];
  auto depth = left->columns;
  if (left->rows % BLOCK)
    fill_up(*left, left->rows / BLOCK * BLOCK, room);
  // Up to 768 numbers a row, the rows stay in the first cache while the panels pass, one line of it after the other.
  for (int64_t row = 0; row < left->rows; row += BLOCK) {
    auto count = left->rows - row < BLOCK ? left->rows - row : BLOCK;
    auto *rows = count == BLOCK ? left->first + row * left->stride : room;
    auto stride = count == BLOCK ? left->stride : depth;
    for (int64_t panel = first; panel < end; panel++) {
      block(rows, stride, depth, panels + panel * depth * BLOCK, sums);
      written();
      auto low = bias ? widened(bias + panel * BLOCK) : _mm512_setzero_ps();
      auto high = bias ? widened(bias + panel * BLOCK + SIDE) : _mm512_setzero_ps();
      for (int64_t i = 0; i < count; i++) {
        auto one = _mm512_add_ps(_mm512_load_ps(sums + i * BLOCK), low);
        auto other = _mm512_add_ps(_mm512_load_ps(sums + i * BLOCK + SIDE), high);
        _mm512_storeu_si512(out + (row + i) * out_stride + panel * BLOCK,
                            reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(other, one)));
      }
    }
  }
}
}
#else

extern "C" {
void trainer_tiles_panel_of_rows(const TilesMatrix *, int64_t, uint16_t *) {}
void trainer_tiles_panel_of_columns(const TilesMatrix *, int64_t, uint16_t *) {}
void trainer_tiles_rows_of_columns(const TilesMatrix *, int64_t, uint16_t *, int64_t, uint16_t *) {}
void trainer_tiles_multiply(const TilesMatrix *, const uint16_t *, int64_t, int64_t, const uint16_t *, uint16_t *, int64_t,
                            uint16_t *) {}
}
#endif
