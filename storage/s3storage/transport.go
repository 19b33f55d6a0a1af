package s3storage

import (
	"context"
	"net"
	"net/http"
	"time"
)

// newTransport returns a transport of which no connection stands still for
// longer than stall while somebody waits for it.
func newTransport(stall time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: min(stall, 5*time.Second), KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &conn{c, stall}, nil
		},
		TLSHandshakeTimeout:   min(stall, 10*time.Second),
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		WriteBufferSize:       32 << 10,
		ReadBufferSize:        32 << 10,
		DisableCompression:    true,
	}
}

// conn gives every read and write a deadline. A whole transfer has none: one
// that moves on may take its time.
type conn struct {
	net.Conn
	stall time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write moves the deadline for reading too: the transport waits for an answer
// from when the connection was idle.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
