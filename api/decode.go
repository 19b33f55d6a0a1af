package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"trellis/graph"
)

// readBody reads the whole body into c.body. A body that is larger than the
// limit, or of another type than JSON, is refused.
func (c *call) readBody() error {
	if c.rt.in.file {
		return c.readFile()
	}
	ct := c.r.Header.Get("Content-Type")
	if !isJSON(ct, c.rt.in.patch) && (ct != "" || c.r.ContentLength != 0) {
		return problem(http.StatusUnsupportedMediaType, "media-type", "send application/json")
	}
	limit := c.o.MaxBody
	if c.rt.big {
		limit = c.o.MaxBatchBody
	}
	if c.rt.huge {
		limit = c.o.MaxManifestBody
	}
	b, err := readAll(http.MaxBytesReader(c.w, c.r.Body, limit), c.r.ContentLength, limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the body is larger than %d bytes", limit)
	case err != nil:
		return problem(http.StatusBadRequest, "malformed", "the body could not be read to its end")
	}
	c.body = b
	return nil
}

// readAll is io.ReadAll with the size known beforehand, as it usually is.
func readAll(r io.Reader, size, limit int64) ([]byte, error) {
	if size <= 0 || size > limit {
		return io.ReadAll(r)
	}
	b := make([]byte, size)
	n, err := io.ReadFull(r, b)
	if err == io.ErrUnexpectedEOF {
		return nil, err
	}
	return b[:n], err
}

// isJSON accepts the types that a body may have. The usual one costs nothing.
func isJSON(ct string, patch bool) bool {
	if ct == "application/json" {
		return true
	}
	t, params, err := mime.ParseMediaType(ct)
	if cs := params["charset"]; err != nil || cs != "" && !strings.EqualFold(cs, "utf-8") {
		return false
	}
	return t == "application/json" || patch && t == "application/merge-patch+json"
}

// decode reads the body into v, strictly: unknown and repeated names, values
// of the wrong type, trailing text and what the schema forbids are refused.
func (c *call) decode(v any) error {
	if len(c.body) == 0 && c.rt.in.optional {
		return nil
	}
	if err := c.wellFormed(); err != nil {
		return err
	}
	if err := c.valid(reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	return unmarshal(c.body, v)
}

// unmarshal is what decode does without looking at the schema.
func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v, json.RejectUnknownMembers(true)); err != nil {
		return jsonProblem(err)
	}
	return nil
}

// wellFormed refuses a body that is not one JSON value in UTF-8 with unique names.
func (c *call) wellFormed() error {
	if len(c.body) == 0 {
		return problem(http.StatusBadRequest, "malformed", "the request needs a body")
	}
	if jsontext.Value(c.body).IsValid() {
		return nil
	}
	// Only a broken body is read again, to say where.
	d := jsontext.NewDecoder(strings.NewReader(string(c.body)))
	if _, err := d.ReadValue(); err != nil {
		return jsonProblem(err)
	}
	return problem(http.StatusBadRequest, "malformed", "there is more than one JSON value in the body")
}

func jsonProblem(err error) error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		detail := "this does not fit here"
		var e *graph.Error
		var p *Problem
		switch {
		case errors.As(err, &p) && len(p.Errors) > 0:
			return badField(string(semantic.JSONPointer)+p.Errors[0].Pointer, "%s", p.Errors[0].Detail)
		case errors.As(err, &e):
			detail = e.Msg
		case errors.Is(err, json.ErrUnknownName):
			detail = "there is no such field"
		}
		return badField(string(semantic.JSONPointer), "%s", detail)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		p := problem(http.StatusBadRequest, "malformed", "the body is not valid JSON at byte %d", syntactic.ByteOffset)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			p.Detail = "the body repeats a name"
		}
		if syntactic.JSONPointer != "" && len(syntactic.JSONPointer) < 256 {
			p.Errors = []Fault{{Pointer: string(syntactic.JSONPointer), Detail: p.Detail}}
		}
		return p
	}
	return problem(http.StatusBadRequest, "malformed", "the body is not valid JSON")
}

// valid holds the body against the schema that OpenAPI shows for the type.
func (c *call) valid(t reflect.Type) error {
	var v any
	if err := json.Unmarshal(c.body, &v); err != nil {
		return jsonProblem(err)
	}
	var res huma.ValidateResult
	path := huma.NewPathBuffer(nil, 0)
	huma.Validate(c.types, c.types.Schema(t, true, ""), path, huma.ModeWriteToServer, v, &res)
	if len(res.Errors) == 0 {
		return nil
	}
	p := problem(http.StatusUnprocessableEntity, "invalid", "the body is not valid")
	for _, err := range res.Errors {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			p.Errors = append(p.Errors, faultOf(d))
		}
	}
	return p
}

