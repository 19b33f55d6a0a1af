package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"trellis/audit"
	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage/content"
)

// nodeSchema and nodeList stand, in the table, for a node of a type and for a
// page of them.
type (
	nodeSchema graph.Type
	nodeList   graph.Type
)

// describe makes the OpenAPI document of the rows, and the registry of the
// schemas in it, which bodies are held against.
func describe(rows []route, version string) ([]byte, huma.Registry, error) {
	types := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	d := &describer{types: types, doc: &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "Trellis", Version: version, Description: intro},
		Servers: []*huma.Server{{URL: "/"}},
		Components: &huma.Components{Schemas: types, SecuritySchemes: map[string]*huma.SecurityScheme{
			"bearer": {Type: "http", Scheme: "bearer", Description: "An API key, tk_<id>_<secret>, or the bootstrap key"},
		}},
		Security: []map[string][]string{{"bearer": {}}},
	}}
	for i := range rows {
		d.doc.AddOperation(d.operation(&rows[i]))
	}
	var problems []any
	for _, k := range slices.Sorted(maps.Keys(titles)) {
		problems = append(problems, problemType+k)
	}
	types.Map()["Problem"].Properties["type"].Enum = problems
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(d.doc)
	return b.Bytes(), types, err
}

const intro = `May this subject do this to that resource, and why?

Nodes are written type:id. Every answer carries X-Request-ID and Trellis-Revision, the revision it was worked out at. ` +
	`Errors are problem documents (RFC 9457) of a stable type. What the caller may not see is answered like what does not exist.

Each operation names what it needs: x-trellis-needs is a permission and on which node; x-trellis-self an operation that is open to any known caller; x-trellis-public one that needs no credential.`

type describer struct {
	doc   *huma.OpenAPI
	types huma.Registry
}

func (d *describer) operation(r *route) *huma.Operation {
	op := &huma.Operation{
		OperationID: r.id, Method: r.method, Path: strings.ReplaceAll(r.path, "...}", "}"), Summary: r.summary, Description: r.doc, Tags: []string{r.tag},
		Responses: map[string]*huma.Response{}, Extensions: map[string]any{},
	}
	switch {
	case r.public != "":
		op.Security = []map[string][]string{}
		op.Extensions["x-trellis-public"] = r.public
	case r.self != "":
		op.Extensions["x-trellis-self"] = r.self
	default:
		op.Extensions["x-trellis-needs"] = map[string]string{"permission": r.needs.permission, "on": r.needs.on}
	}
	op.Parameters = d.parameters(r)
	if !r.in.none() {
		content := map[string]*huma.MediaType{"application/json": {Schema: d.input(r.in)}}
		if r.in.patch {
			content["application/merge-patch+json"] = content["application/json"]
		}
		if r.in.file {
			content = fileContent(r)
		}
		op.RequestBody = &huma.RequestBody{Required: !r.in.optional, Content: content}
	}
	if r.sends {
		op.RequestBody = &huma.RequestBody{Required: true, Content: anyBytes()}
	}
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	ok := &huma.Response{Description: http.StatusText(status)}
	if schema := d.output(r.out); schema != nil {
		media := "application/json"
		if r.stream && r.path == prefix+"/changes" {
			media = "text/event-stream"
		}
		ok.Content = map[string]*huma.MediaType{media: {Schema: schema}}
		if r.stream && media == "application/json" {
			ok.Content["application/x-ndjson"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
			if r.id == "exportManifests" {
				ok.Content[yamlType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
				delete(ok.Content, "application/json")
			}
			for _, f := range exportFormats {
				if r.exports {
					ok.Content[f.media] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
				}
			}
		}
	}
	if r.binary {
		ok.Content = anyBytes()
	}
	op.Responses[strconv.Itoa(status)] = ok
	for code, text := range r.answers {
		op.Responses[strconv.Itoa(code)] = &huma.Response{Description: text, Content: ok.Content}
		if code == http.StatusTemporaryRedirect {
			op.Responses[strconv.Itoa(code)] = &huma.Response{Description: text, Headers: map[string]*huma.Param{
				"Location": {Description: "The address, which needs no credential", Required: true, Schema: &huma.Schema{Type: huma.TypeString}},
			}}
		}
	}
	op.Responses["default"] = &huma.Response{Description: "A problem", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: d.types.Schema(reflect.TypeFor[Problem](), true, "")},
	}}
	return op
}

