package audit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trellis/audit"
)

func keyed(key string) func(...string) [32]byte {
	return func(parts ...string) (out [32]byte) {
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(strings.Join(parts, "|")))
		copy(out[:], m.Sum(nil))
		return out
	}
}

func addresses(t testing.TB, mode, key string) audit.Addresses {
	t.Helper()
	a, err := audit.NewAddresses(mode, keyed(key))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestHowMuchOfAnAddressIsKept(t *testing.T) {
	for _, c := range []struct{ mode, address, want string }{
		{audit.AddressFull, "192.0.2.77", "192.0.2.77"},
		{audit.AddressFull, "::ffff:192.0.2.77", "192.0.2.77"},
		{audit.AddressFull, "2001:db8:1:2::3", "2001:db8:1:2::3"},
		{audit.AddressFull, "fe80::1%eth0", "fe80::1"},
		{audit.AddressSubnet, "192.0.2.77", "192.0.2.0/24"},
		{audit.AddressSubnet, "::ffff:192.0.2.77", "192.0.2.0/24"},
		{audit.AddressSubnet, "2001:db8:1:2::3", "2001:db8:1::/48"},
		{audit.AddressSubnet, "fe80::1%eth0", "fe80::/48"},
	} {
		if got := addresses(t, c.mode, "").Keep(netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%s of %s is %q, want %q", c.mode, c.address, got, c.want)
		}
	}
	if got := (audit.Addresses{}).Keep(netip.MustParseAddr("192.0.2.77")); got != "192.0.2.77" {
		t.Errorf("the zero value keeps %q", got)
	}
	for _, mode := range []string{audit.AddressFull, audit.AddressSubnet, audit.AddressHash} {
		if got := addresses(t, mode, "k").Keep(netip.Addr{}); got != "" {
			t.Errorf("%s of no address is %q", mode, got)
		}
	}
}

func TestAHashedAddressTellsOnlyThatItIsTheSame(t *testing.T) {
	a, b := addresses(t, audit.AddressHash, "a"), addresses(t, audit.AddressHash, "b")
	seen := map[string]netip.Addr{}
	rapid.Check(t, func(t *rapid.T) {
		var raw [4]byte
		copy(raw[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip"))
		ip := netip.AddrFrom4(raw)
		got := a.Keep(ip)
		if len(got) != 32 || strings.Trim(got, "0123456789abcdef") != "" {
			t.Fatalf("%q is not 128 bits in hexadecimal digits", got)
		}
		if got != a.Keep(netip.AddrFrom16(ip.As16())) {
			t.Fatal("the two forms of one address differ")
		}
		if other, ok := seen[got]; ok && other != ip || got == b.Keep(ip) {
			t.Fatal("another address, or another key, has the same hash")
		}
		seen[got] = ip
	})
}

func TestAddressesAreKeptInAKnownWay(t *testing.T) {
	for _, mode := range []string{"", "FULL", "none"} {
		if _, err := audit.NewAddresses(mode, keyed("k")); err == nil {
			t.Errorf("%q is taken", mode)
		}
	}
	if _, err := audit.NewAddresses(audit.AddressHash, nil); err == nil {
		t.Error("a hash without a key is taken")
	}
}
