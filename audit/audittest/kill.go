package audittest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"trellis/audit"
)

// Killed runs as the child process of RunKilled: it delivers batches to the
// sink until it is killed, and says on standard output which were accepted.
// Call it from TestMain, before flags are read, when KillAddress gives an address.
func Killed(s audit.Sink, out *os.File) error {
	life := os.Getenv(killLife)
	for n := 0; ; n++ {
		if err := s.Deliver(context.Background(), killBatch(life, n)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, n); err != nil {
			return err
		}
	}
}

// killRecords is how many records each batch of Killed has.
const killRecords = 100

// killBatch makes the batch with a number, always the same for a life.
func killBatch(life string, n int) audit.Batch {
	var b audit.Batch
	for b = range NewLinker(fmt.Sprintf("%s-%d", life, n)).Batches(Records(killRecords, uint64(n), audit.Streams...), killRecords) {
	}
	return b
}

// Environment variables that make a test binary the child.
const (
	killAddress = "TRELLIS_TEST_AUDIT_KILLED"
	killLife    = "TRELLIS_TEST_AUDIT_LIFE"
)

// KillAddress returns where the child is to open the sink, and whether this
// process is the child.
func KillAddress() (address string, ok bool) { return os.LookupEnv(killAddress) }

// RunKilled starts this test binary again and again as a child that delivers
// to the sink at the address, kills it in the middle, and looks whether every
// batch is there as a whole or not at all, those that were accepted for sure.
// Then it delivers once more what the child may have been killed at. TestMain
// must hand the child to Killed. open opens the sink at the same address in this process.
func RunKilled(t *testing.T, address string, rounds int, open Place) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var all []audit.Record
	batches := 0
	for round := range rounds {
		life := fmt.Sprintf("life%d", round)
		accepted := killOnce(t, exe, address, life)
		if accepted == 0 {
			t.Errorf("round %d: nothing was accepted", round)
		}
		batches += accepted
		all = append(all, verifyKilled(t, open, life, accepted)...)
	}
	r := &room{T: t, ctx: t.Context(), place: open}
	r.sink = r.open(Options{})
	r.holds("all", all)
	t.Logf("%d batches accepted in %d rounds", batches, rounds)
}

// killOnce lets a child deliver until some time after its first batch was
// accepted, and returns how many were.
func killOnce(t *testing.T, exe, address, life string) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), killAddress+"="+address, killLife+"="+life)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	// A child that never gets that far must not stay.
	hang := time.AfterFunc(time.Minute, kill)
	defer hang.Stop()
	lines, accepted := bufio.NewReader(out), 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that was cut off accepts nothing
		}
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err != nil || n != accepted {
			t.Fatalf("the child says %q after %d batches", line, accepted)
		}
		if accepted++; accepted == 1 {
			kill := time.AfterFunc(time.Duration(20+rand.IntN(300))*time.Millisecond, kill)
			defer kill.Stop()
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the child was not killed, it ended: %v", err)
	}
	return accepted
}

// verifyKilled looks at every batch of a life, and returns the records.
func verifyKilled(t *testing.T, open Place, life string, accepted int) (all []audit.Record) {
	t.Helper()
	r := &room{T: t, ctx: t.Context()}
	r.sink = open(t, Options{})
	defer r.sink.Close()
	for n := range accepted + 2 {
		b := killBatch(life, n)
		found := 0
		for _, s := range audit.Streams {
			got := r.follow(s, b.Records[0].Meta().Writer, 0)
			if found += len(got); len(got) > 0 {
				r.same(fmt.Sprintf("%s of batch %d", s, n), got, expectOf(b.Records, s))
			}
		}
		if n < accepted && found != killRecords || n > accepted && found != 0 || found != 0 && found != killRecords {
			t.Errorf("%s: %d records of batch %d are there; %d batches were accepted", life, found, n, accepted)
		}
		if n > accepted {
			break
		}
		// The batch it may have been killed at, and those before: they count once.
		if n == accepted || n == 0 {
			r.deliverTo(r.sink, b)
		}
		all = append(all, b.Records...)
	}
	return all
}
