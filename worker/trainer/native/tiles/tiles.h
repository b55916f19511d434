// Attention and products of matrices on a CPU with AMX. Numbers of bf16 are their bits; rows are as many numbers apart as is
// said.
#pragma once
#include <cstdint>

extern "C" {

// One head of one text.
struct TilesHead {
  const uint16_t *query, *key, *value;
  int64_t query_stride, key_stride, value_stride;
  // Queries; keys and values; keys of a table, a multiple of 16 that is not smaller; numbers of a query, a multiple of 32.
  int64_t queries, tokens, keys, size;
  // Added to a query's scores, for each key of a table.
  const float *bias;
  // Dropout's mask `[queries][keys]`, or null, and what it is multiplied by.
  const uint8_t *kept;
  float scale;
  // What scores are multiplied by.
  float by;
  uint16_t *out;
  int64_t out_stride;
  // Of each query the largest score and one over the sum of weights; written forwards, read on the way back.
  float *softmax;
};

// The gradients of a head: given for what came out, written for what went in.
struct TilesGradients {
  const uint16_t *gradient;
  int64_t gradient_stride;
  uint16_t *query, *key, *value;
  int64_t query_stride, key_stride, value_stride;
};

// Were the functions below compiled? Not by a compiler that does not know AMX; then they do nothing.
bool trainer_tiles_compiled();
// Bytes of room that the functions below need for one head, at an address that is a multiple of 64.
int64_t trainer_tiles_room(int64_t queries, int64_t keys, int64_t size);
void trainer_tiles_forward(const TilesHead *heads, int64_t count, char *room);
void trainer_tiles_backward(const TilesHead *heads, const TilesGradients *gradients, int64_t count, char *room);

// Rows of `columns` numbers.
struct TilesMatrix {
  const uint16_t *first;
  int64_t stride, rows, columns;
};

// The right side of a product is in panels: 32 of its columns each, of a multiple of 32 numbers, in the order in which tiles
// want them. The left side's rows are as they are. products.cpp says what each does.
void trainer_tiles_panel_of_rows(const TilesMatrix *matrix, int64_t panel, uint16_t *to);
void trainer_tiles_panel_of_columns(const TilesMatrix *matrix, int64_t panel, uint16_t *to);
void trainer_tiles_rows_of_columns(const TilesMatrix *matrix, int64_t panel, uint16_t *to, int64_t depth, uint16_t *sums);
void trainer_tiles_multiply(const TilesMatrix *left, const uint16_t *panels, int64_t first, int64_t end, const uint16_t *bias,
                            uint16_t *out, int64_t out_stride, uint16_t *room);
}
