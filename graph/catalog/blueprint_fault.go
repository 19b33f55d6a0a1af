package catalog

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"trellis/graph"
)

// faultsOf says what is wrong in sentences fit for people, each with a pointer
// to what is wrong or missing, below the prefix.
func faultsOf(e *jsonschema.ValidationError, prefix string) []graph.Field {
	var out []graph.Field
	collect(e, func(at []string, msg string) {
		if len(out) > 10*maxFaults {
			return
		}
		var b strings.Builder
		b.WriteString(prefix)
		for _, token := range at {
			b.WriteString("/" + escape(token))
		}
		out = append(out, graph.Field{Pointer: b.String(), Msg: msg})
	})
	return tidy(out)
}

func collect(e *jsonschema.ValidationError, tell func(at []string, msg string)) {
	at := e.InstanceLocation
	each := func(names []string, format string, args ...any) {
		for _, name := range names {
			tell(append(slices.Clone(at), name), fmt.Sprintf(format, args...))
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, c := range e.Causes {
			collect(c, tell)
		}
	case *kind.Required:
		each(k.Missing, "is required")
	case *kind.DependentRequired:
		each(k.Missing, "is required where %s is given", short(k.Prop))
	case *kind.AdditionalProperties:
		each(k.Properties, "there is no such field")
	case *kind.PropertyNames:
		each([]string{k.Property}, "this name is not allowed")
	case *kind.AnyOf:
		tell(at, alternatives(e))
	default:
		tell(at, sentence(e.ErrorKind))
	}
}

// alternatives puts together what each of several ways would have wanted, if
// they are few and all about the value itself.
func alternatives(e *jsonschema.ValidationError) string {
	const otherwise = "is none of what is allowed here"
	var ways []string
	for _, c := range e.Causes {
		for ok := true; ok; {
			if _, ok = c.ErrorKind.(*kind.Reference); ok && len(c.Causes) == 1 {
				c = c.Causes[0]
			} else {
				ok = false
			}
		}
		way, ok := strings.CutPrefix(sentence(c.ErrorKind), "want ")
		if !ok || !slices.Equal(c.InstanceLocation, e.InstanceLocation) || len(ways) == 3 {
			return otherwise
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		return otherwise
	}
	return "want " + strings.Join(ways, ", or ")
}

// typeNames are the types of JSON in words.
var typeNames = map[string]string{
	"null": "null", "boolean": "true or false", "number": "a number", "integer": "a whole number",
	"string": "a string", "array": "a list", "object": "an object",
}

// formatNames are the formats that are checked, in words.
var formatNames = map[string]string{
	"date": "a date as 2006-01-02", "date-time": "a time as 2006-01-02T15:04:05Z", "time": "a time of day as 15:04:05Z", "duration": "a duration as P1DT2H",
	"email": "an e-mail address", "hostname": "a host name", "ipv4": "an IPv4 address", "ipv6": "an IPv6 address",
	"uri": "an address as https://example.com/", "uri-reference": "an address or a part of one", "uri-template": "a template of an address",
	"uuid": "a UUID", "regex": "a regular expression", "json-pointer": "a JSON pointer", "semver": "a version as 1.2.3",
}

// sentence says what a value ought to be.
func sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "want " + list(k.Want, func(t string) string { return typeNames[t] })
	case *kind.Enum:
		return "want one of " + list(k.Want, shown)
	case *kind.Const:
		return "want " + shown(k.Want)
	case *kind.Format:
		if name, ok := formatNames[k.Want]; ok {
			return "want " + name
		}
		return "is not of the format " + short(k.Want)
	case *kind.Pattern:
		return "want text that matches " + k.Want
	case *kind.FalseSchema:
		return "must not be given"
	case *kind.Not:
		return "is not allowed here"
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return "is more than one of the things of which one is allowed here"
		}
		return "is none of what is allowed here"
	case *kind.UniqueItems:
		return fmt.Sprintf("has the same entry twice, at %d and %d", k.Duplicates[0], k.Duplicates[1])
	case *kind.Contains, *kind.MinContains:
		return "has too few of the entries that must be in it"
	case *kind.MaxContains:
		return "has too many of the entries that may be in it"
	}
	return limit(k)
}

// limit says what a value is too small or too large for.
func limit(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("has %s; want at least %d", count(k.Got, "character"), k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has %s; want at most %d", count(k.Got, "character"), k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %s; want at least %d", count(k.Got, "entr"), k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %s; want at most %d", count(k.Got, "entr"), k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("has %s; want at least %d", count(k.Got, "field"), k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has %s; want at most %d", count(k.Got, "field"), k.Want)
	case *kind.Minimum:
		return "want at least " + number(k.Want)
	case *kind.Maximum:
		return "want at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "want more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "want less than " + number(k.Want)
	case *kind.MultipleOf:
		return "want a multiple of " + number(k.Want)
	}
	return "is not valid"
}

func count(n int, word string) string {
	switch {
	case word == "entr" && n == 1:
		word = "entry"
	case word == "entr":
		word = "entries"
	case n != 1:
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}

// number writes a number as people do, as far as that is exact.
func number(r *big.Rat) string {
	if r.IsInt() {
		return short(r.Num().String())
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}

// list puts up to ten values in a row.
func list[T any](values []T, word func(T) string) string {
	const most = 10
	words := make([]string, 0, most)
	for i, v := range values {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(values)-most))
			break
		}
		words = append(words, word(v))
	}
	return strings.Join(words, ", ")
}

// shown is a value as JSON, but for texts, which need no quotes.
func shown(v any) string {
	if s, ok := v.(string); ok && s != "" && graph.Printable(s) {
		return short(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "another value"
	}
	return short(string(b))
}

// short keeps a hostile text from coming back whole.
func short(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
