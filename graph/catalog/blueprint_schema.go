package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"trellis/graph"
)

// Limits on one schema. They keep what it costs to read it, and to hold
// attributes against it, small and known beforehand.
const (
	maxSchemaDepth = 64     // of values in values
	maxSubschemas  = 1000   // schemas in it
	maxVisits      = 10_000 // schemas that one value may have to be held against
	maxPattern     = 500    // bytes of one regular expression
	maxSteps       = 4000   // instructions of all of them together, as often as they are used
	maxRefs        = 16     // $refs that lead one to the next
	maxFieldName   = 100    // bytes of a name
	maxFaults      = 50     // errors told at once
	maxDigits      = 40     // bytes of a number
	maxExponent    = 99     // of a number, of either sign
)

// draft is the one that blueprints are written in.
const draft = "https://json-schema.org/draft/2020-12/schema"

// holds says what a keyword of JSON Schema has as its value.
type holds uint8

const (
	anything holds = iota
	oneSchema
	listOfSchemas
	namedSchemas
)

// applicators are the keywords that have schemas in them.
var applicators = map[string]holds{
	"additionalProperties": oneSchema, "propertyNames": oneSchema, "items": oneSchema, "contains": oneSchema,
	"not": oneSchema, "if": oneSchema, "then": oneSchema, "else": oneSchema, "contentSchema": oneSchema,
	"allOf": listOfSchemas, "anyOf": listOfSchemas, "oneOf": listOfSchemas, "prefixItems": listOfSchemas,
	"properties": namedSchemas, "patternProperties": namedSchemas, "dependentSchemas": namedSchemas, "$defs": namedSchemas,
}

// refused are the keywords that blueprints may not use, and what to do instead.
// They would reach out of the schema, or have no meaning in a merged one.
var refused = map[string]string{
	"$id": "a blueprint has no address: leave it out", "$vocabulary": "leave it out",
	"$anchor": "refer to #/$defs/NAME instead", "$dynamicAnchor": "refer to #/$defs/NAME instead",
	"$dynamicRef": "use $ref to #/$defs/NAME instead", "$recursiveRef": "use $ref to #/$defs/NAME instead", "$recursiveAnchor": "refer to #/$defs/NAME instead",
	"definitions": "use $defs instead", "dependencies": "use dependentSchemas or dependentRequired instead",
	"unevaluatedProperties": "use additionalProperties instead", "unevaluatedItems": "use items instead",
}

// mapSchemas returns a copy of a schema with each schema directly in it
// replaced by what f makes of it. at is the pointer to it from here.
func mapSchemas(m map[string]any, f func(at string, sub any) any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
		switch at := "/" + escape(k); applicators[k] {
		case oneSchema:
			out[k] = f(at, v)
		case listOfSchemas:
			if list, ok := v.([]any); ok {
				subs := make([]any, len(list))
				for i := range list {
					subs[i] = f(at+"/"+strconv.Itoa(i), list[i])
				}
				out[k] = subs
			}
		case namedSchemas:
			if named, ok := v.(map[string]any); ok {
				subs := make(map[string]any, len(named))
				for name, sub := range named {
					subs[name] = f(at+"/"+escape(name), sub)
				}
				out[k] = subs
			}
		}
	}
	return out
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

func escape(token string) string { return pointerEscaper.Replace(token) }

// schema is a JSON Schema that may be a blueprint's.
type schema struct {
	doc        map[string]any
	subschemas int
	work       work
}

// work is what it may take to hold one value against a schema: how many
// schemas it has to be held against, how many instructions of regular
// expressions that makes for each byte of it, and how many $refs deep.
type work struct{ visits, steps, refs int }

func (w *work) add(more work) {
	w.visits = min(w.visits+more.visits, 1<<30)
	w.steps = min(w.steps+more.steps, 1<<30)
	w.refs = max(w.refs, more.refs)
}

// readSchema reads a blueprint's schema. What is wrong with it is told with
// pointers into it. It takes time in proportion to the text, whatever it says.
func readSchema(text string) (*schema, []graph.Field) {
	doc, err := decodeJSON(text)
	m, ok := doc.(map[string]any)
	if err != nil || !ok {
		return nil, []graph.Field{{Msg: "want a JSON Schema: an object"}}
	}
	r := schemaReader{schema: schema{doc: m}, patterns: map[string]int{}, defs: map[string]*work{}}
	var size measure
	if size.take(doc, 0); size.bad != "" {
		return nil, []graph.Field{{Pointer: size.at(), Msg: size.bad}}
	}
	r.top(m)
	r.walk(m, "")
	if len(r.faults) == 0 {
		r.weighAll()
	}
	return &r.schema, tidy(r.faults)
}

// checkSchema is readSchema that also holds the schema against the standard.
func checkSchema(text string) (*schema, []graph.Field) {
	s, faults := readSchema(text)
	if len(faults) > 0 {
		return nil, faults
	}
	_, err := compile(s.doc)
	var invalid *jsonschema.SchemaValidationError
	var details *jsonschema.ValidationError
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &invalid) && errors.As(invalid.Err, &details):
		return nil, faultsOf(details, "")
	}
	return nil, []graph.Field{{Msg: fmt.Sprintf("is not a JSON Schema: %.300v", err)}}
}

