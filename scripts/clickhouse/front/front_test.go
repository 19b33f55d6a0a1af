package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const library = "TRELLIS_TEST_CHDB_LIBRARY"

// shared is the one engine this process may have.
var shared struct {
	*front
	address string
}

func TestMain(m *testing.M) {
	// Not os.Exit: with the race detector it runs the library's destructors, which threads
	// of the engine may outlive.
	syscall.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	lib := os.Getenv(library)
	if lib == "" {
		return m.Run()
	}
	data, err := os.MkdirTemp("", "front")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(data)
	e, err := openEngine(lib, data, "trellis")
	if err != nil {
		panic(err)
	}
	defer e.close()
	shared.front = newFront(e, map[string]account{
		"trellis": {sha256.Sum256([]byte("pass:word")), false},
		"analyst": {sha256.Sum256([]byte("reader")), true},
	})
	s := httptest.NewUnstartedServer(nil)
	s.Config = newHTTPServer(shared.front)
	s.Start()
	defer s.Close()
	shared.address = s.Listener.Addr().String()
	return m.Run()
}

func needEngine(t *testing.T) {
	t.Helper()
	if shared.front == nil {
		t.Skip(library + " is not set: nothing was tested with the engine (the path of libchdb.so, see scripts/clickhouse/service.sh)")
	}
}

// reply is what came back from one request.
type reply struct {
	status int
	code   string // of the exception
	body   string
	err    error // while the body was read
}

// send sends a statement as user, with parameters of the address as name, value, …
func send(t *testing.T, user, password, statement string, params ...string) reply {
	t.Helper()
	q := url.Values{"database": {"trellis"}}
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+shared.address+"/?"+q.Encode(), strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	return do(t, req)
}

func do(t *testing.T, req *http.Request) reply {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header.Get("X-ClickHouse-Exception-Code"), strings.TrimSpace(string(body)), err}
}

func ask(t *testing.T, statement string, params ...string) reply {
	t.Helper()
	return send(t, "trellis", "pass:word", statement, params...)
}

// must fails the test unless the statement succeeds, and returns the answer.
func must(t *testing.T, statement string, params ...string) string {
	t.Helper()
	r := ask(t, statement, params...)
	if r.status != http.StatusOK || r.err != nil {
		t.Fatalf("%s: %d %s %v", statement, r.status, r.body, r.err)
	}
	return r.body
}

