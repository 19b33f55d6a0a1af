package graph

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The Append methods below write the same JSON as encoding/json, several times
// faster: engines write each change with them, and exports each record.

// AppendJSON appends the JSON form of c to b. Its props must be normal.
func (c *Change) AppendJSON(b []byte) []byte {
	b = append(b, `{"revision":`...)
	b = strconv.AppendInt(b, int64(c.Revision), 10)
	b = append(b, `,"id":`...)
	b = appendText(b, c.ID)
	b = append(b, `,"time":`...)
	b = appendTime(b, c.Time)
	b = append(b, `,"actor":`...)
	b = appendRef(b, c.Actor)
	b = appendOptional(b, `,"request_id":`, c.RequestID)
	b = appendOptional(b, `,"key":`, c.Key)
	b = appendOptional(b, `,"address":`, c.Address)
	b = appendOptional(b, `,"agent":`, c.Agent)
	b = append(b, `,"entries":[`...)
	for i := range c.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.Entries[i].appendJSON(b)
	}
	return append(b, ']', '}')
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(append(b, name...), value)
}

func (e *Entry) appendJSON(b []byte) []byte {
	switch {
	case e.Node != nil:
		b = append(b, `{"node":{`...)
		if e.Node.Before != nil {
			b = append(b, `"before":`...)
			b = e.Node.Before.AppendJSON(b)
		}
		if e.Node.After != nil {
			b = append(comma(b, e.Node.Before != nil), `"after":`...)
			b = e.Node.After.AppendJSON(b)
		}
	case e.Edge != nil:
		b = append(b, `{"edge":{`...)
		if e.Edge.Before != nil {
			b = append(b, `"before":`...)
			b = e.Edge.Before.AppendJSON(b)
		}
		if e.Edge.After != nil {
			b = append(comma(b, e.Edge.Before != nil), `"after":`...)
			b = e.Edge.After.AppendJSON(b)
		}
	default:
		return append(b, '{', '}')
	}
	return append(b, '}', '}')
}

func comma(b []byte, want bool) []byte {
	if want {
		return append(b, ',')
	}
	return b
}

// AppendJSON appends the JSON form of r to b.
func (r Record) AppendJSON(b []byte) []byte {
	switch {
	case r.Node != nil:
		b = append(b, `{"node":`...)
		b = r.Node.AppendJSON(b)
	case r.Edge != nil:
		b = append(b, `{"edge":`...)
		b = r.Edge.AppendJSON(b)
	default:
		b = append(b, '{')
	}
	return append(b, '}')
}

// AppendJSON appends the JSON form of n to b. Its props must be normal.
func (n *Node) AppendJSON(b []byte) []byte {
	b = append(b, `{"ref":`...)
	b = appendRef(b, n.Ref)
	if len(n.Names) > 0 {
		b = append(b, `,"names":`...)
		b = AppendTexts(b, n.Names)
	}
	if len(n.Props) > 0 {
		b = append(b, `,"props":`...)
		b = n.Props.AppendJSON(b)
	}
	return appendStamp(b, n.Created, n.Updated, n.Revision)
}

// AppendJSON appends the JSON form of e to b. Its props must be normal.
func (e *Edge) AppendJSON(b []byte) []byte {
	b = append(b, `{"from":`...)
	b = appendRef(b, e.From)
	b = append(b, `,"kind":`...)
	b = appendText(b, string(e.Kind))
	b = append(b, `,"to":`...)
	b = appendRef(b, e.To)
	if e.Key != "" {
		b = append(b, `,"key":`...)
		b = appendText(b, e.Key)
	}
	if len(e.Props) > 0 {
		b = append(b, `,"props":`...)
		b = e.Props.AppendJSON(b)
	}
	return appendStamp(b, e.Created, e.Updated, e.Revision)
}

func appendStamp(b []byte, created, updated time.Time, rev Revision) []byte {
	b = append(b, `,"created":`...)
	b = appendTime(b, created)
	b = append(b, `,"updated":`...)
	b = appendTime(b, updated)
	b = append(b, `,"revision":`...)
	b = strconv.AppendInt(b, int64(rev), 10)
	return append(b, '}')
}

// AppendJSON appends p as an object with sorted names. Its values must be
// normal.
func (p Props) AppendJSON(b []byte) []byte {
	var few [8]string
	names := slices.AppendSeq(few[:0], maps.Keys(p))
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		b = appendText(comma(b, i > 0), name)
		b = append(b, ':')
		switch v := p[name].(type) {
		case string:
			b = appendText(b, v)
		case bool:
			b = strconv.AppendBool(b, v)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case []string:
			b = AppendTexts(b, v)
		case JSON:
			b = append(b, v...)
		default:
			j, err := json.Marshal(v)
			if err != nil {
				j = []byte("null")
			}
			b = append(b, j...)
		}
	}
	return append(b, '}')
}

// AppendTexts appends a JSON list of texts.
func AppendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		b = appendText(comma(b, i > 0), s)
	}
	return append(b, ']')
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendRef(b []byte, r Ref) []byte {
	if r.IsZero() {
		return append(b, '"', '"')
	}
	b = append(b, '"')
	b = appendInner(b, string(r.Type))
	b = append(b, ':')
	b = appendInner(b, r.ID)
	return append(b, '"')
}

func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	b = appendInner(b, s)
	return append(b, '"')
}

func appendInner(b []byte, s string) []byte {
	if plainText(s) && utf8.ValidString(s) {
		return append(b, s...)
	}
	const hex = "0123456789abcdef"
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r) // an invalid byte comes as U+FFFD
		}
	}
	return b
}

