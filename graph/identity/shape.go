package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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
	fieldAvatar = FieldInfo{Name: fieldOfPeople, Kind: Text, Max: maxIcon, Doc: "A picture: a URL, or an upload as upload:ID"}
	fieldSystem = FieldInfo{Name: "system", Kind: Flag, ReadOnly: true, Doc: "Made by Trellis itself and not to be changed"}
)

// shapes lists the fields of the types that Trellis knows by itself. Any
// other type is a registered one, and its nodes are resources.
var shapes = map[graph.Type][]FieldInfo{
	User: {
		{Name: "email", Kind: Email, Doc: "Unique, whatever its case"},
		fieldName, fieldStatus, fieldAvatar, fieldAttrs,
	},
	ServiceAccount: {fieldSlug, fieldName, fieldAbout, fieldStatus, fieldAvatar, fieldAttrs},
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
	Upload:     uploadShape,
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
	case APIKey, Manifest, ManifestPart, Tombstone, TombstonePart, Blob, graph.Root.Type, graph.Everyone.Type, graph.Authenticated.Type:
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
