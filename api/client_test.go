package api_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"trellis/api"
	"trellis/audit"
	"trellis/graph"
)

func TestTheAddressIsThatOfWhoeverATrustedProxySaw(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	forms := map[string]string{"X-Forwarded-For": "Forwarded", "Forwarded": "X-Forwarded-For"}
	for _, c := range []struct {
		why, header, peer string
		lines             []string
		want              string
	}{
		{"the peer itself", "X-Forwarded-For", "192.0.2.1:4711", nil, "192.0.2.1"},
		{"an IPv6 peer", "X-Forwarded-For", "[2001:db8::1]:4711", nil, "2001:db8::1"},
		{"IPv4 on an IPv6 socket", "X-Forwarded-For", "[::ffff:192.0.2.1]:4711", nil, "192.0.2.1"},
		{"a zone", "X-Forwarded-For", "[fe80::1%eth0]:4711", nil, "fe80::1"},
		{"a Unix socket", "X-Forwarded-For", "@", nil, ""},
		{"not a proxy", "X-Forwarded-For", "192.0.2.1:4711", []string{"198.51.100.7"}, "192.0.2.1"},
		{"a proxy that says nothing", "X-Forwarded-For", "10.1.2.3:4711", nil, "10.1.2.3"},
		{"behind a proxy", "X-Forwarded-For", "10.1.2.3:4711", []string{"198.51.100.7"}, "198.51.100.7"},
		{"a proxy on an IPv6 socket", "X-Forwarded-For", "[::ffff:10.1.2.3]:4711", []string{"198.51.100.7"}, "198.51.100.7"},
		{"what the client made up", "X-Forwarded-For", "10.1.2.3:4711", []string{"203.0.113.9, 10.9.9.9, 198.51.100.7"}, "198.51.100.7"},
		{"in lines of its own", "X-Forwarded-For", "10.1.2.3:4711", []string{"203.0.113.9", "198.51.100.7", "10.4.4.4"}, "198.51.100.7"},
		{"two proxies", "X-Forwarded-For", "10.1.2.3:4711", []string{"198.51.100.7,10.4.4.4"}, "198.51.100.7"},
		{"a client that is a proxy", "X-Forwarded-For", "10.1.2.3:4711", []string{"10.5.5.5"}, "10.5.5.5"},
		{"with ports", "X-Forwarded-For", "10.1.2.3:4711", []string{"198.51.100.7:99, [fd00::1]:5"}, "198.51.100.7"},
		{"in brackets", "X-Forwarded-For", "10.1.2.3:4711", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"nonsense from a proxy", "X-Forwarded-For", "10.1.2.3:4711", []string{"198.51.100.7, unknown"}, "10.1.2.3"},
		{"nonsense made up", "X-Forwarded-For", "10.1.2.3:4711", []string{"<script>, 198.51.100.7"}, "198.51.100.7"},
		{"empty elements", "X-Forwarded-For", "10.1.2.3:4711", []string{"198.51.100.7, ,"}, "10.1.2.3"},
		{"more hops than there are proxies", "X-Forwarded-For", "10.1.2.3:4711", []string{"198.51.100.7" + strings.Repeat(",10.1.1.1", 5000)}, "10.1.1.1"},
		{"RFC 7239", "Forwarded", "10.1.2.3:4711", []string{`for=203.0.113.9, for="[2001:db8::7]:4711";proto=https;by=10.1.2.3, For=10.4.4.4`}, "2001:db8::7"},
		{"an obfuscated name", "Forwarded", "10.1.2.3:4711", []string{`for=_hidden`}, "10.1.2.3"},
		{"nothing about the client", "Forwarded", "10.1.2.3:4711", []string{`proto=https`}, "10.1.2.3"},
	} {
		// The header that proxies do not write is the client's to make up.
		h := http.Header{c.header: c.lines, forms[c.header]: {"203.0.113.66", "for=203.0.113.66"}, "X-Real-Ip": {"203.0.113.66"}}
		got := api.ClientAddress(api.Options{TrustedProxies: trusted, ForwardedHeader: c.header}, c.peer, h)
		for i := range got {
			if got[i] != c.want {
				t.Errorf("%s: %q the %d. time, want %q", c.why, got[i], i+1, c.want)
			}
		}
	}
}

func TestNoHeaderMattersButFromAProxy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(rapid.String(), rapid.StringMatching(`(10\.[0-9]\.0\.1|[0-9a-f:]{2,12}|for="?[0-9.]+"?|[,; ])*`))
		h := http.Header{}
		for _, name := range []string{"X-Forwarded-For", "Forwarded"} {
			h[name] = rapid.SliceOfN(line, 0, 3).Draw(t, name)
		}
		o := api.Options{ForwardedHeader: rapid.SampledFrom([]string{"X-Forwarded-For", "Forwarded"}).Draw(t, "header"), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		if got := api.ClientAddress(o, "192.0.2.1:1", h); got[0] != "192.0.2.1" {
			t.Fatalf("a stranger became %q", got[0])
		}
		// Whatever stands to the left, the address that the proxy itself saw counts.
		o.ForwardedHeader = "X-Forwarded-For"
		h["X-Forwarded-For"] = append(h["X-Forwarded-For"], "198.51.100.7")
		if got := api.ClientAddress(o, "10.0.0.1:1", h); got[0] != "198.51.100.7" {
			t.Fatalf("behind a proxy: %q", got[0])
		}
	})
}

func TestAddressesAreKeptAsTheOptionsSay(t *testing.T) {
	subnet, err := audit.NewAddresses(audit.AddressSubnet, nil)
	must(t, err)
	o := api.Options{Addresses: subnet, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	if got := api.ClientAddress(o, "192.0.2.77:1", nil); got[1] != "192.0.2.0/24" {
		t.Errorf("%q", got)
	}
	if got := api.ClientAddress(o, "10.0.0.1:1", http.Header{"X-Forwarded-For": {"2001:db8:1:2::3"}}); got[1] != "2001:db8:1::/48" {
		t.Errorf("%q", got)
	}
}

func TestWhatAClientCallsItselfIsFitToBeShown(t *testing.T) {
	for in, want := range map[string]string{"curl/8.5": "curl/8.5", "": "", "a\x00b\x1b[31m": "a?b?[31m", "\xff\xfeé": "??é", strings.Repeat("é", 200): strings.Repeat("é", 100)} {
		if got := api.Agent(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "agent") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		if got := api.Agent(in); len(got) > 200 || !utf8.ValidString(got) || !graph.Printable(got) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

func TestOneInSoManyIsChosen(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		weight int64
		most   int
	}{{0, 1, 0}, {1, 1, 3000}, {0.5, 2, 1500}, {0.01, 100, 30}, {0.3, 3, 1000}, {1e-9, 1e9, 1}} {
		n, places := api.Sample(c.rate, 3000, c.weight)
		if n != c.most && (c.rate != 1e-9 || n > c.most) {
			t.Errorf("of 3,000 at %v, %d are chosen, want %d", c.rate, n, c.most)
		}
		// A fixed order of questions must not hide some of them for ever.
		if every := int(c.weight); c.rate > 0.005 && every > 1 && len(places) < min(every, n)/2 {
			t.Errorf("at %v only places %v of a round are chosen", c.rate, places)
		}
	}
}