func (d *describer) parameters(r *route) []*huma.Param {
	var out []*huma.Param
	str := func() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }
	for _, m := range element.FindAllStringSubmatch(r.path, -1) {
		out = append(out, &huma.Param{Name: m[1], In: "path", Required: true, Schema: str(), Description: elements[m[1]]})
	}
	for i := range r.query {
		q := &r.query[i]
		q.schema.PrecomputeMessages()
		schema := q.schema
		if q.repeats {
			schema = &huma.Schema{Type: huma.TypeArray, Items: q.schema}
		}
		out = append(out, &huma.Param{Name: q.name, In: "query", Required: q.required, Schema: schema, Description: q.doc})
	}
	if r.edits {
		out = append(out, &huma.Param{Name: "If-Match", In: "header", Schema: str(), Description: "The ETag that the change relies on; 412 if it is another by now"})
	}
	if r.idempotent {
		out = append(out, &huma.Param{Name: headerIdempotency, In: "header", Schema: str(), Description: "Any text of up to 255 characters. The same request with the same key is carried out once; repetitions get the same answer, marked " + headerReplayed})
	}
	return out
}

var elements = map[string]string{
	"id":     "The id, or the slug where the type has one; percent-encoded",
	"org":    "The id or the slug of the organization",
	"team":   "The id or the slug of the team",
	"type":   "A registered resource type",
	"set":    "The name of a set: NAME, or ORGANIZATION/NAME; percent-encoded",
	"upload": "The id of the upload",
	"key":    "The key, as the signed address has it",
	"member": "The member, as type:id; percent-encoded",

	"project":         "The id or the slug of the project",
	"project_type":    "The id or the slug of the project type",
	"environment":     "The id or the slug of the environment",
	"tag":             "The id or the slug of the tag",
	"link_definition": "The id or the slug of the link definition",
	"service":         "The id or the slug of the third-party service",
	"app":             "The id or the slug of the application",
	"webhook":         "The id or the slug of the webhook",
	"blueprint":       "The id or the slug of the blueprint",
}

func binary() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "binary"} }

func anyBytes() map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"*/*": {Schema: binary()}}
}

// fileContent describes a body that is a file, or a form with one.
func fileContent(r *route) map[string]*huma.MediaType {
	form := &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: map[string]*huma.Schema{"file": binary()}}
	for i := range r.query {
		form.Properties[r.query[i].name] = &huma.Schema{Type: huma.TypeString}
	}
	out := map[string]*huma.MediaType{"multipart/form-data": {Schema: form}}
	for _, t := range content.Types() {
		if r.in.picture && !strings.HasPrefix(t, "image/") {
			continue
		}
		out[t] = &huma.MediaType{Schema: binary()}
	}
	return out
}

func (d *describer) input(b body) *huma.Schema {
	if b.file {
		return nil
	}
	if b.value != nil {
		return d.types.Schema(reflect.TypeOf(b.value), true, "")
	}
	name := typeName(b.node) + "Input"
	if b.patch {
		name = typeName(b.node) + "Patch"
	}
	if b.withID {
		name = typeName(b.node) + "Create"
	}
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
	for _, f := range identity.Describe(b.node) {
		if f.ReadOnly || b.patch && f.Immutable || b.homed() && (f.Name == "organization" || f.Name == "service") {
			continue
		}
		p := fieldSchema(f)
		if p.Nullable = b.patch; !b.patch && f.Required {
			s.Required = append(s.Required, f.Name)
		}
		s.Properties[f.Name] = p
	}
	if b.withID {
		most := graph.MaxID
		s.Properties["id"] = &huma.Schema{Type: huma.TypeString, MaxLength: &most, Description: "The id; the service makes one if it is absent"}
		if b.needID {
			s.Properties["id"].Description = "The name of the type"
			s.Required = append(s.Required, "id")
		}
	}
	return d.named(name, s)
}

func (d *describer) output(out any) *huma.Schema {
	switch v := out.(type) {
	case nil:
		return nil
	case nodeSchema:
		return d.node(graph.Type(v))
	case recordList:
		return d.page(d.named(recordName(audit.Stream(v)), recordSchema(audit.Stream(v))), recordName(audit.Stream(v)))
	case nodeList:
		return d.page(d.node(graph.Type(v)), typeName(graph.Type(v)))
	case catalogList:
		return d.catalogPage(graph.Type(v))
	}
	return d.types.Schema(reflect.TypeOf(out), true, "")
}