// plainText tells whether s means itself between JSON's quotes, as far as
// ASCII goes.
func plainText(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// plainProps reads the objects that nearly all records carry: no spaces, no
// escapes, whole numbers, no nesting but lists of texts and objects as they
// were written. Anything else, right or wrong, is not ok and left to the
// general way.
func plainProps(s string) (Props, bool) {
	if !utf8.ValidString(s) {
		return nil, false
	}
	s, ok := strings.CutPrefix(s, "{")
	if !ok {
		return nil, false
	}
	if s == "}" {
		return Props{}, true
	}
	p := make(Props, strings.Count(s, ":"))
	for {
		var name string
		var value any
		if name, s, ok = cutText(s); !ok || !Type(name).Valid() || strings.HasSuffix(name, "_json") || p[name] != nil {
			return nil, false
		}
		if s, ok = strings.CutPrefix(s, ":"); !ok {
			return nil, false
		}
		if value, s, ok = cutValue(s); !ok {
			return nil, false
		}
		p[name] = value
		if s == "}" {
			return p, len(p) <= MaxProps
		}
		if s, ok = strings.CutPrefix(s, ","); !ok {
			return nil, false
		}
	}
}

func cutValue(s string) (v any, rest string, ok bool) {
	if s == "" {
		return nil, "", false
	}
	switch c := s[0]; {
	case c == '"':
		return cutText(s)
	case c == '[':
		return cutTexts(s[1:])
	case c == '{':
		rest, ok = skipObject(s, maxPlainDepth)
		text := s[:len(s)-len(rest)]
		// encoding/json escapes these two, so an object that holds them was not written by it.
		return JSON(text), rest, ok && len(text) <= MaxPropBytes && !strings.ContainsAny(text, "\u2028\u2029")
	case c == 't':
		rest, ok = strings.CutPrefix(s, "true")
		return true, rest, ok
	case c == 'f':
		rest, ok = strings.CutPrefix(s, "false")
		return false, rest, ok
	case c == '-' || '1' <= c && c <= '9':
		n := 1
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		if n == len(s) || s[n] != ',' && s[n] != '}' {
			return nil, "", false
		}
		i, err := strconv.ParseInt(s[:n], 10, 64)
		return i, s[n:], err == nil && (c != '-' || s[1] != '0')
	case strings.HasPrefix(s, "0,"), strings.HasPrefix(s, "0}"):
		return int64(0), s[1:], true
	}
	return nil, "", false
}

// maxPlainDepth is how deep objects and lists may be nested to be plain.
const maxPlainDepth = 8

// skipObject goes behind an object that is in the form that Normalize writes:
// compact, with sorted names, without escapes.
func skipObject(s string, depth int) (rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, "{"); !ok || depth == 0 {
		return "", false
	}
	if rest, ok = strings.CutPrefix(s, "}"); ok {
		return rest, true
	}
	for last, first := "", true; ; first = false {
		var name string
		if name, s, ok = cutText(s); !ok || !first && name <= last {
			return "", false
		}
		last = name
		if s, ok = strings.CutPrefix(s, ":"); !ok {
			return "", false
		}
		if s, ok = skipValue(s, depth-1); !ok || s == "" {
			return "", false
		}
		if s[0] == '}' {
			return s[1:], true
		}
		if s, ok = strings.CutPrefix(s, ","); !ok {
			return "", false
		}
	}
}

// skipValue does the same for any value.
func skipValue(s string, depth int) (rest string, ok bool) {
	if s == "" {
		return "", false
	}
	switch s[0] {
	case '"':
		_, rest, ok = cutText(s)
		return rest, ok
	case '{':
		return skipObject(s, depth)
	case '[':
		return skipList(s[1:], depth)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if rest, ok = strings.CutPrefix(s, word); ok {
			return rest, true
		}
	}
	digits, _ := strings.CutPrefix(s, "-")
	n := 0
	for n < len(digits) && '0' <= digits[n] && digits[n] <= '9' {
		n++
	}
	// What comes behind must end the number: a fraction goes the general way.
	return digits[n:], n > 0 && (n == 1 || digits[0] != '0')
}

func skipList(s string, depth int) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(s, "]"); ok || depth == 0 {
		return rest, ok
	}
	for {
		if s, ok = skipValue(s, depth-1); !ok || s == "" {
			return "", false
		}
		if s[0] == ']' {
			return s[1:], true
		}
		if s, ok = strings.CutPrefix(s, ","); !ok {
			return "", false
		}
	}
}

// cutText reads one quoted text without escapes.
func cutText(s string) (text string, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return "", "", false
	}
	text, rest, ok = strings.Cut(s, `"`)
	return text, rest, ok && len(text) <= MaxPropBytes && plainText(text)
}

func cutTexts(s string) (list []string, rest string, ok bool) {
	list = []string{}
	if rest, ok = strings.CutPrefix(s, "]"); ok {
		return list, rest, true
	}
	for size := 0; ; {
		var t string
		if t, s, ok = cutText(s); !ok {
			return nil, "", false
		}
		list = append(list, t)
		if size += len(t); size > MaxPropBytes {
			return nil, "", false
		}
		if rest, ok = strings.CutPrefix(s, "]"); ok {
			return list, rest, true
		}
		if s, ok = strings.CutPrefix(s, ","); !ok {
			return nil, "", false
		}
	}
}

// ParseTexts reads what AppendTexts wrote.
func ParseTexts(s string) ([]string, error) {
	if rest, ok := strings.CutPrefix(s, "["); ok && utf8.ValidString(s) {
		if list, rest, ok := cutTexts(rest); ok && rest == "" {
			return list, nil
		}
	}
	var list []string
	err := json.Unmarshal([]byte(s), &list)
	return list, err
}
