package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"trellis/graph"
)

// WriteYAML writes a document as YAML, after a line that separates it from the
// one before. That secrets were left out is said in a comment.
func WriteYAML(w io.Writer, d Exported) error {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	put := func(to *yaml.Node, name string, v *yaml.Node) {
		to.Content = append(to.Content, scalar(name), v)
	}
	put(doc, "apiVersion", scalar(d.APIVersion))
	put(doc, "kind", scalar(d.Kind))
	meta := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range [...][2]string{{"organization", d.Metadata.Organization}, {"type", d.Metadata.Type}, {"slug", d.Metadata.Slug}, {"id", d.Metadata.ID}} {
		if f[1] != "" {
			put(meta, f[0], scalar(f[1]))
		}
	}
	if len(meta.Content) > 0 {
		put(doc, "metadata", meta)
	}
	dec := json.NewDecoder(bytes.NewReader(orEmpty(d.Spec)))
	dec.UseNumber()
	spec, err := value(dec)
	if err != nil {
		return graph.Wrap(graph.Internal, err, "writing a document")
	}
	if len(spec.Content) > 0 {
		put(doc, "spec", spec)
	}
	head := "---\n"
	if len(d.Secrets) > 0 {
		head += "# left out, because it is secret: " + strings.Join(d.Secrets, ", ") + "\n"
	}
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(doc), enc.Close())
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

// value reads one JSON value, keeping the order of fields.
func value(dec *json.Decoder) (*yaml.Node, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if t == '[' {
			n.Kind = yaml.SequenceNode
		}
		for dec.More() {
			v, err := value(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, v)
		}
		_, err := dec.Token()
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		return n, err
	case string:
		return scalar(t), nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}
		if t {
			n.Value = "true"
		}
		return n, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}