// dial connects as the product does.
func dial(t *testing.T, method clickhouse.CompressionMethod) driver.Conn {
	t.Helper()
	c, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{shared.address}, Auth: clickhouse.Auth{Database: "trellis", Username: "trellis", Password: "pass:word"},
		Compression: &clickhouse.Compression{Method: method, Level: 1}, MaxOpenConns: concurrent, MaxIdleConns: concurrent,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var methods = map[string]clickhouse.CompressionMethod{
	"none": clickhouse.CompressionNone, "lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD, "gzip": clickhouse.CompressionGZIP, "deflate": clickhouse.CompressionDeflate,
}

func TestNothingOfARequestReachesTheNext(t *testing.T) {
	needEngine(t)
	const state = "SELECT getSetting('max_execution_time'), getSetting('max_rows_to_read'), getSetting('readonly'), currentDatabase(), (SELECT count() FROM system.tables WHERE is_temporary)"
	const clean = "60\t0\t0\ttrellis\t0"
	must(t, "CREATE TABLE leak (a UInt64) ENGINE = MergeTree ORDER BY a")
	// look asks over as many connections at once as the front works on, and holds them all
	// until the last has answered.
	look := func(after string) {
		t.Helper()
		var wg sync.WaitGroup
		for range concurrent {
			wg.Go(func() {
				if r := ask(t, state+" FROM numbers(1) WHERE sleep(0.05) = 0"); r.body != clean {
					t.Errorf("after %s: %s", after, r.body)
				}
			})
		}
		wg.Wait()
	}
	look("nothing")
	limits := []string{"max_execution_time", "7", "max_rows_to_read", "3"}
	for _, c := range []struct {
		name, statement string
		params          []string
		code            string
	}{
		{"a query that succeeds", "SELECT getSetting('max_rows_to_read')", limits, ""},
		{"a query over its limit", "SELECT sum(number) FROM numbers(1000000)", limits, "158"},
		{"a query out of time", "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1", []string{"max_execution_time", "1"}, "159"},
		{"a query that does not parse", "SELECT FROM WHERE", limits, "62"},
		{"a setting with a bad value beside good ones", "SELECT 1", append([]string{"max_threads", "many"}, limits...), "27"},
		{"a streamed result", "SELECT number FROM numbers(3000000)", []string{"max_execution_time", "7"}, ""},
		{"an INSERT", "1\n2\n", append([]string{"query", "INSERT INTO leak FORMAT TSV"}, limits...), ""},
		{"an INSERT that fails", "1\nx\n", append([]string{"query", "INSERT INTO leak FORMAT TSV"}, limits...), "27"},
		{"SET", "SET max_execution_time = 7, max_rows_to_read = 3", nil, ""},
		{"settings of the statement", "SELECT 1 SETTINGS max_execution_time = 7, max_rows_to_read = 3", nil, ""},
		{"USE", "USE system", nil, ""},
		{"a temporary table", "CREATE TEMPORARY TABLE left_over (a UInt8)", nil, ""},
		{"read-only", "SELECT 1", []string{"readonly", "1"}, ""},
	} {
		for range 3 {
			if r := ask(t, c.statement, c.params...); r.code != c.code {
				t.Errorf("%s: %s", c.name, r.body)
			}
		}
		look(c.name)
	}
	// The same through the driver's pool, with limits in every other request.
	conn := dial(t, clickhouse.CompressionLZ4)
	var wg sync.WaitGroup
	for i := range 8 * concurrent {
		wg.Go(func() {
			ctx, want := context.Background(), float64(60)
			if i%2 == 0 {
				ctx, want = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 7})), 7
			}
			var got float64
			if err := conn.QueryRow(ctx, "SELECT toFloat64(getSetting('max_execution_time'))").Scan(&got); err != nil || got != want {
				t.Errorf("%v instead of %v, %v", got, want, err)
			}
		})
	}
	wg.Wait()
}

func TestRetriedBatchChangesNeitherTableNorViews(t *testing.T) {
	needEngine(t)
	must(t, "CREATE TABLE events (id UInt64, kind LowCardinality(String)) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000")
	must(t, "CREATE TABLE per_kind (kind LowCardinality(String), n UInt64) ENGINE = SummingMergeTree ORDER BY kind SETTINGS non_replicated_deduplication_window = 1000")
	must(t, "CREATE MATERIALIZED VIEW to_per_kind TO per_kind AS SELECT kind, count() AS n FROM events GROUP BY kind")
	conn := dial(t, clickhouse.CompressionLZ4)
	batch := func(token string, ids ...uint64) {
		t.Helper()
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
			"insert_deduplication_token": token, "insert_deduplicate": 1, "deduplicate_blocks_in_dependent_materialized_views": 1,
		}))
		b, err := conn.PrepareBatch(ctx, "INSERT INTO events")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if err := b.Append(id, fmt.Sprint("kind ", id%2)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send(); err != nil {
			t.Fatal(err)
		}
	}
	batch("first", 1, 2, 3)
	batch("first", 1, 2, 3)
	batch("second", 1, 2, 3) // the same rows, another batch
	batch("second", 1, 2, 3)
	batch("first", 1, 2, 3)
	if got := must(t, "SELECT (SELECT count() FROM events), kind, sum(n) FROM per_kind GROUP BY kind ORDER BY kind"); got != "6\tkind 0\t2\n6\tkind 1\t4" {
		t.Errorf("%q", got)
	}
}

