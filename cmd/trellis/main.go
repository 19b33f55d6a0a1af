// Command trellis is the one binary: the server and its command line. It owns
// settings, wiring and what is printed; it is the only place that picks
// engines. It promises exit code 0 for success and "allowed", 1 for "denied",
// 2 for an error, and that no secret is printed but the one that was asked
// for or just made.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first signal ends the context; stop makes the second one fatal.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
