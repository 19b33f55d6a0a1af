// Package peer starts the systems that are compared, each as a process of its
// own with its own directory, and knows how each is asked the same thing over
// HTTP. It promises that every request it makes carries the test of its answer.
package peer

import (
	"context"
	"time"

	"trellis/bench/drive"
	"trellis/bench/world"
)

// Peer is a system under test, started and empty until Load.
type Peer interface {
	Name() string
	Client() *drive.Client
	// Load puts the whole world into an empty store and tells how many tuples or changes that took.
	Load(ctx context.Context) (elements int, took time.Duration, err error)
	// StartTime is how long it took from the start of the process to its first answer.
	StartTime() time.Duration

	Check(q world.Question) drive.Request
	// Batch asks at most BatchSize questions at once.
	Batch(qs []world.Question) drive.Request
	BatchSize() int
	// List asks for all repositories that the reader may read.
	List(r world.Reader) drive.Request
	// Grant lets the person read the repository.
	Grant(person string, r *world.Repo) drive.Request
	// Revoke takes that back.
	Revoke(person string, r *world.Repo) drive.Request

	// CPU returns the processor time used so far; 0 where the system does not tell.
	CPU() time.Duration
	// Memory returns the resident memory in bytes, now and at its highest; 0 where the system does not tell.
	Memory() (now, peak int64)
	// Stop ends the process and waits for it.
	Stop() error
}