func TestSkipIndexIsUsed(t *testing.T) {
	needEngine(t)
	must(t, "CREATE TABLE skipped (id UInt64, actor String, INDEX by_actor actor TYPE bloom_filter GRANULARITY 1) ENGINE = MergeTree ORDER BY id SETTINGS index_granularity = 128")
	must(t, "INSERT INTO skipped SELECT number, toString(number) FROM numbers(10000)")
	got := must(t, "EXPLAIN indexes = 1 SELECT * FROM skipped WHERE actor = '77'")
	if !strings.Contains(got, "by_actor") || !strings.Contains(got, "bloom_filter") {
		t.Error(got)
	}
}

func TestEveryCompressionCarriesRowsBothWays(t *testing.T) {
	needEngine(t)
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			table := "both_" + name
			must(t, "CREATE TABLE "+table+" (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
			conn := dial(t, method)
			b, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+table)
			if err != nil {
				t.Fatal(err)
			}
			const n = 300_000
			for i := range uint64(n) {
				if err := b.Append(i, strconv.Itoa(int(i))); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Send(); err != nil {
				t.Fatal(err)
			}
			rows, err := conn.Query(t.Context(), "SELECT id, text FROM "+table+" ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			i := uint64(0)
			for ; rows.Next(); i++ {
				var id uint64
				var text string
				if err := rows.Scan(&id, &text); err != nil || id != i || text != strconv.Itoa(int(i)) {
					t.Fatalf("row %d: %d %q %v", i, id, text, err)
				}
			}
			if err := rows.Err(); err != nil || i != n {
				t.Errorf("%d rows, %v", i, err)
			}
		})
	}
}

func TestErrorAfterTheBeginningReachesTheClient(t *testing.T) {
	needEngine(t)
	const statement = "SELECT throwIf(number = 3000000, 'midway') FROM numbers(10000000)"
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			rows, err := dial(t, method).Query(t.Context(), statement)
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
			}
			var e *clickhouse.Exception
			if !errors.As(err, &e) || e.Code != 395 {
				t.Errorf("%T %v", err, err)
			}
		})
	}
	if r := ask(t, statement); r.err == nil || !strings.Contains(r.body, "__exception__") || !strings.Contains(r.body, "Code: 395.") {
		t.Errorf("%v, ends with %.300q", r.err, r.body[max(0, len(r.body)-300):])
	}
}

