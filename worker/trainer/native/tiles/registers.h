// The registers of AMX, and what brings numbers into their order. Only for files that are compiled for AMX: in a namespace
// without a name, so that each has its own and the linker gives none to files that are not.
#pragma once
#include <cstdint>
#include <immintrin.h>

namespace {

// Rows of a tile, and numbers of fp32 or pairs of bf16 in one of its rows.
constexpr int64_t SIDE = 16;
// Numbers of bf16 in a row of a tile.
constexpr int64_t PAIRS = 32;

// Numbers of bf16 in a tile.
constexpr int64_t TILE = SIDE * PAIRS;

using Bf16 = uint16_t;

int64_t up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

// The registers as all functions below use them: 16 rows of 64 bytes each.
struct alignas(64) Shape {
  uint8_t palette = 1, start = 0, unused[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

constexpr Shape SHAPE;

// The compiler does not know that loading a tile or its shape reads memory: what was written before must be there.
inline void written() { asm volatile("" ::: "memory"); }

// While it lives the registers have the shape above; afterwards again what somebody else gave them.
struct Registers {
  alignas(64) uint8_t before[64];
  Registers() {
    _tile_storeconfig(before);
    written();
    _tile_loadconfig(&SHAPE);
  }
  ~Registers() {
    written();
    if (before[0])
      _tile_loadconfig(before);
    else
      _tile_release();
  }
};

// 16 rows of 16 values of 32 bits, transposed.
inline void transpose(__m512i row[16]) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88);
    a[i + 4] = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd);
    a[i + 8] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88);
    a[i + 12] = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    row[i] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0x88);
    row[i + 4] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0x88);
    row[i + 8] = _mm512_shuffle_i32x4(a[i], a[i + 8], 0xdd);
    row[i + 12] = _mm512_shuffle_i32x4(a[i + 4], a[i + 12], 0xdd);
  }
}

// 16 numbers of two rows as 16 pairs.
inline __m512i pairs(__m256i first, __m256i second) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

inline __m256i load(const Bf16 *from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)); }
inline __m256i narrow(__m512 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }
inline void store(Bf16 *to, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), x); }

} // namespace