// compile makes a schema ready for use. It loads nothing from anywhere.
func compile(doc map[string]any) (*jsonschema.Schema, error) {
	const here = "urn:trellis:schema"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(nowhere{})
	if err := c.AddResource(here, doc); err != nil {
		return nil, err
	}
	return c.Compile(here)
}

// nowhere refuses to load schemas.
type nowhere struct{}

// Load implements jsonschema.URLLoader.
func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%.100q is not loaded: a blueprint's schema holds all it needs", url)
}

func decodeJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// schemaReader checks what the standard allows and blueprints do not.
type schemaReader struct {
	schema
	faults []graph.Field
	// patterns tells of each regular expression how many instructions it has.
	patterns map[string]int
	steps    int // of all of them
	// defs tells of each of $defs what it weighs; a nil entry is being weighed.
	defs map[string]*work
}

func (r *schemaReader) complain(at, format string, args ...any) {
	if len(r.faults) <= maxFaults {
		r.faults = append(r.faults, graph.Field{Pointer: at, Msg: fmt.Sprintf(format, args...)})
	}
}

// top checks what a schema must have, and may not have, at its top.
func (r *schemaReader) top(m map[string]any) {
	if m["type"] != "object" {
		r.complain("/type", `want "object": attributes are one`)
	}
	if _, ok := m["properties"].(map[string]any); !ok {
		r.complain("/properties", "is required: the fields, each with its schema")
	}
	if s, ok := m["$schema"]; ok && s != draft && s != draft+"#" {
		r.complain("/$schema", "want %s", draft)
	}
	if _, ok := m["$ref"]; ok {
		r.complain("/$ref", "cannot stand at the top; use it within properties or allOf")
	}
	if defs, ok := m["$defs"].(map[string]any); ok {
		for name := range defs {
			if !graph.Type(strings.ToLower("a" + strings.NewReplacer("-", "", ".", "").Replace(name))).Valid() {
				r.complain("/$defs/"+escape(name), "want a name of letters, digits, '-', '_' and '.'")
			}
		}
	}
}

func (r *schemaReader) walk(v any, at string) {
	if r.subschemas++; r.subschemas > maxSubschemas {
		if r.subschemas == maxSubschemas+1 {
			r.complain("", "has more than %d schemas in it", maxSubschemas)
		}
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		return // true and false, or what the standard will refuse
	}
	for k, v := range m {
		r.keyword(k, v, at)
	}
	mapSchemas(m, func(to string, sub any) any {
		r.walk(sub, at+to)
		return nil
	})
}

func (r *schemaReader) keyword(k string, v any, at string) {
	here := at + "/" + escape(k)
	if instead, ok := refused[k]; ok {
		r.complain(here, "is not possible here: %s", instead)
	}
	switch k {
	case "$schema", "$defs", "propertyNames":
		// The validator mistakes the place of what is wrong with names further in.
		if at != "" {
			r.complain(here, "can only stand at the top")
		}
	case "$ref":
		if name, ok := defName(v); !ok {
			r.complain(here, "want #/$defs/NAME: nothing else can be referred to")
		} else if defs, _ := r.doc["$defs"].(map[string]any); defs[name] == nil {
			r.complain(here, "there is no %.100q in $defs", name)
		}
	case "properties":
		named, _ := v.(map[string]any)
		for name := range named {
			if name == "" || len(name) > maxFieldName || !graph.Printable(name) {
				r.complain(here+"/"+escape(name[:min(len(name), maxFieldName)]), "want a name of 1 to %d bytes of printable text", maxFieldName)
			}
		}
	case "pattern":
		if s, ok := v.(string); ok {
			r.pattern(s, here)
		}
	case "patternProperties":
		named, _ := v.(map[string]any)
		for s := range named {
			r.pattern(s, here+"/"+escape(s[:min(len(s), maxPattern)]))
		}
	}
}

// defName returns the name of what a $ref refers to.
func defName(ref any) (string, bool) {
	s, _ := ref.(string)
	name, ok := strings.CutPrefix(s, "#/$defs/")
	return name, ok && !strings.ContainsAny(name, "/~%#")
}

// pattern checks a regular expression, unless there are too many of them already.
func (r *schemaReader) pattern(s, at string) {
	if _, ok := r.patterns[s]; ok || r.steps > maxSteps {
		return
	}
	n, err := patternSteps(s)
	if err != nil {
		r.complain(at, "%v", err)
	}
	r.patterns[s] = n
	if r.steps += n; r.steps > maxSteps {
		r.complain(at, tooManyPatterns)
	}
}

const tooManyPatterns = "has too many or too large regular expressions"

