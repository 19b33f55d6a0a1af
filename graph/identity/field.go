package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"

	"trellis/graph"
)

// read decodes one field into the draft.
func read(d *draft, f FieldInfo, raw json.RawMessage) error {
	switch f.Kind {
	case Flag:
		var b bool
		if json.Unmarshal(raw, &b) != nil {
			return errors.New("want true or false")
		}
		d.props[f.Name] = b
		return nil
	case Whole:
		var n int32
		if json.Unmarshal(raw, &n) != nil {
			return errors.New("want a whole number")
		}
		d.props[f.Name] = int64(n)
		return nil
	case TextMap:
		return readTextMap(d, f, raw)
	case Rules:
		return readRules(d, f, raw)
	case Object:
		if raw[0] != '{' {
			return errors.New("want an object")
		}
		p, err := graph.Props{f.Name: raw}.Normalize()
		if err != nil {
			return err
		}
		d.props[f.Name] = p[f.Name]
		return nil
	case Words, PermissionList, Roles, Refs, Texts:
		var list []string
		if json.Unmarshal(raw, &list) != nil {
			return errors.New("want a list of strings")
		}
		return readList(d, f, list)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return errors.New("want a string")
	}
	v, err := readText(f, s)
	if err != nil {
		return err
	}
	if f.Kind == Secret {
		delete(d.props, f.Name)
		if v != "" {
			d.secrets[f.Name] = v
		}
		return nil
	}
	if v == "" && f.Kind != Slug {
		delete(d.props, f.Name)
		return nil
	}
	d.props[f.Name] = v
	return nil
}

// maxList limits the lists of a role, a resource type or a resource.
const maxList = 1000

func readList(d *draft, f FieldInfo, list []string) error {
	if len(list) > maxList {
		return fmt.Errorf("has %d entries; the limit is %d", len(list), maxList)
	}
	if f.Kind == Refs {
		d.parents = make([]graph.Ref, 0, len(list))
		for i, s := range list {
			r, err := graph.ParseRef(s)
			if err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			if !slices.Contains(d.parents, r) {
				d.parents = append(d.parents, r)
			}
		}
		if f.Required && len(d.parents) == 0 {
			return errors.New("needs at least one entry")
		}
		return nil
	}
	slices.Sort(list)
	list = slices.Compact(list)
	for _, s := range list {
		ok := graph.Type(s).Valid()
		switch f.Kind {
		case PermissionList:
			ok = validPermission(s)
		case Texts:
			ok = len(s) <= f.Max && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
		case Roles:
			ok = graph.Ref{Type: Role, ID: s}.Validate() == nil
		}
		if !ok {
			return fmt.Errorf("%.80q is not valid here", s)
		}
	}
	d.props[f.Name] = list
	return nil
}

func readText(f FieldInfo, s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("is not valid UTF-8")
	}
	switch f.Kind {
	case Slug:
		if !validSlug(s) {
			return "", errors.New("want 1 to 100 lower-case letters, digits, '-', '_' or '.', a letter or digit first")
		}
	case Email:
		if s == "" {
			return "", nil
		}
		a, err := mail.ParseAddress(s)
		if err != nil || a.Address != s || len(s) > 254 || !graph.Printable(s) {
			return "", errors.New("is not an e-mail address")
		}
	case Status:
		if s != graph.StatusActive && s != "suspended" && s != "deactivated" {
			return "", errors.New("want active, suspended or deactivated")
		}
	case OrgID:
		if ref, err := graph.ParseRef(s); err == nil && ref.Type == Organization {
			s = ref.ID
		}
		if err := (graph.Ref{Type: Organization, ID: s}).Validate(); err != nil {
			return "", errors.New("is not the id of an organization")
		}
	case Owner:
		if ref, err := graph.ParseRef(s); err == nil && ref.Type == f.To {
			s = ref.ID
		}
		if err := (graph.Ref{Type: f.To, ID: s}).Validate(); err != nil {
			return "", fmt.Errorf("is not the id of a %s", f.To)
		}
	case Color:
		if s != "" && !validColor(s) {
			return "", errors.New("want a colour as #rrggbb")
		}
	case Choice:
		if s != "" && !slices.Contains(f.Options, s) {
			return "", fmt.Errorf("want one of %s", strings.Join(f.Options, ", "))
		}
	case Secret:
		if len(s) > maxSecret {
			return "", fmt.Errorf("is %d bytes long; the limit is %d", len(s), maxSecret)
		}
	case Text:
		if len(s) > f.Max {
			return "", fmt.Errorf("is %d bytes long; the limit is %d", len(s), f.Max)
		}
		if strings.ContainsRune(s, 0) {
			return "", errors.New("holds a NUL character")
		}
	}
	return s, nil
}