// page describes a page of items.
func (d *describer) page(item *huma.Schema, name string) *huma.Schema {
	page := &huma.Schema{Type: huma.TypeObject, Required: []string{"items"}, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"items":       {Type: huma.TypeArray, Items: item},
		"next_cursor": {Type: huma.TypeString, Description: "Give it as cursor to get the next page; absent on the last one"},
	}}
	return d.named(name+"Page", page)
}

// node describes a node of the type as answers show it.
func (d *describer) node(t graph.Type) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"id", "type", "created_at", "updated_at", "revision"}, Properties: map[string]*huma.Schema{
		"id":         {Type: huma.TypeString},
		"type":       {Type: huma.TypeString},
		"created_at": {Type: huma.TypeString, Format: "date-time"},
		"updated_at": {Type: huma.TypeString, Format: "date-time"},
		"revision":   {Type: huma.TypeInteger, Format: "int64", Description: "The revision of the last change to it; the ETag"},
	}}
	for _, f := range identity.Describe(t) {
		if f.Kind == identity.Secret {
			s.Properties["secrets"] = &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}, Description: "The names of the secrets that are set", ReadOnly: true}
			continue
		}
		s.Properties[f.Name] = fieldSchema(f)
		s.Properties[f.Name].Nullable = f.Kind == identity.Relation
	}
	if _, ok := counted[t]; ok {
		s.Properties["counts"] = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, ReadOnly: true, Description: "How many projects it has that the caller may read; in lists",
			Properties: map[string]*huma.Schema{"projects": {Type: huma.TypeInteger}}}
	}
	return d.named(typeName(t), s)
}

// catalogPage describes a page of nodes that the catalog's index found.
func (d *describer) catalogPage(t graph.Type) *huma.Schema {
	ref := d.page(d.node(t), typeName(t))
	s := d.types.Map()[typeName(t)+"Page"]
	s.Properties["total"] = &huma.Schema{Type: huma.TypeInteger, Description: "How many there are on all pages, if that was asked for"}
	if len(facetNames(t)) > 0 {
		s.Properties["facets"] = &huma.Schema{Type: huma.TypeObject, Description: "The values of what facets named, those of the most items first",
			AdditionalProperties: &huma.Schema{Type: huma.TypeArray, Items: d.types.Schema(reflect.TypeFor[Facet](), true, "")}}
	}
	s.PrecomputeMessages()
	return ref
}

func (d *describer) named(name string, s *huma.Schema) *huma.Schema {
	s.PrecomputeMessages()
	d.types.Map()[name] = s
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

func typeName(t graph.Type) string { return kind{typ: t}.operation("") }

func fieldSchema(f identity.FieldInfo) *huma.Schema {
	s := &huma.Schema{Description: f.Doc, ReadOnly: f.ReadOnly}
	str := &huma.Schema{Type: huma.TypeString}
	switch f.Kind {
	case identity.Flag:
		s.Type = huma.TypeBoolean
	case identity.Object:
		s.Type, s.AdditionalProperties = huma.TypeObject, true
	case identity.Words, identity.PermissionList, identity.Roles, identity.Refs, identity.Texts, identity.Relations:
		s.Type, s.Items = huma.TypeArray, str
	case identity.Whole:
		s.Type, s.Format = huma.TypeInteger, "int32"
	case identity.Color:
		s.Type, s.Pattern = huma.TypeString, "^#[0-9A-Fa-f]{6}$"
	case identity.Choice:
		s.Type = huma.TypeString
		for _, o := range f.Options {
			s.Enum = append(s.Enum, o)
		}
	case identity.TextMap:
		s.Type, s.AdditionalProperties = huma.TypeObject, str
	case identity.Secret:
		s.Type, s.WriteOnly = huma.TypeString, true
	case identity.Rules:
		s.Type, s.Items = huma.TypeArray, &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"handler"}, Properties: map[string]*huma.Schema{
			"name": str, "filter": str, "handler": str, "config": {Type: huma.TypeObject, AdditionalProperties: true},
		}}
	case identity.RelationMap:
		fields := map[string]*huma.Schema{}
		for _, name := range f.EdgeFields {
			fields[name] = str
		}
		s.Type = huma.TypeObject
		s.AdditionalProperties = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: fields}
	case identity.Status:
		s.Type, s.Enum = huma.TypeString, []any{"active", "suspended", "deactivated"}
	case identity.Email:
		s.Type, s.Format = huma.TypeString, "email"
	case identity.Slug:
		s.Type, s.Pattern = huma.TypeString, "^[a-z0-9][a-z0-9._-]{0,99}$"
	default:
		s.Type = huma.TypeString
		if f.Max > 0 {
			s.MaxLength = &f.Max
		}
	}
	return s
}
