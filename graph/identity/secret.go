package identity

import (
	"bytes"
	"encoding/base64"

	"trellis/graph"
)

// secretName is what a sealed secret is tied to, so that it opens nowhere else.
func secretName(r graph.Ref, field string) string { return "node/" + r.String() + "/" + field }

// seal encrypts the secrets of a draft. One that is the same as before stays
// as it was sealed, so that writing it again is no change.
func (c *compiler) seal(r graph.Ref, before graph.Props, d *draft) error {
	for name, text := range d.secrets {
		if c.s.Sealer == nil {
			return graph.Errorf(graph.Internal, "there is nothing to seal secrets with")
		}
		if old := before.String(name); old != "" {
			plain, err := c.s.open(r, name, old)
			if err == nil && bytes.Equal(plain, []byte(text)) {
				d.props[name] = old
				continue
			}
		}
		d.props[name] = base64.RawStdEncoding.EncodeToString(c.s.Sealer.Seal(secretName(r, name), []byte(text)))
	}
	return nil
}

func (s *Service) open(r graph.Ref, field, sealed string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, graph.Wrap(graph.Corrupt, err, "%s of %s cannot be read", field, r)
	}
	return s.Sealer.Open(secretName(r, field), b)
}

// Reveal returns the secrets of a node in clear, by field. Whether the caller
// may see them is the caller's to check. Corrupt if the server's secret is not
// the one that they were sealed with.
func (s *Service) Reveal(n graph.Node) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range Describe(n.Ref.Type) {
		sealed := n.Props.String(f.Name)
		if f.Kind != Secret || sealed == "" {
			continue
		}
		if s.Sealer == nil {
			return nil, graph.Errorf(graph.Internal, "there is nothing to open secrets with")
		}
		plain, err := s.open(n.Ref, f.Name, sealed)
		if err != nil {
			return nil, err
		}
		out[f.Name] = string(plain)
	}
	return out, nil
}
