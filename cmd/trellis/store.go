package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trellis/cmd/trellis/config"
	"trellis/graph"
	"trellis/graph/neo4jgraph"
	"trellis/graph/sqlitegraph"
)

// openStore picks the engine: the only place that does. An engine on a server
// is opened without reaching it.
func openStore(c *config.Config) (graph.Store, error) {
	if !c.Embedded() {
		return neo4jgraph.Open(c.GraphURL, neo4jgraph.Options{})
	}
	if err := os.MkdirAll(filepath.Dir(c.GraphPath()), 0o700); err != nil {
		return nil, fmt.Errorf("the directory of the graph cannot be made: %w", err)
	}
	return sqlitegraph.Open(c.GraphPath(), sqlitegraph.Options{})
}

// secretKey returns the server's secret. An embedded server that was given
// none makes one and keeps it beside the graph.
func secretKey(c *config.Config) (string, error) {
	if c.SecretKey != "" {
		return c.SecretKey, nil
	}
	file := c.SecretKeyFile()
	key, err := readSecret(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return "", fmt.Errorf("the data directory cannot be made: %w", err)
	}
	// A link either makes the whole file or fails: of two processes that start
	// at once, both use the key of the first, and none a half-written one.
	tmp, err := os.CreateTemp(c.Data, ".secret-*") // has mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	b := make([]byte, 32)
	rand.Read(b) // never fails
	_, err = tmp.WriteString(hex.EncodeToString(b) + "\n")
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", err
	}
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return readSecret(file)
}

func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 32 {
		return "", fmt.Errorf("%s holds %d characters; it needs 32 or more. Restore the file: without it API keys are worth nothing", file, len(key))
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", file, info.Mode().Perm())
	}
	return key, nil
}

// sleep waits, or tells that the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
