package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"unicode/utf8"

	"trellis/graph"
)

// FieldKind says what a field may hold.
type FieldKind string

// The kinds of fields, with the JSON that they are written as.
const (
	Text           FieldKind = "text"        // string of at most FieldInfo.Max bytes
	Slug           FieldKind = "slug"        // string: lower-case letters, digits, '-', '_', '.'; 1 to 100
	Email          FieldKind = "email"       // string: an address
	Status         FieldKind = "status"      // string: active, suspended or deactivated
	Flag           FieldKind = "flag"        // true or false
	Object         FieldKind = "object"      // any JSON object
	Words          FieldKind = "words"       // list of type or action names
	PermissionList FieldKind = "permissions" // list of permission names, wildcards allowed
	Roles          FieldKind = "roles"       // list of role ids
	Refs           FieldKind = "refs"        // list of nodes as type:id
	OrgID          FieldKind = "org"         // the id of an organization
	Owner          FieldKind = "owner"       // the id of a node of type FieldInfo.To, which it is a child of
	Whole          FieldKind = "whole"       // whole number
	Color          FieldKind = "color"       // string: #rrggbb
	Choice         FieldKind = "choice"      // string: one of FieldInfo.Options
	Texts          FieldKind = "texts"       // list of strings of at most FieldInfo.Max bytes each
	TextMap        FieldKind = "text_map"    // object of strings of at most FieldInfo.Max bytes each
	Secret         FieldKind = "secret"      // string, kept sealed and never shown
	Rules          FieldKind = "rules"       // list of objects: name, filter, handler, config
	// Relations are edges of kind FieldInfo.Edge to nodes of type FieldInfo.To
	// in the same organization, written by their slugs.
	Relation    FieldKind = "relation"     // string: one, or none
	Relations   FieldKind = "relations"    // list of strings
	RelationMap FieldKind = "relation_map" // object by slug, of objects of FieldInfo.EdgeFields
)

// related tells whether the field is kept in edges.
func (k FieldKind) related() bool { return k == Relation || k == Relations || k == RelationMap }

// FieldInfo describes one field of a type of node.
type FieldInfo struct {
	Name      string
	Kind      FieldKind
	Max       int  // of Text, in bytes
	Required  bool // at creation
	Immutable bool // fixed after creation
	ReadOnly  bool // set by the service only
	Doc       string

	Options    []string   // of Choice
	Edge       graph.Kind // of relations
	To         graph.Type // of relations and of Owner
	EdgeFields []string   // of RelationMap: texts that the edge carries
}

var (
	fieldSlug   = FieldInfo{Name: "slug", Kind: Slug, Doc: "Short name for paths; made from the id or the name if left out. May be changed, the id stays"}
	fieldName   = FieldInfo{Name: "name", Kind: Text, Max: 200, Doc: "Name for people"}
	fieldAbout  = FieldInfo{Name: "description", Kind: Text, Max: 4000, Doc: "What it is for"}
	fieldStatus = FieldInfo{Name: "status", Kind: Status, Doc: "Anything but active takes all access away"}
	fieldAttrs  = FieldInfo{Name: "attributes", Kind: Object, Doc: "Anything else worth keeping, as an object"}
	fieldSystem = FieldInfo{Name: "system", Kind: Flag, ReadOnly: true, Doc: "Made by Trellis itself and not to be changed"}
)

