//go:build unix

package filestorage_test

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// limitFileSize makes writing beyond a size fail, as on a disk that is full. The
// system would also send a signal, which ends a process.
func limitFileSize(n uint64) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
