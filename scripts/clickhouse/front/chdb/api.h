// What the front uses of libchdb's C interface, reached through dlopen so that building
// and vetting need no library of half a gigabyte.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef void *chdb_connection; // what the library calls chdb_connection *
typedef void *chdb_result;
typedef void *chdb_insert;

// Bytes with their length, as the library takes all text.
typedef struct {
  const char *data;
  size_t len;
} chdb_text;

typedef struct {
  const char *const *names;
  const size_t *name_lens;
  const char *const *values;
  const size_t *value_lens;
  size_t count;
} chdb_params;

typedef struct {
  uint32_t struct_size;
  uint32_t statement_count;
  uint32_t flags;
  uint32_t query_class;
} chdb_analysis;

// api_open returns NULL, or what went wrong.
const char *api_open(const char *path);

const char *api_version(void);
int api_shutdown(void);

chdb_connection api_connect(int argc, char **argv);
void api_close(chdb_connection connection);
int api_classify(chdb_connection connection, chdb_text query, chdb_analysis *analysis);

chdb_result api_query(chdb_connection connection, chdb_text query, chdb_text format, chdb_params params);
chdb_result api_stream(chdb_connection connection, chdb_text query, chdb_text format, chdb_params params);
chdb_result api_stream_fetch(chdb_connection connection, chdb_result stream);
void api_stream_cancel(chdb_connection connection, chdb_result stream);

const char *api_result_error(chdb_result result);
char *api_result_data(chdb_result result);
size_t api_result_len(chdb_result result);
uint64_t api_result_rows(chdb_result result);
uint64_t api_result_rows_read(chdb_result result);
uint64_t api_result_bytes_read(chdb_result result);
uint64_t api_result_rows_written(chdb_result result);
uint64_t api_result_bytes_written(chdb_result result);
void api_result_free(chdb_result result);

chdb_insert api_insert(chdb_connection connection, chdb_text query, chdb_text format, chdb_params params);
const char *api_insert_error(chdb_insert insert);
int api_insert_append(chdb_insert insert, const void *data, size_t len);
chdb_result api_insert_done(chdb_insert insert);
void api_insert_cancel(chdb_insert insert);
void api_insert_free(chdb_insert insert);
