// Command front serves ClickHouse's HTTP interface from the real engine of ClickHouse,
// which it loads as a library (libchdb.so). It is for tests and development on machines
// where no container engine runs, and listens on a loopback address alone.
//
// What is real: the parser, types, tables, merges, materialized views, limits and errors.
// What is not: its two users and their rights are this program's own, so nothing about
// ClickHouse's access control can be proven with it, and who has a password may read and
// write what this process may, by the table function file. There is no native protocol,
// no session, no query log; asynchronous inserts run at once; a query cannot be killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"trellis/scripts/clickhouse/front/chdb"
)

// drain is how long requests under way may go on after the signal to stop.
const drain = 20 * time.Second

func main() {
	lib := flag.String("lib", "", "where libchdb.so is")
	data := flag.String("data", "", "directory of the data, for this process alone")
	listen := flag.String("listen", "127.0.0.1:8123", "loopback address and port")
	database := flag.String("database", "trellis", "database to have")
	flag.Parse()
	if err := run(*lib, *data, *listen, *database); err != nil {
		fmt.Fprintln(os.Stderr, "front:", err)
		os.Exit(1)
	}
}

func run(lib, data, listen, database string) error {
	accounts, err := accountsFromEnvironment()
	if err != nil {
		return err
	}
	engine, err := openEngine(lib, data, database)
	if err != nil {
		return err
	}
	listener, err := listenLoopback(listen)
	if err != nil {
		return err
	}
	slog.Info("ready", "engine", engine.version, "library", chdb.Version(), "address", listener.Addr().String())

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := newHTTPServer(newFront(engine, accounts))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		// A query cannot be cancelled, nor the engine closed while one runs. What was
		// acknowledged is stored; leaving now is no worse than a crash.
		slog.Warn("left with requests under way")
		return nil
	}
	engine.close()
	slog.Info("stopped")
	return nil
}

func listenLoopback(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, errors.New("it listens on a loopback address only, such as 127.0.0.1:8123")
	}
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
}

// newHTTPServer bounds how long a request may take to arrive. How long an answer may take
// is bound from part to part, in answer.go, since a whole export has no bound.
func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Minute, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 1 << 20}
}
