package peer

import (
	"context"
	"net/http"
	"strconv"

	"trellis/bench/drive"
	"trellis/bench/world"
)

// Bare is the server of ceiling.ServeGin in a process of its own: a route that
// decodes a check as Trellis does and answers the same every time.
type Bare struct {
	*process
	url string
}

// BareFlag is the flag by which the benchmark's own program is told to be that server.
const BareFlag = "serve-gin"

// StartBare starts it.
func StartBare(ctx context.Context, program, dir string) (*Bare, error) {
	port, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	addr := "127.0.0.1:" + strconv.Itoa(port)
	b := &Bare{url: "http://" + addr}
	// The credential is sent as to the others, and ignored.
	b.process, err = start(ctx, dir, nil, trellisKey, drive.Request{Method: http.MethodGet, URL: b.url + "/ready"}, program, "-"+BareFlag, addr)
	return b, err
}

// Client returns a client for it.
func (b *Bare) Client() *drive.Client { return b.client }

// Stop ends it.
func (b *Bare) Stop() error { return b.stop() }

// Check sends what Trellis is sent; the answer is yes.
func (b *Bare) Check(q world.Question) drive.Request {
	return drive.Request{Method: http.MethodPost, URL: b.url + "/check", Body: mustJSON(ask(q)), Right: allowed(true)}
}
