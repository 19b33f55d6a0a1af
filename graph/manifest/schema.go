package manifest

import (
	"encoding/json"

	"trellis/graph"
	"trellis/graph/identity"
)

// SchemaID is the identifier of the JSON Schema of documents.
const SchemaID = "urn:trellis:manifest:v1"

type object = map[string]any

// Schema returns the JSON Schema (2020-12) of one document, for editors. What
// it allows may still be refused: whether a thing that is named exists, and who
// may do what, only the server knows.
func Schema() map[string]any {
	defs := object{}
	var cases []any
	for i := range kinds {
		k := &kinds[i]
		defs[k.name] = k.schema()
		cases = append(cases, object{
			"if":   object{"properties": object{"kind": object{"const": k.name}}, "required": []string{"kind"}},
			"then": object{"$ref": "#/$defs/" + k.name},
		})
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SchemaID,
		"title": "Trellis manifest", "description": "A document that declares a part of the graph",
		"type": "object", "required": []string{"apiVersion", "kind"}, "additionalProperties": false,
		"properties": object{
			"apiVersion": object{"const": APIVersion},
			"kind":       object{"enum": Kinds(), "description": "What it declares"},
			"metadata":   object{"type": "object"},
			"spec":       object{"type": "object"},
		},
		"allOf": cases, "$defs": defs,
	}
}

// SchemaText returns Schema as a file for editors.
func SchemaText() ([]byte, error) {
	b, err := json.MarshalIndent(Schema(), "", "  ")
	return append(b, '\n'), err
}

func closed(properties object, required ...string) object {
	o := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func word(doc string) object { return object{"type": "string", "description": doc} }

func listOf(items object, doc string) object {
	return object{"type": "array", "items": items, "description": doc}
}

// schema describes documents of the kind.
func (k *kind) schema() object {
	switch k.name {
	case Membership:
		one := word("type:name, as in user:ann@example.com")
		return object{"properties": object{"metadata": k.metadata(), "spec": closed(object{
			"set": word("The group, team or organization, as in team:acme/payments"),
			"members": listOf(object{"anyOf": []any{one, closed(object{
				"member": one, "expires_at": object{"type": "string", "format": "date-time"},
			}, "member")}}, "Who is to be a member of it"),
		}, "set", "members")}, "required": []string{"spec"}}
	case Grant:
		spec := closed(object{
			"subject":    word("Who is given access, as in team:acme/payments"),
			"resource":   word("To what, as in project:acme/billing"),
			"role":       word("The slug or id of the role"),
			"actions":    listOf(object{"type": "string"}, "Single permissions instead of a role, as type:action"),
			"expires_at": object{"type": "string", "format": "date-time", "description": "When the grant ends by itself"},
		}, "subject", "resource")
		spec["oneOf"] = []any{object{"required": []string{"role"}}, object{"required": []string{"actions"}}}
		return object{"properties": object{"metadata": k.metadata(), "spec": spec}, "required": []string{"spec"}}
	}
	fields, required := object{}, []string{}
	for _, f := range identity.Describe(k.typ) {
		if f.ReadOnly || f.Name == "slug" || f.Name == "organization" {
			continue
		}
		fields[f.Name] = fieldSchema(f)
		if f.Required {
			required = append(required, f.Name)
		}
	}
	out := object{"properties": object{"metadata": k.metadata(), "spec": closed(fields, required...)}}
	needs := []string{"metadata"}
	if k.typ == identity.User {
		needs = nil // its address will do
	}
	if len(required) > 0 {
		needs = append(needs, "spec")
	}
	if len(needs) > 0 {
		out["required"] = needs
	}
	return out
}

func (k *kind) metadata() object {
	p := object{}
	var required []string
	if k.home != nowhere || k.typ == "" && k.name != Resource {
		p["organization"] = word("Slug or id of the organization that it belongs to")
	}
	if k.home == always {
		required = append(required, "organization")
	}
	if k.named {
		p["slug"] = object{"type": "string", "pattern": slugPattern, "description": "Its slug; it is found by it unless there is an id"}
	}
	if k.name == Resource {
		p["type"] = word("The registered type")
		required = append(required, "type")
	}
	if k.typ != "" || k.name == Resource {
		p["id"] = object{"type": "string", "minLength": 1, "maxLength": graph.MaxID, "description": "Its id; made by the service if it is new and there is none"}
		if !k.named && k.typ != identity.User {
			required = append(required, "id")
		}
	}
	m := closed(p, required...)
	if k.named {
		m["anyOf"] = []any{object{"required": []string{"slug"}}, object{"required": []string{"id"}}}
	}
	return m
}

const slugPattern = "^[a-z0-9][a-z0-9._-]{0,99}$"

func fieldSchema(f identity.FieldInfo) object {
	o := object{"type": "string", "description": f.Doc}
	text := object{"type": "string"}
	if f.Max > 0 {
		text["maxLength"] = f.Max
	}
	switch f.Kind {
	case identity.Text, identity.Secret:
		if f.Max > 0 {
			o["maxLength"] = f.Max
		}
	case identity.Email:
		o["format"] = "email"
	case identity.Status:
		o["enum"] = []string{"active", "suspended", "deactivated"}
	case identity.Choice:
		o["enum"] = f.Options
	case identity.Color:
		o["pattern"] = "^#[0-9A-Fa-f]{6}$"
	case identity.Flag:
		o["type"] = "boolean"
	case identity.Whole:
		o["type"] = "integer"
	case identity.Object:
		o["type"] = "object"
	case identity.TextMap:
		o["type"], o["additionalProperties"] = "object", text
	case identity.Words, identity.PermissionList, identity.Roles, identity.Refs, identity.Texts, identity.Relations:
		o["type"], o["items"] = "array", text
	case identity.Rules:
		o["type"], o["items"] = "array", closed(object{
			"name": object{"type": "string"}, "filter": object{"type": "string"}, "handler": object{"type": "string"}, "config": object{"type": "object"},
		}, "handler")
	case identity.RelationMap:
		fields := object{}
		for _, name := range f.EdgeFields {
			fields[name] = object{"type": "string"}
		}
		o["type"], o["additionalProperties"] = "object", closed(fields)
	}
	return o
}