// shapes lists the fields of the types that Trellis knows by itself. Any
// other type is a registered one, and its nodes are resources.
var shapes = map[graph.Type][]FieldInfo{
	User: {
		{Name: "email", Kind: Email, Doc: "Unique, whatever its case"},
		fieldName, fieldStatus, fieldAttrs,
	},
	ServiceAccount: {fieldSlug, fieldName, fieldAbout, fieldStatus, fieldAttrs},
	Group:          {fieldSlug, fieldName, fieldAbout},
	Organization:   {fieldSlug, fieldName, fieldAbout, fieldIcon, fieldMore, fieldWas},
	Team: {
		{Name: "organization", Kind: OrgID, Required: true, Immutable: true, Doc: "Id of the organization that the team belongs to"},
		fieldSlug, fieldName, fieldAbout, fieldIcon, fieldMore, fieldWas,
	},
	Role: {
		{Name: "organization", Kind: OrgID, Immutable: true, Doc: "Id of the organization that owns the role; then it can be granted only inside it"},
		fieldSlug, fieldName, fieldAbout,
		{Name: "permissions", Kind: PermissionList, Doc: "What the role grants by itself: type:action, type:*, *:action or *"},
		{Name: "inherits", Kind: Roles, Doc: "Ids of the roles whose permissions it grants as well"},
		fieldSystem,
	},
	Permission: {fieldName, fieldAbout},
	ResourceType: {
		fieldName, fieldAbout,
		{Name: "actions", Kind: Words, Doc: "What can be done to it besides create, read, update and delete, which every type has"},
		{Name: "parents", Kind: Words, Doc: "Types that a resource of this type may have as parent"},
		{Name: "subject", Kind: Flag, Doc: "Whether nodes of this type may be given access"},
		fieldSystem,
	},
}

var resourceShape = []FieldInfo{
	fieldName,
	{Name: "parents", Kind: Refs, Required: true, Doc: "The nodes above it, as type:id; access flows down from them"},
	fieldAttrs,
}

// Describe returns the fields of a type's nodes.
func Describe(t graph.Type) []FieldInfo {
	if s := shapeOf(t); s != nil {
		return s
	}
	if t == Tombstone {
		return tombstoneShape
	}
	return resourceShape
}

// shapeOf returns the fields of a type that Trellis brings along, else nil.
func shapeOf(t graph.Type) []FieldInfo {
	if s := shapes[t]; s != nil {
		return s
	}
	return catalogShapes[t]
}

// Known tells whether the type is one that Trellis brings along, and not a
// registered one.
func Known(t graph.Type) bool {
	switch t {
	case APIKey, Manifest, ManifestPart, Tombstone, TombstonePart, graph.Root.Type, graph.Everyone.Type, graph.Authenticated.Type:
		return true
	}
	return shapeOf(t) != nil
}

// Fields returns what callers may see of a node: the fields of its type and
// nothing else, so that a secret property can never slip out. Of secrets only
// the names of those that are set are shown, as "secrets". Relations are not
// among them: the node does not hold them.
func Fields(n graph.Node) map[string]any {
	out := map[string]any{}
	for _, f := range Describe(n.Ref.Type) {
		v, ok := n.Props[f.Name]
		switch {
		case f.Kind.related():
		case f.Kind == Secret:
			names, _ := out["secrets"].([]string)
			if ok {
				names = append(names, f.Name)
			}
			out["secrets"] = append([]string{}, names...)
		case ok:
			if j, isJSON := v.(graph.JSON); isJSON {
				v = json.RawMessage(j)
			}
			out[f.Name] = v
		case f.Kind == Status:
			out[f.Name] = graph.StatusActive
		case f.Kind == Words || f.Kind == PermissionList || f.Kind == Roles || f.Kind == Texts || f.Kind == Rules:
			out[f.Name] = []string{}
		case f.Kind == Whole:
			out[f.Name] = int64(0)
		case f.Kind == Object || f.Kind == TextMap:
			out[f.Name] = json.RawMessage("{}")
		case f.Kind == Text:
			out[f.Name] = ""
		case f.Kind == Flag:
			out[f.Name] = false
		}
	}
	return out
}

// draft is the editable part of a node in the form of graph properties, with
// what is no property, or not yet, kept apart.
type draft struct {
	props   graph.Props
	parents []graph.Ref       // of a resource
	wishes  map[string]wish   // relations, by field
	secrets map[string]string // secrets in clear, by field
}