// patternSteps tells how many instructions a regular expression has.
func patternSteps(s string) (int, error) {
	if len(s) > maxPattern {
		return 0, fmt.Errorf("a regular expression of %d bytes; the limit is %d", len(s), maxPattern)
	}
	re, err := syntax.Parse(s, syntax.Perl)
	var prog *syntax.Prog
	if err == nil {
		prog, err = syntax.Compile(re.Simplify())
	}
	if err != nil {
		return 0, fmt.Errorf("is not a regular expression as RE2 has them: %.200w", err)
	}
	return len(prog.Inst), nil
}

func (r *schemaReader) weighAll() {
	r.work = r.weigh(r.doc, "")
	switch {
	case len(r.faults) > 0:
	case r.work.visits > maxVisits:
		r.complain("", "refers to its $defs so often that attributes could not be checked quickly")
	case r.work.steps > maxSteps:
		r.complain("", tooManyPatterns)
	case r.work.refs > maxRefs:
		r.complain("", "has more than %d references that lead one to the next", maxRefs)
	}
}

// weigh tells what it may take to hold a value against the schema.
func (r *schemaReader) weigh(v any, at string) work {
	m, ok := v.(map[string]any)
	if !ok {
		return work{visits: 1}
	}
	w := work{visits: 1 + values(m["enum"]) + values(m["const"])}
	if s, ok := m["pattern"].(string); ok {
		w.add(work{steps: r.patterns[s]})
	}
	if named, ok := m["patternProperties"].(map[string]any); ok {
		for s := range named {
			w.add(work{steps: r.patterns[s]})
		}
	}
	if name, ok := defName(m["$ref"]); ok {
		w.add(r.weighDef(name, at+"/$ref"))
	}
	mapSchemas(m, func(to string, sub any) any {
		if !strings.HasPrefix(to, "/$defs/") {
			w.add(r.weigh(sub, at+to))
		}
		return nil
	})
	if at == "" {
		defs, _ := m["$defs"].(map[string]any)
		for name := range defs {
			r.weighDef(name, "/$defs/"+name) // for its cycles, though nobody may use it
		}
	}
	return w
}

func (r *schemaReader) weighDef(name, from string) work {
	if w, ok := r.defs[name]; ok {
		if w == nil {
			r.complain(from, "goes round in a circle: a blueprint's schema cannot contain itself")
			return work{}
		}
		return *w
	}
	r.defs[name] = nil
	defs, _ := r.doc["$defs"].(map[string]any)
	w := r.weigh(defs[name], "/$defs/"+name)
	w.refs++
	r.defs[name] = &w
	return w
}

// values counts the values in those of a keyword, which is perhaps not there.
// Numbers cost more to compare than others.
func values(v any) int {
	n := 0
	switch v := v.(type) {
	case json.Number:
		return 10
	case []any:
		for _, e := range v {
			n += max(1, values(e))
		}
	case map[string]any:
		for _, e := range v {
			n += max(1, values(e))
		}
	}
	return n
}

// measure goes through a value before anything else does: how large it is, and
// whether all its numbers can be compared at little cost.
type measure struct {
	nodes, bytes int
	bad          string
	path         []string
}

func (m *measure) at() string {
	var b strings.Builder
	for _, token := range m.path {
		b.WriteString("/" + escape(token))
	}
	return b.String()
}

// take stops at the first thing that is bad, with path leading there.
func (m *measure) take(v any, depth int) {
	m.nodes++
	if depth > maxSchemaDepth {
		m.bad = fmt.Sprintf("values in values, more than %d deep", maxSchemaDepth)
		m.path = m.path[:8]
		return
	}
	switch v := v.(type) {
	case string:
		m.bytes += len(v)
	case json.Number:
		if !modest(string(v)) {
			m.bad = "is a number with too many digits or too large an exponent"
		}
	case []any:
		for i := range v {
			if !m.into(strconv.Itoa(i), v[i], depth) {
				return
			}
		}
	case map[string]any:
		for k, e := range v {
			m.bytes += len(k)
			if !m.into(k, e, depth) {
				return
			}
		}
	}
}

func (m *measure) into(token string, v any, depth int) bool {
	m.path = append(m.path, token)
	if m.take(v, depth+1); m.bad == "" {
		m.path = m.path[:len(m.path)-1]
	}
	return m.bad == ""
}

// modest tells whether a number is one that costs little to compare with
// others: JSON has no limit to its exponents.
func modest(s string) bool {
	if len(s) > maxDigits {
		return false
	}
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	e, err := strconv.Atoi(s[i+1:])
	return err == nil && -maxExponent <= e && e <= maxExponent
}

// tidy puts errors in order, without repeats, and leaves out what are too many.
func tidy(faults []graph.Field) []graph.Field {
	slices.SortFunc(faults, func(a, b graph.Field) int {
		if c := strings.Compare(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		return strings.Compare(a.Msg, b.Msg)
	})
	faults = slices.Compact(faults)
	if len(faults) > maxFaults {
		faults = append(faults[:maxFaults:maxFaults], graph.Field{Msg: "and more is wrong"})
	}
	return faults
}
