#include "api.h"

#include <dlfcn.h>

#define PARAMS const char *const *, const size_t *, const char *const *, const size_t *, size_t

static struct {
  const char *(*version)(void);
  int (*shutdown)(void);
  void (*set_signal_handlers_enabled)(int);
  void **(*connect)(int, char **);
  void (*close)(void *);
  int (*classify)(void *, const char *, size_t, const char *, size_t, chdb_analysis *);
  void *(*query)(void *, const char *, size_t, const char *, size_t, PARAMS);
  void *(*stream)(void *, const char *, size_t, const char *, size_t, PARAMS);
  void *(*fetch)(void *, void *);
  void (*cancel)(void *, void *);
  const char *(*result_error)(void *);
  char *(*result_buffer)(void *);
  size_t (*result_length)(void *);
  uint64_t (*result_rows)(void *);
  uint64_t (*result_rows_read)(void *);
  uint64_t (*result_bytes_read)(void *);
  uint64_t (*result_rows_written)(void *);
  uint64_t (*result_bytes_written)(void *);
  void (*result_destroy)(void *);
  void *(*insert)(void *, const char *, size_t, const char *, size_t, PARAMS);
  const char *(*insert_error)(void *);
  int (*insert_append)(void *, const void *, size_t);
  void *(*insert_done)(void *);
  void (*insert_cancel)(void *);
  void (*insert_destroy)(void *);
} lib;

static const struct {
  const char *name;
  void *where;
} functions[] = {
    {"chdb_version", &lib.version},
    {"chdb_shutdown", &lib.shutdown},
    {"chdb_set_signal_handlers_enabled", &lib.set_signal_handlers_enabled},
    {"chdb_connect", &lib.connect},
    {"chdb_close_conn", &lib.close},
    {"chdb_classify_query_n", &lib.classify},
    {"chdb_query_with_params_n", &lib.query},
    {"chdb_stream_query_with_params_n", &lib.stream},
    {"chdb_stream_fetch_result", &lib.fetch},
    {"chdb_stream_cancel_query", &lib.cancel},
    {"chdb_result_error", &lib.result_error},
    {"chdb_result_buffer", &lib.result_buffer},
    {"chdb_result_length", &lib.result_length},
    {"chdb_result_rows_read", &lib.result_rows},
    {"chdb_result_storage_rows_read", &lib.result_rows_read},
    {"chdb_result_storage_bytes_read", &lib.result_bytes_read},
    {"chdb_result_rows_written", &lib.result_rows_written},
    {"chdb_result_bytes_written", &lib.result_bytes_written},
    {"chdb_destroy_query_result", &lib.result_destroy},
    {"chdb_stream_insert_with_params_n", &lib.insert},
    {"chdb_stream_insert_error", &lib.insert_error},
    {"chdb_stream_append", &lib.insert_append},
    {"chdb_stream_done", &lib.insert_done},
    {"chdb_stream_cancel_insert", &lib.insert_cancel},
    {"chdb_destroy_insert_stream", &lib.insert_destroy},
};

const char *api_open(const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return dlerror();
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *found = dlsym(handle, functions[i].name);
    if (!found)
      return dlerror();
    *(void **)functions[i].where = found;
  }
  // Signals are Go's.
  lib.set_signal_handlers_enabled(0);
  return NULL;
}

#define P(p) p.names, p.name_lens, p.values, p.value_lens, p.count
// The library gives a pointer to its connection and takes the connection.
#define C(c) (*(void **)(c))

const char *api_version(void) { return lib.version(); }
int api_shutdown(void) { return lib.shutdown(); }

chdb_connection api_connect(int argc, char **argv) { return lib.connect(argc, argv); }
void api_close(chdb_connection c) { lib.close(c); }
int api_classify(chdb_connection c, chdb_text q, chdb_analysis *a) { return lib.classify(C(c), q.data, q.len, NULL, 0, a); }

chdb_result api_query(chdb_connection c, chdb_text q, chdb_text f, chdb_params p) { return lib.query(C(c), q.data, q.len, f.data, f.len, P(p)); }
chdb_result api_stream(chdb_connection c, chdb_text q, chdb_text f, chdb_params p) { return lib.stream(C(c), q.data, q.len, f.data, f.len, P(p)); }
chdb_result api_stream_fetch(chdb_connection c, chdb_result s) { return lib.fetch(C(c), s); }
void api_stream_cancel(chdb_connection c, chdb_result s) { lib.cancel(C(c), s); }

const char *api_result_error(chdb_result r) { return lib.result_error(r); }
char *api_result_data(chdb_result r) { return lib.result_buffer(r); }
size_t api_result_len(chdb_result r) { return lib.result_length(r); }
uint64_t api_result_rows(chdb_result r) { return lib.result_rows(r); }
uint64_t api_result_rows_read(chdb_result r) { return lib.result_rows_read(r); }
uint64_t api_result_bytes_read(chdb_result r) { return lib.result_bytes_read(r); }
uint64_t api_result_rows_written(chdb_result r) { return lib.result_rows_written(r); }
uint64_t api_result_bytes_written(chdb_result r) { return lib.result_bytes_written(r); }
void api_result_free(chdb_result r) { lib.result_destroy(r); }

chdb_insert api_insert(chdb_connection c, chdb_text q, chdb_text f, chdb_params p) { return lib.insert(C(c), q.data, q.len, f.data, f.len, P(p)); }
const char *api_insert_error(chdb_insert i) { return lib.insert_error(i); }
int api_insert_append(chdb_insert i, const void *data, size_t len) { return lib.insert_append(i, data, len); }
chdb_result api_insert_done(chdb_insert i) { return lib.insert_done(i); }
void api_insert_cancel(chdb_insert i) { lib.insert_cancel(i); }
void api_insert_free(chdb_insert i) { lib.insert_destroy(i); }
