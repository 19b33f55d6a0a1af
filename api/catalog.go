package api

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"trellis/graph"
	"trellis/graph/identity"
)

// catalogKinds lists the types of the catalog as the API offers them: those of
// an organization below it, applications below their service, and the
// blueprints that hold everywhere on their own.
func catalogKinds() []kind {
	const org = "/organizations/{org}"
	entry := func(t graph.Type, path, param, plural, one, below string, above func(*call) error) kind {
		return kind{typ: t, path: path, param: param, plural: plural, one: one, below: below, above: above, node: entryOf(t, param, false), fresh: entryOf(t, param, true)}
	}
	of := func(t graph.Type, path, plural string) kind {
		one := strings.ReplaceAll(string(t), "_", " ")
		param := string(t)
		if t == identity.ThirdPartyService {
			one, param = "third-party service", "service"
		}
		return entry(t, org+path, param, plural, one, "the organization", orgFor(t))
	}
	everywhere := entry(identity.Blueprint, "/blueprints", "id", "blueprints", "blueprint that holds everywhere", "platform:vocabulary", nil)
	everywhere.noun = "GlobalBlueprint"
	return []kind{
		of(identity.Project, "/projects", "projects"),
		of(identity.ProjectType, "/project-types", "project types"),
		of(identity.Environment, "/environments", "environments"),
		of(identity.Tag, "/tags", "tags"),
		of(identity.LinkDefinition, "/link-definitions", "link definitions"),
		of(identity.ThirdPartyService, "/third-party-services", "third-party services"),
		entry(identity.Application, org+"/third-party-services/{service}/applications", "app", "applications", "application", "the third-party service", serviceAbove),
		of(identity.Webhook, "/webhooks", "webhooks"),
		of(identity.Blueprint, "/blueprints", "blueprints"),
		everywhere,
	}
}

// catalogRoutes are what the catalog offers besides reading and writing nodes.
func catalogRoutes() []route {
	project := "/organizations/{org}/projects/{project}"
	archive := func(verb, summary string, archived bool) route {
		return route{method: post, path: project + "/" + verb, id: verb + "Project", tag: "projects", summary: summary, idempotent: true, edits: true,
			needs: need{permission: "project:update", on: "the project"}, node: entryOf(identity.Project, "project", false), out: nodeSchema(identity.Project), handle: setArchived(archived)}
	}
	rows := []route{
		archive("archive", "Keep a project as it is, out of the way", true),
		archive("unarchive", "Let an archived project be changed again", false),
	}
	return slices.Concat(rows, secretRoutes(), relationRoutes(), searchRoutes())
}

// orgFor resolves "{org}" for what lists or makes nodes of a type in it.
func orgFor(t graph.Type) func(*call) error {
	return func(c *call) error {
		if err := c.resolve(identity.Organization, graph.Ref{}, "org", false); err != nil {
			return err
		}
		c.org, c.home = c.ref, c.ref
		return c.enter(t)
	}
}

// serviceAbove resolves "{org}" and "{service}" for what lists or makes
// applications in it.
func serviceAbove(c *call) error {
	if err := entryOf(identity.ThirdPartyService, "service", false)(c); err != nil {
		return err
	}
	c.home = c.ref
	return c.enter(identity.Application)
}

// enter refuses unless the caller sees something of a type in c.ref.
func (c *call) enter(t graph.Type) error {
	if c.enters(t, c.ref) {
		return nil
	}
	return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
}

// enters tells whether the caller may see the node, or may read or make nodes
// of the type in it: whoever sees three projects sees a list of three.
func (c *call) enters(t graph.Type, above graph.Ref) bool {
	if c.visible(above) {
		return true
	}
	for _, action := range [...]string{":read", ":create"} {
		for _, p := range c.view.Places(c.subject(), string(t)+action, c.now) {
			if p == above || c.view.Within(p, above) || c.view.Within(above, p) {
				return true
			}
		}
	}
	return false
}

// entryOf resolves the path of a node of the catalog. That the organization or
// the service is missing, hidden, or another one looks like a missing node.
// With fresh, one that is not there yet gets an id.
func entryOf(t graph.Type, element string, fresh bool) func(*call) error {
	return func(c *call) (err error) {
		c.named = string(t) + ":" + short(c.path(element))
		if strings.Contains(c.rt.path, "{org}") {
			if c.org, err = c.find(identity.Organization, graph.Ref{}, "org"); err != nil {
				return err
			}
			c.home = c.org
		}
		if t == identity.Application {
			if c.home, err = c.find(identity.ThirdPartyService, c.org, "service"); err != nil {
				return err
			}
		}
		if err := (graph.Ref{Type: t, ID: c.path(element)}).Validate(); err != nil {
			return err
		}
		c.ref, err = c.find(t, c.home, element)
		switch {
		case fresh && !c.home.IsZero() && !c.visible(c.ref) && !c.enters(t, c.home):
			// A bad body must not tell that there is something to be put under.
			c.ref = graph.Ref{}
			return &graph.Error{Kind: graph.NotFound}
		case err == nil && c.home.IsZero() && !c.view.Within(c.ref, identity.Vocabulary):
			c.ref = graph.Ref{}
			return &graph.Error{Kind: graph.NotFound}
		case err != nil && fresh && graph.KindOf(err) == graph.NotFound:
			c.ref, c.unborn = graph.Ref{Type: t, ID: c.Identity.NewID()}, true
			return nil
		}
		return err
	}
}

var (
	slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)
	uuidForm = func(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }
)

// christen names what PUT is to make: the path has its slug, unless that cannot
// be one or the body has another; then it has the id.
func (k kind) christen(c *call, fields map[string]json.RawMessage) error {
	var slug string
	if raw, ok := fields["slug"]; ok && json.Unmarshal(raw, &slug) != nil {
		return badField("/slug", "want a string")
	}
	element := c.path(k.param)
	if uuidForm(element) || !slugForm.MatchString(element) || slug != "" && slug != element {
		c.ref.ID = element
		return nil
	}
	return write(fields, "slug", element)
}

// setArchived archives a project, or undoes that.
func setArchived(archived bool) func(*call) error {
	data := json.RawMessage(`{"archived":false}`)
	if archived {
		data = json.RawMessage(`{"archived":true}`)
	}
	return func(c *call) error {
		rev, err := c.ifMatch(c.current)
		if err != nil {
			return err
		}
		return c.edited(identity.Mutation{Op: identity.OpPatch, Node: c.ref, Data: data, IfMatch: rev})
	}
}
