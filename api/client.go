package api

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"trellis/audit"
	"trellis/graph"
)

// clients tells where requests come from, as far as that is to be kept.
type clients struct {
	addresses audit.Addresses
	trusted   []netip.Prefix
	header    string

	// seen remembers the peers of open connections, so that a connection's
	// address is read once and not with each request.
	seen *memo[remote, peer]
}

// remote is a peer as net/http writes it.
type remote string

func (r remote) hash(seed maphash.Seed) uint64 { return maphash.String(seed, string(r)) }

// peer is the other end of a connection.
type peer struct {
	ip      netip.Addr
	kept    string // what is recorded of it
	trusted bool
}

func newClients(o Options) *clients {
	return &clients{addresses: o.Addresses, trusted: o.TrustedProxies, header: http.CanonicalHeaderKey(o.ForwardedHeader), seen: newMemo[remote, peer](1024)}
}

// address returns what is kept of the client's address: that of the peer, or,
// if the peer is a trusted proxy, the one that it saw.
func (cs *clients) address(r *http.Request) string {
	p := cs.peer(r.RemoteAddr)
	if !p.trusted {
		return p.kept
	}
	if ip := cs.forwarded(r.Header, p.ip); ip != p.ip {
		return cs.addresses.Keep(ip)
	}
	return p.kept
}

// peer reads what net/http says of the other end.
func (cs *clients) peer(addr string) peer {
	p, ok := cs.seen.get(remote(addr))
	if ok {
		return p
	}
	if a, err := netip.ParseAddrPort(addr); err == nil {
		p.ip = plainIP(a.Addr())
	}
	p.kept, p.trusted = cs.addresses.Keep(p.ip), cs.trusts(p.ip)
	cs.seen.put(remote(addr), p)
	return p
}

// plainIP gives an address one form: proxies that are trusted as IPv4 are
// trusted too where the socket calls them ::ffff:….
func plainIP(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

func (cs *clients) trusts(ip netip.Addr) bool {
	return ip.IsValid() && slices.ContainsFunc(cs.trusted, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// maxHops limits how many proxies in a row are gone through.
const maxHops = 32

// forwarded walks the header's addresses from the right, each of which was
// written by the one after it, for as long as that one is trusted. What is
// left of the first untrusted address, its owner may have made up.
func (cs *clients) forwarded(h http.Header, ip netip.Addr) netip.Addr {
	hops := 0
	for _, line := range slices.Backward(h[cs.header]) {
		for line != "" {
			var last string
			if i := strings.LastIndexByte(line, ','); i >= 0 {
				line, last = line[:i], line[i+1:]
			} else {
				line, last = "", line
			}
			if cs.header == "Forwarded" {
				last = forParameter(last)
			}
			next, ok := hopAddress(last)
			if hops++; !ok || hops > maxHops {
				return ip // whoever comes before is not known
			}
			if ip = next; !cs.trusts(ip) {
				return ip
			}
		}
	}
	return ip
}

// forParameter takes the "for" out of an element of Forwarded (RFC 7239).
func forParameter(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if name, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(name, "for") {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// hopAddress reads an address with or without a port.
func hopAddress(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		return plainIP(a), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return plainIP(a.Addr()), true
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		a, err := netip.ParseAddr(s[1 : len(s)-1])
		return plainIP(a), err == nil
	}
	return netip.Addr{}, false
}

// maxAgent is how much is kept of what a client calls itself, in bytes.
const maxAgent = 200

// agent returns what the client calls itself, fit to be kept and shown.
func agent(h http.Header) string {
	v := h["User-Agent"]
	if len(v) == 0 {
		return ""
	}
	s := v[0]
	if len(s) <= maxAgent && graph.Printable(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s[:min(len(s), 4*maxAgent)])
	return strings.ToValidUTF8(s[:min(len(s), maxAgent)], "")
}
