package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

func strconvQuote(s string) string { return strconv.Quote(s) }

// Props are the properties of a node or an edge. A value is one of
//
//	string, bool, int64, float64, []string, JSON
//
// and nothing else; Normalize turns what encoding/json makes into these. A
// float64 is never whole (that is an int64) and JSON is never a list of texts
// (that is a []string), so that every value survives its JSON form. A
// property that is null or absent is the same thing: absent. Names follow the
// rules of a Type and do not end in "_json".
type Props map[string]any

// JSON is a JSON object or array kept as a property, compact and with sorted
// keys, so that equal values have equal bytes.
type JSON string

// MarshalJSON returns the text itself.
func (j JSON) MarshalJSON() ([]byte, error) { return []byte(j), nil }

// Limits on what one node or edge may carry.
const (
	MaxProps     = 64
	MaxPropBytes = 64 << 10
)

// Normalize checks p and returns a copy with every value in its normal form:
// integers as int64, []any of strings as []string, maps and other slices as
// JSON, whole floats as int64. Null values are dropped.
func (p Props) Normalize() (Props, error) {
	out := make(Props, len(p))
	if len(p) > MaxProps {
		return nil, Errorf(Invalid, "%d properties; the limit is %d", len(p), MaxProps)
	}
	for k, v := range p {
		if !Type(k).Valid() || strings.HasSuffix(k, "_json") {
			return nil, Errorf(Invalid, "%s is not a property name", quote(k))
		}
		n, err := normal(v)
		if err != nil {
			return nil, Errorf(Invalid, "property %s: %v", k, err)
		}
		if n != nil {
			out[k] = n
		}
	}
	return out, nil
}

func normal(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if len(v) > MaxPropBytes {
			return nil, fmt.Errorf("%d bytes; the limit is %d", len(v), MaxPropBytes)
		}
		return strings.ToValidUTF8(v, "\uFFFD"), nil
	case bool, int64:
		return v, nil
	case int:
		return int64(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("not a finite number")
		}
		if i, ok := whole(v); ok {
			return i, nil
		}
		return v, nil
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, err
		}
		return normal(f)
	case []string:
		return list(v)
	case []any:
		ss := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return compact(v)
			}
			ss = append(ss, s)
		}
		return list(ss)
	case JSON:
		return compactText([]byte(v))
	case json.RawMessage:
		return compactText(v)
	case map[string]any:
		return compact(v)
	default:
		// Any other type is whatever encoding/json makes of it.
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		return compactText(b)
	}
}

func compactText(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return normal(v)
}

// whole tells whether f is a number that JSON writes without a fraction. Such
// a number comes back as an int64, so it is one from the start.
func whole(f float64) (int64, bool) {
	if f != math.Trunc(f) || f < -1<<63 || f >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

// list copies a list of texts; it is never nil, since null means absent.
func list(v []string) (any, error) {
	out, size := make([]string, len(v)), 0
	for i, s := range v {
		out[i] = strings.ToValidUTF8(s, "\uFFFD")
		size += len(s)
	}
	if size > MaxPropBytes {
		return nil, fmt.Errorf("%d bytes; the limit is %d", size, MaxPropBytes)
	}
	return out, nil
}

// compact relies on encoding/json writing maps with sorted keys.
func compact(v any) (any, error) {
	s, err := encode(v)
	if err == nil && strings.Contains(s, `\ufffd`) {
		// Perhaps an invalid byte, which is written so. Once read it is a
		// character, and is written as one.
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if err = d.Decode(&v); err == nil {
			s, err = encode(v)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(s) > MaxPropBytes {
		return nil, fmt.Errorf("%d bytes of JSON; the limit is %d", len(s), MaxPropBytes)
	}
	return JSON(s), nil
}

func encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimRight(b.String(), "\n"), err
}

// ParseProps reads an object of properties into normal form. The texts in it
// share the memory of s.
func ParseProps(s string) (Props, error) {
	if p, ok := plainProps(s); ok {
		return p, nil
	}
	var p Props
	err := p.unmarshal([]byte(s))
	return p, err
}

// UnmarshalJSON reads an object of properties into normal form.
func (p *Props) UnmarshalJSON(b []byte) error {
	if q, ok := plainProps(string(b)); ok {
		*p = q
		return nil
	}
	return p.unmarshal(b)
}

func (p *Props) unmarshal(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return Errorf(Invalid, "more than one JSON value")
	}
	n, err := Props(m).Normalize()
	if err != nil {
		return err
	}
	*p = n
	return nil
}

// Equal tells whether both hold the same values. Both must be normal.
func (p Props) Equal(q Props) bool {
	return maps.EqualFunc(p, q, func(a, b any) bool {
		if as, ok := a.([]string); ok {
			bs, ok := b.([]string)
			return ok && slices.Equal(as, bs)
		}
		if _, ok := b.([]string); ok {
			return false
		}
		return a == b
	})
}

// equalBut is Equal with one property left out of the comparison.
func (p Props) equalBut(q Props, name string) bool {
	a, b := maps.Clone(p), maps.Clone(q)
	delete(a, name)
	delete(b, name)
	return a.Equal(b)
}

// Clone returns a copy that shares no slice with p.
func (p Props) Clone() Props {
	out := make(Props, len(p))
	for k, v := range p {
		if s, ok := v.([]string); ok {
			v = slices.Clone(s)
		}
		out[k] = v
	}
	return out
}

// String returns the property as text, or "" when it is absent or no string.
func (p Props) String(name string) string { s, _ := p[name].(string); return s }

// Int returns the property as a whole number, or 0.
func (p Props) Int(name string) int64 { i, _ := p[name].(int64); return i }

// Bool returns the property as a truth value, or false.
func (p Props) Bool(name string) bool { b, _ := p[name].(bool); return b }

// Strings returns the property as a list, or nil.
func (p Props) Strings(name string) []string { s, _ := p[name].([]string); return s }