// faultOf points a missing property at where it should be, and not, as huma
// does, at the object around it.
func faultOf(d *huma.ErrorDetail) Fault {
	f := Fault{Pointer: pointer(d.Location), Detail: d.Message}
	var name string
	if n, err := fmt.Sscanf(d.Message, validation.MsgExpectedRequiredProperty, &name); n == 1 && err == nil {
		f.Pointer += "/" + name
		f.Detail = "is required"
	}
	return f
}

// pointer turns huma's "checks[3].resource" into "/checks/3/resource".
func pointer(location string) string {
	if location == "" {
		return ""
	}
	s := strings.NewReplacer("~", "~0", "/", "~1", ".", "/", "[", "/", "]", "").Replace(location)
	return "/" + strings.TrimPrefix(s, "/")
}

// readQuery checks the query against the row's parameters into c.query.
func (c *call) readQuery() error {
	if c.r.URL.RawQuery == "" && len(c.rt.query) == 0 {
		return nil
	}
	given := c.r.URL.Query()
	c.query = make(map[string]string, len(given))
	p := problem(http.StatusUnprocessableEntity, "invalid", "the parameters are not valid")
	complain := func(name, detail string) { p.Errors = append(p.Errors, Fault{Parameter: name, Detail: detail}) }
	for i := range c.rt.query {
		q := &c.rt.query[i]
		if q.repeats {
			c.readMany(q, given, complain)
			continue
		}
		values, ok := given[q.name]
		delete(given, q.name)
		switch {
		case !ok && q.required:
			complain(q.name, "is required")
		case len(values) > 1:
			complain(q.name, "is given more than once")
		case ok:
			if msg := q.check(c.types, values[0]); msg != "" {
				complain(q.name, msg)
			}
			c.query[q.name] = values[0]
		}
	}
	for name := range given {
		if len(name) > 64 {
			name = name[:64]
		}
		complain(strings.ToValidUTF8(name, "?"), "there is no such parameter")
	}
	if len(p.Errors) > 0 {
		return p
	}
	return nil
}

// readMany reads a parameter that may come more than once, or all those that
// begin like it, into c.values.
func (c *call) readMany(q *param, given url.Values, complain func(name, detail string)) {
	for name, values := range given {
		if name != q.name && (!q.prefix() || !strings.HasPrefix(name, strings.TrimSuffix(q.name, "*")) || len(name) > 200) {
			continue
		}
		for _, v := range values {
			if msg := q.check(c.types, v); msg != "" {
				complain(name, msg)
			}
		}
		if c.values == nil {
			c.values = map[string][]string{}
		}
		c.values[name] = values
		delete(given, name)
	}
}

// prefix tells whether the parameter stands for all that begin like it.
func (q *param) prefix() bool { return strings.HasSuffix(q.name, "*") }

func (q *param) check(types huma.Registry, s string) string {
	var v any = s
	switch q.schema.Type {
	case huma.TypeInteger:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return "want a whole number"
		}
		v = float64(n)
	case huma.TypeBoolean:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return "want true or false"
		}
		v = b
	}
	var res huma.ValidateResult
	huma.Validate(types, q.schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, &res)
	if len(res.Errors) > 0 {
		var d *huma.ErrorDetail
		if errors.As(res.Errors[0], &d) {
			return d.Message
		}
		return "is not valid"
	}
	return ""
}

func (c *call) flag(name string) bool {
	b, _ := strconv.ParseBool(c.query[name])
	return b
}

func (c *call) limit() int {
	if _, ok := c.query["limit"]; ok {
		return c.number("limit")
	}
	return defaultLimit
}

// number reads a parameter that readQuery found to be one.
func (c *call) number(name string) int {
	n, _ := strconv.Atoi(c.query[name])
	return n
}

// refParam reads a parameter that names a node; zero if it is not given.
func (c *call) refParam(name string) (graph.Ref, error) {
	s, ok := c.query[name]
	if !ok {
		return graph.Ref{}, nil
	}
	r, err := graph.ParseRef(s)
	if err != nil {
		return r, badParameter(name, "%s", err.Error())
	}
	return r, nil
}
