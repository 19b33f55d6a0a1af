package identity

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"trellis/graph"
)

// partSize is how much one part of something packed holds: as much as a
// property may.
const partSize = graph.MaxPropBytes

// maxUnpacked limits what Unpack reads, so that a few kilobytes cannot fill the memory.
const maxUnpacked = 256 << 20

// Pack writes v as JSON into texts that each fit into one property of a node:
// for what is larger than a node may be. The same v may come out as other
// texts in another version of the program: compare what was packed.
func Pack(v any) ([]string, error) {
	var b bytes.Buffer
	enc := base64.NewEncoder(base64.RawStdEncoding, &b)
	z := gzip.NewWriter(enc)
	if err := json.NewEncoder(z).Encode(v); err != nil {
		return nil, graph.Wrap(graph.Internal, err, "packing")
	}
	if err := z.Close(); err != nil {
		return nil, graph.Wrap(graph.Internal, err, "packing")
	}
	if err := enc.Close(); err != nil {
		return nil, graph.Wrap(graph.Internal, err, "packing")
	}
	var out []string
	for s := b.String(); s != ""; {
		n := min(len(s), partSize)
		out = append(out, s[:n])
		s = s[n:]
	}
	return out, nil
}

// Unpack reads what Pack wrote. Corrupt if it did not.
func Unpack(parts []string, v any) error {
	z, err := gzip.NewReader(base64.NewDecoder(base64.RawStdEncoding, strings.NewReader(strings.Join(parts, ""))))
	if err != nil {
		return graph.Wrap(graph.Corrupt, err, "what was packed cannot be read")
	}
	b, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err == nil && len(b) > maxUnpacked {
		return graph.Errorf(graph.TooLarge, "what was packed is larger than %d bytes", maxUnpacked)
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return graph.Wrap(graph.Corrupt, err, "what was packed cannot be read")
	}
	return nil
}