// decode reads data as the fields of type t. With patch, base is what the
// node has now, null removes a field and what is not named stays (RFC 7396);
// without, everything not named is as if it never was, except what is
// immutable or read-only.
func decode(t graph.Type, data json.RawMessage, base *draft, patch bool) (draft, error) {
	in, err := object(data)
	if err != nil {
		return draft{}, err
	}
	d := draft{props: graph.Props{}, wishes: map[string]wish{}, secrets: map[string]string{}}
	var bad []graph.Field
	complain := func(name, format string, args ...any) {
		bad = append(bad, graph.Field{Pointer: "/" + pointer.Replace(name), Msg: fmt.Sprintf(format, args...)})
	}
	infos := Describe(t)
	for _, f := range infos {
		raw, given := in[f.Name]
		delete(in, f.Name)
		null := string(raw) == "null"
		if base != nil && (f.ReadOnly || f.Immutable || (!given && (patch || f.Kind == Slug || f.Kind == Secret))) {
			keep(&d, *base, f.Name)
		}
		if f.Kind.related() {
			if given || base != nil && !patch {
				w, err := readWish(f, raw, patch && base != nil)
				if err != nil {
					complain(f.Name, "%v", err)
				}
				d.wishes[f.Name] = w
			}
			continue
		}
		if !given {
			if f.Required && base == nil {
				complain(f.Name, "is required")
			}
			continue
		}
		if (f.Kind == Object || f.Kind == TextMap) && patch && base != nil && !null {
			raw, err = mergeObject(base.props[f.Name], raw)
			if err != nil {
				complain(f.Name, "%v", err)
				continue
			}
		}
		if null {
			if f.Required {
				complain(f.Name, "is required")
			}
			if !f.ReadOnly && !f.Immutable {
				delete(d.props, f.Name)
			}
			continue
		}
		was := d.props[f.Name]
		if err := read(&d, f, raw); err != nil {
			complain(f.Name, "%v", err)
			continue
		}
		same := graph.Props{f.Name: d.props[f.Name]}.Equal(graph.Props{f.Name: was})
		if base != nil && (f.Immutable || f.ReadOnly) && !same || base == nil && f.ReadOnly {
			complain(f.Name, "cannot be changed")
		}
	}
	for name := range in {
		complain(name, "there is no such field")
	}
	if base != nil {
		d.omit(base.props)
	}
	if len(bad) > 0 {
		slices.SortFunc(bad, func(a, b graph.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
		e := graph.Errorf(graph.Invalid, "the data is not that of a %s", t)
		e.Fields = bad
		return draft{}, e
	}
	return d, nil
}

// omit takes out what says nothing where nothing was said before, so that a
// body that was read and sent back changes nothing.
func (d *draft) omit(before graph.Props) {
	for name, v := range d.props {
		if _, ok := before[name]; ok {
			continue
		}
		if list, ok := v.([]string); ok && len(list) == 0 || !ok && (v == false || v == int64(0) || v == graph.JSON("{}")) {
			delete(d.props, name)
		}
	}
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

func keep(d *draft, base draft, name string) {
	if name == "parents" && base.parents != nil {
		d.parents = base.parents
	}
	if v, ok := base.props[name]; ok {
		d.props[name] = v
	}
}

func object(data json.RawMessage) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return map[string]json.RawMessage{}, nil
	}
	var in map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&in); err != nil || in == nil {
		return nil, graph.Errorf(graph.Invalid, "data must be a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, graph.Errorf(graph.Invalid, "data must be one JSON object")
	}
	return in, nil
}

// mergeObject applies an RFC 7396 merge patch one object deep and further.
func mergeObject(base any, patch json.RawMessage) (json.RawMessage, error) {
	var p any
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, err
	}
	var b any
	if j, ok := base.(graph.JSON); ok {
		if err := json.Unmarshal([]byte(j), &b); err != nil {
			return nil, err
		}
	}
	return json.Marshal(merge(b, p))
}

func merge(base, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	b, ok := base.(map[string]any)
	if !ok {
		b = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(b, k)
		} else {
			b[k] = merge(b[k], v)
		}
	}
	return b
}

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
