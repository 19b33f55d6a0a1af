package trail_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"trellis/audit/sqliteaudit"
	"trellis/audit/trail"
	"trellis/graph"
	"trellis/graph/permission"
)

// Where the child process finds the store and the sink.
const (
	childStore = "TRELLIS_TEST_TRAIL_STORE"
	childSink  = "TRELLIS_TEST_TRAIL_SINK"
	childTTL   = "TRELLIS_TEST_TRAIL_LEASE"
)

// childLease is that of the processes that are killed; longer ones, up to the
// longest, where a busy machine lets none of them come to work with that.
const (
	childLease   = 400 * time.Millisecond
	longestLease = 16 * childLease
)

// TestMain makes this binary the follower that TestKilledProcesses kills.
func TestMain(m *testing.M) {
	address, ok := os.LookupEnv(childStore)
	if !ok {
		os.Exit(m.Run())
	}
	lease, err := time.ParseDuration(os.Getenv(childTTL))
	if err == nil {
		err = child(address, os.Getenv(childSink), lease)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

// child follows until it is killed.
func child(address, path string, lease time.Duration) error {
	store, err := storeAt(address)
	if err != nil {
		return err
	}
	sink, err := sqliteaudit.Open(path, sqliteaudit.Options{})
	if err != nil {
		return err
	}
	index := permission.New()
	_ = graph.New(store, graph.Options{Poll: 10 * time.Millisecond, Log: quiet}, index)
	f := trail.New(store, func() trail.View { return index.View() }, sink, trail.Options{
		Secret: secret, TTL: lease, BatchAge: 10 * time.Millisecond, Backoff: 50 * time.Millisecond, Logger: quiet,
	})
	go func() {
		// The parent must not wait for one that never gets to work.
		for f.Heads() == nil {
			<-time.After(2 * time.Millisecond)
		}
		fmt.Println("at work")
	}()
	f.Run(context.Background())
	return fmt.Errorf("it ended by itself")
}

// Two processes follow a store to which something is written all the time. They
// are killed, or stopped for longer than their lease and let go on, at random
// moments, again and again.
func TestKilledProcesses(t *testing.T) {
	onEngines(t, func(t *testing.T, e engine) {
		path := filepath.Join(t.TempDir(), "audit.db")
		w, s := settle(t, e.open(t)), realSink(t, path)
		span := 8 * time.Second
		if testing.Short() {
			span = 2 * time.Second
		}
		start := time.Now()
		var busy sync.WaitGroup
		var mu sync.Mutex
		kills, stops, worked, lease := 0, 0, 0, childLease
		goOn := func() bool {
			mu.Lock()
			defer mu.Unlock()
			// On a busy machine it may take long until one of them comes to work.
			return time.Since(start) < span || worked == 0 && time.Since(start) < 10*span
		}
		for range 2 {
			busy.Go(func() {
				for goOn() {
					mu.Lock()
					ttl := lease
					mu.Unlock()
					st, did := torment(t, e.address, path, ttl)
					mu.Lock()
					kills++
					stops += st
					switch {
					case did:
						worked++
					case worked == 0:
						lease = min(2*ttl, longestLease)
					}
					mu.Unlock()
				}
			})
		}
		for i := uint64(0); goOn(); i++ {
			writeSome(t, w, 1000+i, 30)
		}
		busy.Wait()
		f, stop := w.follow(w.store, s, trail.Options{TTL: 5 * time.Second}) // no lease is too short for it
		flush(t, f)
		stop()
		isWhole(t, s, w.store)
		t.Logf("%d processes killed, %d of them after they had come to work, %d stops; %d events of %d changes", kills, worked, stops, len(eventsIn(t, s)), w.head())
		if worked == 0 {
			t.Error("none of them came to work")
		}
	})
}

// torment starts a process, stops it now and then, and kills it.
func torment(t *testing.T, store, sink string, lease time.Duration) (stops int, worked bool) {
	exe, err := os.Executable()
	if err != nil {
		t.Error(err)
		return 0, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), childStore+"="+store, childSink+"="+sink, childTTL+"="+lease.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return 0, false
	}
	said := make(chan bool, 1)
	go func() {
		_, err := bufio.NewReader(out).ReadString('\n')
		said <- err == nil
	}()
	select {
	case worked = <-said:
	case <-time.After(10 * lease):
	}
	for range rand.IntN(3) {
		<-time.After(rand.N(200 * time.Millisecond))
		if cmd.Process.Signal(syscall.SIGSTOP) == nil {
			stops++
		}
		<-time.After(rand.N(3 * lease))
		_ = cmd.Process.Signal(syscall.SIGCONT)
	}
	<-time.After(rand.N(200 * time.Millisecond))
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	return stops, worked
}
