package audit

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// Addresses says how much of a client's network address is kept. The zero
// value keeps it whole. It is safe for concurrent use.
type Addresses struct {
	mode string
	sum  func(parts ...string) [32]byte
}

// Ways of keeping an address.
const (
	// AddressFull keeps it as it is.
	AddressFull = "full"
	// AddressSubnet keeps the network: 24 bits of an IPv4 address, 48 of an IPv6 address.
	AddressSubnet = "subnet"
	// AddressHash keeps 128 bits of a keyed hash. Equal addresses have equal
	// hashes; without the key nobody can find out by trying which address it was.
	AddressHash = "hash"
)

// NewAddresses returns the way of that name. sum is the keyed hash (an HMAC);
// only AddressHash needs one.
func NewAddresses(mode string, sum func(parts ...string) [32]byte) (Addresses, error) {
	switch {
	case mode != AddressFull && mode != AddressSubnet && mode != AddressHash:
		return Addresses{}, fmt.Errorf("audit: addresses are kept as full, subnet or hash, not as %q", mode)
	case mode == AddressHash && sum == nil:
		return Addresses{}, fmt.Errorf("audit: hashes of addresses need a key")
	}
	return Addresses{mode, sum}, nil
}

// Keep returns the address as it may be recorded, "" if there is none. An
// IPv4 address that is written as an IPv6 one is the IPv4 address; a zone is left out.
func (a Addresses) Keep(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return ""
	}
	switch a.mode {
	case AddressSubnet:
		bits := 48
		if ip.Is4() {
			bits = 24
		}
		p, err := ip.Prefix(bits)
		if err != nil {
			return "" // not reached: both fit
		}
		return p.String()
	case AddressHash:
		sum := a.sum(ip.String())
		return hex.EncodeToString(sum[:16])
	}
	return ip.String()
}