func TestLargeResultIsNotHeldInMemory(t *testing.T) {
	needEngine(t)
	before := peak(t)
	q := url.Values{"query": {"SELECT number, repeat('x', 120) FROM numbers(10000000)"}}
	req, err := http.NewRequest(http.MethodPost, "http://"+shared.address+"/?"+q.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("trellis", "pass:word")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || n < 1_200_000_000 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	grown := peak(t) - before
	t.Logf("%d MB were sent, the process grew by %d MB", n>>20, grown>>10)
	if grown > 400<<10 {
		t.Errorf("the process grew by %d MB", grown>>10)
	}
}

// peak is the most memory this process has ever had, in KB.
func peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAbandonedResultEnds(t *testing.T) {
	needEngine(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+shared.address+"/", strings.NewReader("SELECT sipHash64(number) FROM numbers(1000000000000)"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("trellis", "pass:word")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	res.Body.Close()
	for range 100 {
		if len(shared.slots) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%d requests still run", len(shared.slots))
}

func TestFormatsThatCannotBeSentInPartsAreWhole(t *testing.T) {
	needEngine(t)
	const rows = " FROM numbers(6) SETTINGS max_block_size = 2"
	for statement, want := range map[string]string{
		"SELECT number" + rows + " FORMAT CSVWithNames":                     "\"number\"\n0\n1\n2\n3\n4\n5",
		"SELECT number" + rows + " FORMAT Values":                           "(0),(1),(2),(3),(4),(5)",
		"SELECT number FROM numbers(2) FORMAT JSONEachRow":                  "{\"number\":0}\n{\"number\":1}",
		"/* a */ -- FORMAT CSV\n(SELECT number" + " FROM numbers(2))":       "0\n1",
		"SELECT 'FORMAT JSON', number FROM numbers(2)":                      "FORMAT JSON\t0\nFORMAT JSON\t1",
		"EXPLAIN AST SELECT 1 FORMAT TSV":                                   "SelectWithUnionQuery (children 2)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n   ExpressionList (children 1)\n    Literal UInt64_1\n Identifier TSV",
		"SELECT number FROM numbers(0)":                                     "",
		"WITH {n:UInt8} AS n SELECT n, {s:String}":                          "3\tit\\'s \\\\",
		"SELECT count() FROM (SELECT number FROM numbers(3) LIMIT 2); -- x": "2",
	} {
		if got := must(t, statement, "param_n", "3", "param_s", `it's \\`); got != want {
			t.Errorf("%s: %q", statement, got)
		}
	}
}

func TestBadInputIsAnException(t *testing.T) {
	needEngine(t)
	must(t, "CREATE TABLE bad (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
	noise := string(bytes.Repeat([]byte{0xff, 0x00, 0x1b, 0xfe, '`', '\''}, 500))
	for name, c := range map[string]struct {
		statement string
		params    []string
		code      string
	}{
		"two statements":         {"SELECT 1; SELECT 2", nil, "62"},
		"two inserts":            {"INSERT INTO bad (a) VALUES (1); INSERT INTO bad (a) VALUES (2)", nil, "62"},
		"nothing":                {" \n", nil, "62"},
		"a comment":              {"-- nothing", nil, "62"},
		"no statement":           {"SELEC 1", nil, "62"},
		"noise":                  {noise, nil, "62"},
		"noise in a string":      {"SELECT '" + noise, nil, "62"},
		"noise as a block":       {noise, []string{"decompress", "1"}, "33"},
		"noise as data":          {noise, []string{"query", "INSERT INTO bad FORMAT Native"}, "33"},
		"noise as data's block":  {noise, []string{"query", "INSERT INTO bad FORMAT Native", "decompress", "1"}, "33"},
		"an unknown format":      {"SELECT 1", []string{"default_format", "Nope"}, "73"},
		"an unknown input":       {"1", []string{"query", "INSERT INTO bad FORMAT Nope"}, "73"},
		"an unknown table":       {"SELECT * FROM nope", nil, "60"},
		"an unknown database":    {"SELECT 1", []string{"database", "no`pe\\"}, "81"},
		"an unknown setting":     {"SELECT 1", []string{"nope", "1"}, "115"},
		"no name of a setting":   {"SELECT 1", []string{"a b", "1"}, "115"},
		"a setting's bad value":  {"SELECT 1", []string{"max_threads", "1'; DROP TABLE bad; --"}, "27"},
		"a missing parameter":    {"SELECT {x:UInt8}", nil, "456"},
		"a parameter's bad type": {"SELECT {x:UInt8}", []string{"param_x", "abc"}, "457"},
		"a session":              {"SELECT 1", []string{"session_id", "s"}, "48"},
		"a deep expression":      {"SELECT " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000), nil, "306"},
		"a statement too large":  {"SELECT 1 --" + strings.Repeat("x", maxStatement), nil, "307"},
	} {
		r := ask(t, c.statement, c.params...)
		if r.code != c.code || r.status == http.StatusOK || !strings.HasPrefix(r.body, "Code: "+c.code+". DB::Exception: ") {
			t.Errorf("%s: %d, code %s: %.300s", name, r.status, r.code, r.body)
		}
	}
	if got := must(t, "SELECT count() FROM bad"); got != "0" {
		t.Errorf("%s rows", got)
	}
	if r := ask(t, "SELECT 1"); r.body != "1" {
		t.Error(r)
	}
}

func TestLongInsertInTheStatement(t *testing.T) {
	needEngine(t)
	must(t, "CREATE TABLE long (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
	must(t, "INSERT INTO long VALUES "+strings.Repeat("(1,'a;b'),", 200_000)+"(2,'c')")
	must(t, "INSERT INTO long FORMAT CSV\n"+strings.Repeat("1,a\n", 200_000))
	must(t, "INSERT INTO long SETTINGS insert_deduplicate = 0 FORMAT JSONEachRow "+strings.Repeat(`{"a":1}`+"\n", 100_000))
	if got := must(t, "SELECT count() FROM long"); got != "500001" {
		t.Errorf("%s rows", got)
	}
}

func TestInsertWithoutRowsIsNoError(t *testing.T) {
	needEngine(t)
	must(t, "CREATE TABLE none (a UInt64) ENGINE = MergeTree ORDER BY a")
	must(t, "", "query", "INSERT INTO none FORMAT Native")
	must(t, "", "query", "INSERT INTO none FORMAT CSV")
}

func TestUsers(t *testing.T) {
	needEngine(t)
	must(t, "CREATE TABLE seen (a UInt64) ENGINE = MergeTree ORDER BY a")
	must(t, "INSERT INTO seen VALUES (1)")
	for _, c := range []struct{ user, password, statement, code string }{
		{"trellis", "wrong", "SELECT 1", "516"},
		{"trellis", "", "SELECT 1", "516"},
		{"", "", "SELECT 1", "516"},
		{"default", "", "SELECT 1", "516"},
		{"analyst", "pass:word", "SELECT 1", "516"},
		{"analyst", "reader", "SELECT count() FROM seen", ""},
		{"analyst", "reader", "SHOW TABLES", ""},
		{"analyst", "reader", "SELECT FROM WHERE", "62"},
		{"analyst", "reader", "INSERT INTO seen VALUES (2)", "164"},
		{"analyst", "reader", "DROP TABLE seen", "164"},
		{"analyst", "reader", "SET readonly = 0", "164"},
		{"analyst", "reader", "SYSTEM FLUSH LOGS", "164"},
		{"analyst", "reader", "SELECT 1 INTO OUTFILE '/dev/null'", "164"},
		{"analyst", "reader", "INSERT INTO FUNCTION null('a UInt8') VALUES (1)", "164"},
		{"analyst", "reader", "SELECT 1 SETTINGS readonly = 0", "164"},
	} {
		if r := send(t, c.user, c.password, c.statement); r.code != c.code {
			t.Errorf("%s: %s: %s", c.user, c.statement, r.body)
		}
	}
	for _, params := range [][]string{{"readonly", "0"}, {"query", "INSERT INTO seen FORMAT CSV"}} {
		if r := send(t, "analyst", "reader", "SELECT 1", params...); r.code != "164" {
			t.Errorf("%v: %s", params, r.body)
		}
	}
	// The analyst may set what is not about being read-only, as drivers do.
	if r := send(t, "analyst", "reader", "SELECT getSetting('max_execution_time')", "max_execution_time", "5"); r.body != "5" {
		t.Error(r)
	}
	for _, address := range []string{"/?user=trellis&password=pass:word&query=SELECT+1", "/?user=trellis&password=pass:word&query=DROP+TABLE+trellis.seen"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+shared.address+address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r := do(t, req); r.body != "1" && r.code != "164" {
			t.Errorf("%s: %s", address, r.body)
		}
	}
	if got := must(t, "SELECT count() FROM seen"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

func TestPasswordsAreNeeded(t *testing.T) {
	t.Setenv("TRELLIS_SERVICES_CLICKHOUSE_PASSWORD", "x")
	t.Setenv("TRELLIS_SERVICES_CLICKHOUSE_ANALYST_PASSWORD", "")
	if _, err := accountsFromEnvironment(); err == nil || !strings.Contains(err.Error(), "ANALYST") {
		t.Error(err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, address := range []string{":8123", "0.0.0.0:8123", "localhost:8123", "192.0.2.1:8123", "127.0.0.1"} {
		if l, err := listenLoopback(address); err == nil {
			l.Close()
			t.Error(address)
		}
	}
}