func validSlug(s string) bool {
	if s == "" || len(s) > 100 || strings.ContainsAny(s[:1], "-_.") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// slugOf makes a slug of a name or an id: its last part, lower-cased, with
// dashes for what a slug cannot hold. It may return "".
func slugOf(s string) string {
	s = strings.ToLower(s[strings.LastIndexByte(s, '/')+1:])
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '.':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s = strings.Trim(b.String(), "-_.")
	return strings.TrimRight(s[:min(len(s), 100)], "-_.")
}

// validPermission tells whether s is written like a permission: type:action,
// either of them perhaps "*", or "*" alone.
func validPermission(s string) bool {
	if s == "*" {
		return true
	}
	t, a, ok := strings.Cut(s, ":")
	word := func(w string) bool { return w == "*" || graph.Type(w).Valid() }
	return ok && word(t) && word(a) && s != "*:*"
}

func validColor(s string) bool {
	if len(s) != 7 || s[0] != '#' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i] | 0x20; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// readTextMap reads an object of texts.
func readTextMap(d *draft, f FieldInfo, raw json.RawMessage) error {
	var m map[string]string
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return errors.New("want an object of strings")
	}
	if len(m) > maxList {
		return fmt.Errorf("has %d entries; the limit is %d", len(m), maxList)
	}
	for k, v := range m {
		if k == "" || len(k) > 100 || !graph.Printable(k) {
			return fmt.Errorf("%.80q cannot be a name here", k)
		}
		if len(v) > f.Max || strings.ContainsRune(v, 0) {
			return fmt.Errorf("%.80q: want at most %d bytes of text", k, f.Max)
		}
	}
	if len(m) == 0 {
		delete(d.props, f.Name)
		return nil
	}
	p, err := graph.Props{f.Name: m}.Normalize()
	if err != nil {
		return err
	}
	d.props[f.Name] = p[f.Name]
	return nil
}

// rule is one rule of a webhook.
type rule struct {
	Name    string         `json:"name,omitempty"`
	Filter  string         `json:"filter"`
	Handler string         `json:"handler"`
	Config  map[string]any `json:"config,omitempty"`
}

// readRules reads the rules of a webhook.
func readRules(d *draft, f FieldInfo, raw json.RawMessage) error {
	var rules []rule
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&rules); err != nil {
		return errors.New("want a list of objects with name, filter, handler and config")
	}
	if len(rules) > 100 {
		return fmt.Errorf("has %d entries; the limit is 100", len(rules))
	}
	for i, r := range rules {
		if r.Handler == "" || len(r.Handler) > 200 || len(r.Filter) > 4000 || len(r.Name) > 200 {
			return fmt.Errorf("entry %d: want a handler of at most 200 bytes, a filter of at most 4000 and a name of at most 200", i)
		}
	}
	if len(rules) == 0 {
		delete(d.props, f.Name)
		return nil
	}
	p, err := graph.Props{f.Name: rules}.Normalize()
	if err != nil {
		return err
	}
	d.props[f.Name] = p[f.Name]
	return nil
}
