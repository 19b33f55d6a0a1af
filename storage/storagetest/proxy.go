package storagetest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server, until it is told to fail.
type Proxy struct {
	// Address is HOST:PORT, and stays the same.
	Address string

	target  string
	mu      sync.Mutex
	ln      net.Listener
	conns   map[net.Conn]bool
	fault   *fault
	running sync.WaitGroup
}

// fault is what happens when so many bytes have passed one way.
type fault struct {
	up    bool // to the server
	after int
	stall chan struct{} // nil: cut
}

// NewProxy starts a proxy to HOST:PORT, which ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{Address: "127.0.0.1:0", target: target, conns: map[net.Conn]bool{}}
	p.Accept(t)
	t.Cleanup(func() {
		p.Refuse()
		p.running.Wait()
	})
	return p
}

// Accept takes connections, again after Refuse.
func (p *Proxy) Accept(t testing.TB) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.Address)
	if err != nil {
		t.Errorf("proxy: %v", err)
		return
	}
	p.mu.Lock()
	p.ln, p.Address = ln, ln.Addr().String()
	p.mu.Unlock()
	p.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.pass(c) })
		}
	})
}

// Refuse cuts all connections off and takes no more.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ln.Close()
	p.cut()
}

// CutUp cuts all connections off, once, when that many more bytes have passed to
// the server.
func (p *Proxy) CutUp(bytes int) { p.set(&fault{up: true, after: bytes}) }

// CutDown is CutUp for what comes from the server.
func (p *Proxy) CutDown(bytes int) { p.set(&fault{after: bytes}) }

// StallUp lets nothing more pass to the server after that many bytes, without
// telling anybody, until Heal or Refuse.
func (p *Proxy) StallUp(bytes int) { p.set(&fault{up: true, after: bytes, stall: make(chan struct{})}) }

// StallDown is StallUp for what comes from the server.
func (p *Proxy) StallDown(bytes int) { p.set(&fault{after: bytes, stall: make(chan struct{})}) }

// Heal lets everything pass; connections that stood still are cut off.
func (p *Proxy) Heal() { p.set(nil) }

func (p *Proxy) set(f *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil && p.fault.stall != nil {
		p.cut()
	}
	p.fault = f
}

// cut ends all connections as if the machine at the other end had gone. The
// caller holds the lock.
func (p *Proxy) cut() {
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
		c.Close()
	}
	clear(p.conns)
	if p.fault != nil && p.fault.stall != nil {
		close(p.fault.stall)
	}
	p.fault = nil
}

func (p *Proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, true) })
	both.Go(func() { p.copy(client, server, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

func (p *Proxy) copy(to, from net.Conn, up bool) {
	defer to.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for sent := 0; sent < n; {
			may := p.take(up, n-sent)
			if may == 0 {
				return
			}
			if _, err := to.Write(buf[sent : sent+may]); err != nil {
				return
			}
			sent += may
		}
		if err != nil {
			return
		}
	}
}

// take returns how many of n bytes may pass. 0: the connection is over.
func (p *Proxy) take(up bool, n int) int {
	p.mu.Lock()
	f := p.fault
	if f == nil || f.up != up {
		p.mu.Unlock()
		return n
	}
	if f.after > 0 {
		n = min(n, f.after)
		f.after -= n
		p.mu.Unlock()
		return n
	}
	if f.stall == nil {
		p.cut()
		p.mu.Unlock()
		return 0
	}
	p.mu.Unlock()
	<-f.stall
	return 0
}
