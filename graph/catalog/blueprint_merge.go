package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"trellis/graph"
)

// Mark is the keyword by which each property of a merged schema names the
// blueprint that describes it.
const Mark = "x-trellis-blueprint"

// Source names a blueprint, at a version.
type Source struct {
	ID      string `json:"id"`
	Slug    string `json:"slug"`
	Version int64  `json:"version"`
}

// Form is what the blueprints that apply to a node say of its attributes
// together. It never changes.
type Form struct {
	// Sources are the blueprints, the one that counts first.
	Sources []Source
	// Schema is the merged JSON Schema.
	Schema json.RawMessage
	// Tag is another one whenever Schema is.
	Tag string

	compiled *jsonschema.Schema // nil if no blueprint applies
	work     work
}

// maxCost bounds what one value may cost to check, in schemas that a value in
// it is held against or in sixteen steps of regular expressions: about a
// second where all of it is as costly as can be.
const maxCost = 500_000

// Check tells what is wrong with attributes, with pointers such as
// "/attributes/tier".
func (f *Form) Check(attributes graph.JSON) []graph.Field {
	const here = "/attributes"
	if f.compiled == nil {
		return nil
	}
	if attributes == "" {
		attributes = "{}"
	}
	v, err := decodeJSON(string(attributes))
	if err != nil {
		return []graph.Field{{Pointer: here, Msg: "want an object"}}
	}
	var size measure
	if size.take(v, 0); size.bad != "" {
		return []graph.Field{{Pointer: here + size.at(), Msg: size.bad}}
	}
	if f.work.visits*size.nodes+f.work.steps*size.bytes/16 > maxCost {
		return []graph.Field{{Pointer: here, Msg: "is too much to be checked against its blueprints"}}
	}
	var invalid *jsonschema.ValidationError
	switch err := f.compiled.Validate(v); {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return faultsOf(invalid, here)
	}
	return []graph.Field{{Pointer: here, Msg: "is not valid"}}
}

// merger puts schemas together.
type merger struct {
	properties, patterns, defs map[string]any
	described                  map[string]bool // by the schema that is being added
	required                   map[string]bool
	rest                       []any // what holds of the object as a whole
	others                     []any // what properties that nobody describes must be
	closed                     bool  // there must be none
}

// taken are the keywords that merging takes apart or leaves out; the others
// hold as they are.
var taken = []string{
	"$schema", "$defs", "$comment", "type", "properties", "patternProperties", "required", "additionalProperties",
	"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly",
}

// merge makes one form of blueprints, the one that counts first in front:
//
//   - A property is what the first blueprint that describes it says, whole.
//   - It is required if that blueprint requires it, or one that does not
//     describe it.
//   - additionalProperties: if one says false, there may be no properties but
//     those that one of them describes, by name or pattern. If it is a schema,
//     what nobody describes must fit it.
//   - patternProperties, and all that is said of the object as a whole (allOf,
//     if, dependentRequired, minProperties and so on), hold for all.
//   - Each schema's $defs are its own.
func merge(list []*blueprint) (*Form, error) {
	m := merger{properties: map[string]any{}, patterns: map[string]any{}, defs: map[string]any{}, required: map[string]bool{}}
	f := &Form{Sources: []Source{}}
	for i, b := range list {
		s, faults := readSchema(b.schema)
		if len(faults) > 0 {
			continue // written past the rules: it describes nothing
		}
		f.work.add(s.work)
		f.Sources = append(f.Sources, b.source())
		m.add(s.doc, b.source(), strconv.Itoa(i)+".")
	}
	doc := m.doc()
	var err error
	if f.Schema, err = json.Marshal(doc); err != nil {
		return nil, graph.Wrap(graph.Internal, err, "encoding a merged schema")
	}
	sum := sha256.Sum256(f.Schema)
	f.Tag = hex.EncodeToString(sum[:12])
	if len(f.Sources) == 0 {
		return f, nil
	}
	// What is compiled is what was encoded, as anybody else would read it.
	read, err := decodeJSON(string(f.Schema))
	if err == nil {
		f.compiled, err = compile(read.(map[string]any))
	}
	if err != nil {
		return nil, graph.Wrap(graph.Internal, err, "merging blueprints")
	}
	return f, nil
}

func (m *merger) add(doc map[string]any, from Source, prefix string) {
	doc = own(doc, prefix).(map[string]any)
	properties, _ := doc["properties"].(map[string]any)
	m.described = map[string]bool{}
	for name, p := range properties {
		if _, earlier := m.properties[name]; earlier {
			continue
		}
		m.described[name] = true
		m.properties[name] = marked(p, from)
	}
	required, _ := doc["required"].([]any)
	for _, r := range required {
		name, _ := r.(string)
		if _, describes := properties[name]; !describes || m.described[name] {
			m.required[name] = true
		}
	}
	patterns, _ := doc["patternProperties"].(map[string]any)
	for p, s := range patterns {
		if was, ok := m.patterns[p]; ok {
			s = map[string]any{"allOf": []any{was, s}}
		}
		m.patterns[p] = s
	}
	switch others := doc["additionalProperties"].(type) {
	case bool:
		m.closed = m.closed || !others
	case map[string]any:
		m.others = append(m.others, others)
	}
	defs, _ := doc["$defs"].(map[string]any)
	for name, d := range defs {
		m.defs[prefix+name] = d
	}
	maps.DeleteFunc(doc, func(k string, _ any) bool { return slices.Contains(taken, k) || strings.HasPrefix(k, "x-") })
	if len(doc) > 0 {
		m.rest = append(m.rest, doc)
	}
}

// own returns a copy of a schema whose references lead to its own $defs in the
// merged one.
func own(v any, prefix string) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := mapSchemas(m, func(_ string, sub any) any { return own(sub, prefix) })
	if name, ok := defName(out["$ref"]); ok {
		out["$ref"] = "#/$defs/" + prefix + name
	}
	return out
}

// marked is the schema of a property with its blueprint's name.
func marked(p any, from Source) any {
	out := map[string]any{}
	switch p := p.(type) {
	case map[string]any:
		out = maps.Clone(p)
	case bool:
		if !p {
			out["not"] = map[string]any{}
		}
	}
	out[Mark] = from
	return out
}

func (m *merger) doc() map[string]any {
	doc := map[string]any{"$schema": draft, "type": "object", "properties": m.properties}
	if len(m.required) > 0 {
		doc["required"] = slices.Sorted(maps.Keys(m.required))
	}
	if len(m.patterns) > 0 {
		doc["patternProperties"] = m.patterns
	}
	if len(m.defs) > 0 {
		doc["$defs"] = m.defs
	}
	if len(m.rest) > 0 {
		doc["allOf"] = m.rest
	}
	switch {
	case m.closed:
		doc["additionalProperties"] = false
	case len(m.others) == 1:
		doc["additionalProperties"] = m.others[0]
	case len(m.others) > 1:
		doc["additionalProperties"] = map[string]any{"allOf": m.others}
	}
	return doc
}
