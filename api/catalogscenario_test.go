package api_test

import (
	"regexp"
	"strings"
)

// madeElement is an element of a path in the table.
var madeElement = regexp.MustCompile(`\{\w+\}`)

// catalogScenarios are the routes of the catalog, in an order in which each
// finds what it needs.
func catalogScenarios() []trace {
	ok := func(as, method, path, body string, status int, want string, leaves ...string) trace {
		return trace{scenario{as: as, method: method, path: v1 + path, body: body, status: status, want: want}, leaves}
	}
	const org = "/organizations/acme"
	const service = org + "/third-party-services/sentry"
	list := []trace{
		ok("acme-owner", "POST", org+"/project-types", `{"name":"API","icon":"server"}`, 201, `"slug":"api"`,
			"project_type:create success project_type:ID"),
		ok("acme-owner", "GET", org+"/project-types?total=true", "", 200, `"total":1`),
		ok("acme-owner", "GET", org+"/project-types/api", "", 200, `"icon":"server"`),
		ok("acme-owner", "PUT", org+"/project-types/library", `{"name":"Library"}`, 201, `"slug":"library"`,
			"project_type:create success project_type:ID"),
		ok("acme-owner", "PATCH", org+"/project-types/library", `{"description":"d"}`, 200, `"description":"d"`,
			"project_type:update success project_type:ID"),

		ok("acme-owner", "POST", org+"/environments", `{"name":"Production","sort_order":2,"label_color":"#ff0000"}`, 201, `"sort_order":2`,
			"environment:create success environment:ID"),
		ok("acme-owner", "PUT", org+"/environments/staging", `{"name":"Staging","sort_order":1}`, 201, `"slug":"staging"`,
			"environment:create success environment:ID"),
		ok("acme-owner", "GET", org+"/environments?sort=-slug", "", 200, `"counts":{"projects":0}`),
		ok("acme-owner", "GET", org+"/environments/production", "", 200, `"label_color":"#ff0000"`),
		ok("acme-owner", "PATCH", org+"/environments/production", `{"label_color":null}`, 200, `"slug":"production"`,
			"environment:update success environment:ID"),

		ok("acme-owner", "POST", org+"/tags", `{"slug":"go","name":"Go"}`, 201, `"slug":"go"`,
			"tag:create success tag:ID"),
		ok("acme-owner", "PUT", org+"/tags/legacy", `{"color":"#000000"}`, 201, `"color":"#000000"`,
			"tag:create success tag:ID"),
		ok("acme-owner", "GET", org+"/tags?text=leg", "", 200, `"slug":"legacy"`),
		ok("acme-owner", "GET", org+"/tags/go", "", 200, `"name":"Go"`),
		ok("acme-owner", "PATCH", org+"/tags/legacy", `{"name":"Old"}`, 200, `"name":"Old"`,
			"tag:update success tag:ID"),

		ok("acme-owner", "POST", org+"/link-definitions", `{"slug":"runbook","url_template":"https://wiki/{slug}"}`, 201, `"url_template":"https://wiki/{slug}"`,
			"link_definition:create success link_definition:ID"),
		ok("acme-owner", "GET", org+"/link-definitions", "", 200, `"slug":"runbook"`),
		ok("acme-owner", "GET", org+"/link-definitions/runbook", "", 200, `"slug":"runbook"`),
		ok("acme-owner", "PUT", org+"/link-definitions/runbook", `{"name":"Runbook"}`, 200, `"name":"Runbook"`,
			"link_definition:update success link_definition:ID"),
		ok("acme-owner", "PATCH", org+"/link-definitions/runbook", `{"icon":"book"}`, 200, `"icon":"book"`,
			"link_definition:update success link_definition:ID"),

		ok("acme-owner", "POST", org+"/third-party-services", `{"slug":"sentry","vendor":"Sentry","team":"core","lifecycle":"active","links":{"status":"https://s"}}`, 201, `"team":"core"`,
			"third_party_service:create success third_party_service:ID", "relation:add success third_party_service:ID team:acme-core"),
		ok("acme-owner", "GET", org+"/third-party-services?team=core&facets=team", "", 200, `"facets":{"team":[{"id":"acme-core","slug":"core","name":"Core","count":1}]}`),
		ok("acme-owner", "GET", service, "", 200, `"links":{"status":"https://s"}`),
		ok("acme-owner", "PATCH", service, `{"category":"errors"}`, 200, `"category":"errors"`,
			"third_party_service:update success third_party_service:ID"),
		ok("acme-owner", "PUT", org+"/third-party-services/github", `{"vendor":"GitHub"}`, 201, `"vendor":"GitHub"`,
			"third_party_service:create success third_party_service:ID"),

		ok("acme-owner", "POST", service+"/applications", `{"slug":"web","client_id":"c1","client_secret":"sesame-1","scopes":["read"]}`, 201, `"secrets":["client_secret"]`,
			"application:create success application:ID"),
		ok("acme-owner", "GET", service+"/applications", "", 200, `"client_id":"c1"`),
		ok("acme-owner", "GET", service+"/applications/web", "", 200, `"scopes":["read"]`),
		ok("acme-owner", "PUT", service+"/applications/web", `{"name":"Web","client_id":"c2"}`, 200, `"secrets":["client_secret"]`,
			"application:update success application:ID"),
		ok("acme-owner", "PATCH", service+"/applications/web", `{"signing_secret":"sesame-2"}`, 200, `"secrets":["client_secret","signing_secret"]`,
			"application:update success application:ID"),
		ok("acme-owner", "PUT", service+"/applications/web/secrets", `{"private_key":"sesame-3","signing_secret":null}`, 200, `{"secrets":["client_secret","private_key"]}`,
			"application:update success application:ID"),
		ok("acme-owner", "GET", service+"/applications/web/secrets", "", 200, `{"client_secret":"sesame-1","private_key":"sesame-3"}`,
			"application:reveal success application:ID"),

		ok("acme-owner", "POST", org+"/webhooks", `{"slug":"errors","path":"/in","secret":"sesame-4","services":{"sentry":{"identifier_selector":"/project"}},"rules":[{"handler":"note","filter":"true"}]}`, 201, `"services":{"sentry":{"identifier_selector":"/project"}}`,
			"webhook:create success webhook:ID", "relation:add success webhook:ID third_party_service:ID"),
		ok("acme-owner", "GET", org+"/webhooks?service=sentry", "", 200, `"slug":"errors"`),
		ok("acme-owner", "GET", org+"/webhooks/errors", "", 200, `"secrets":["secret"]`),
		ok("acme-owner", "PUT", org+"/webhooks/errors", `{"path":"/new"}`, 200, `"rules":[]`,
			"webhook:update success webhook:ID", "relation:remove success webhook:ID third_party_service:ID"),
		ok("acme-owner", "PATCH", org+"/webhooks/errors", `{"services":{"sentry":{}}}`, 200, `"services":{"sentry":{}}`,
			"relation:add success webhook:ID third_party_service:ID"),

		ok("acme-owner", "POST", org+"/blueprints", `{"slug":"tier","applies_to":"team","schema":{"type":"object","properties":{"tier":{"type":"integer"}}}}`, 201, `"applies_to":"team"`,
			"blueprint:create success blueprint:ID"),
		ok("acme-owner", "GET", org+"/blueprints", "", 200, `"slug":"tier"`),
		ok("acme-owner", "GET", org+"/blueprints/tier", "", 200, `"priority":0`),
		ok("acme-owner", "PUT", org+"/blueprints/tier", `{"name":"Tier","applies_to":"team","schema":{"type":"object","properties":{}}}`, 200, `"name":"Tier"`,
			"blueprint:update success blueprint:ID"),
		ok("acme-owner", "PATCH", org+"/blueprints/tier", `{"disabled":true}`, 200, `"disabled":true`,
			"blueprint:update success blueprint:ID"),
		ok("root", "POST", "/blueprints", `{"slug":"cost","applies_to":"organization","schema":{"type":"object","properties":{}}}`, 201, `"slug":"cost"`,
			"blueprint:create success blueprint:ID"),
		ok("root", "GET", "/blueprints?total=true", "", 200, `"total":1`),
		ok("root", "GET", "/blueprints/cost", "", 200, `"applies_to":"organization"`),
		ok("root", "PUT", "/blueprints/cost", `{"name":"Cost","applies_to":"organization","schema":{"type":"object","properties":{}}}`, 200, `"name":"Cost"`,
			"blueprint:update success blueprint:ID"),
		ok("root", "PATCH", "/blueprints/cost", `{"disabled":true}`, 200, `"disabled":true`,
			"blueprint:update success blueprint:ID"),
		ok("root", "GET", "/blueprints/cost/misfits", "", 200, `{"items":[]}`),
		ok("acme-owner", "GET", org+"/blueprints/tier/misfits", "", 200, `{"items":[]}`),
		ok("acme-owner", "GET", org+"/teams/core/schema", "", 200, `"properties":{}`),
		ok("acme-owner", "GET", org+"/environments/production/schema", "", 200, `"properties":{}`),
		ok("acme-owner", "GET", org+"/project-types/api/schema", "", 200, `"properties":{}`),
		ok("acme-owner", "GET", org+"/schema?applies_to=project&type=api", "", 200, `"properties":{}`),
		ok("root", "DELETE", "/blueprints/cost", "", 200, `"nodes":1`,
			"blueprint:delete success blueprint:ID", "tombstone:create success tombstone:ID"),

		ok("acme-owner", "POST", org+"/projects", `{"name":"Ledger"}`, 201, `"team":null,"type":"project","types":[]`,
			"project:create success project:ID"),
		ok("acme-owner", "PUT", org+"/projects/billing", `{"name":"Billing","types":["api"],"team":"core","tags":["go"],"depends_on":["ledger"],"environments":{"production":{"url":"https://b"}},"links":{"runbook":{"url":"https://r"}},"services":{"sentry":{"identifier":"42"}},"identifiers":{"github":"acme/billing"}}`, 201,
			`"services":{"sentry":{"identifier":"42"}}`,
			"project:create success project:ID", "relation:add success project:ID environment:ID", "relation:add success project:ID link_definition:ID", "relation:add success project:ID project:ID",
			"relation:add success project:ID project_type:ID", "relation:add success project:ID tag:ID", "relation:add success project:ID third_party_service:ID"),
		ok("acme-owner", "GET", org+"/projects?type=api&environment=production&facets=tag,attributes.tier", "", 200, `"facets":{"attributes.tier":[],"tag":[{`),
		ok("acme-owner", "GET", org+"/projects/billing", "", 200, `"environments":{"production":{"url":"https://b"}}`),
		ok("acme-owner", "GET", org+"/projects/billing/schema", "", 200, `"type":"object"`),
		ok("acme-owner", "PATCH", org+"/projects/billing", `{"tags":["go","legacy"]}`, 200, `"tags":["go","legacy"]`,
			"relation:add success project:ID tag:ID"),
		ok("acme-owner", "GET", "/projects?organization=acme&type=api", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", org+"/projects/billing/dependencies", "", 200, `"edges":[{"from":"billing","to":"ledger"}]`),
		ok("acme-owner", "GET", org+"/projects/ledger/dependents?depth=1", "", 200, `"slug":"billing","name":"Billing","depth":1`),
		ok("acme-owner", "GET", org+"/projects/billing/services", "", 200, `"slug":"sentry"`),
		ok("acme-owner", "GET", org+"/teams/core/projects", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", org+"/project-types/api/projects", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", org+"/environments/production/projects", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", org+"/tags/legacy/projects", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", org+"/link-definitions/runbook/projects", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", service+"/projects", "", 200, `"slug":"billing"`),
		ok("acme-owner", "GET", "/search?q=bill", "", 200, `"slug":"billing"`),
		ok("acme-owner", "POST", org+"/projects/billing/archive", "", 200, `"archived":true`,
			"project:update success project:ID"),
		ok("acme-owner", "PATCH", org+"/projects/billing", `{"name":"B"}`, 409, "archived"),
		ok("acme-owner", "POST", org+"/projects/billing/unarchive", "", 200, `"archived":false`,
			"project:update success project:ID"),

		ok("acme-owner", "DELETE", org+"/tags/legacy", "", 409, "in-use"),
	}
	return append(list, catalogDeletions()...)
}

func catalogDeletions() []trace {
	var list []trace
	for _, s := range []struct {
		path, action string
		related      string // types of the nodes that it was related to
	}{
		{"/projects/billing", "project", "environment link_definition project project_type tag tag third_party_service"},
		{"/project-types/library", "project_type", ""},
		{"/environments/staging", "environment", ""},
		{"/tags/legacy", "tag", ""},
		{"/tags/go", "tag", ""},
		{"/link-definitions/runbook", "link_definition", ""},
		{"/webhooks/errors", "webhook", "third_party_service"},
		{"/blueprints/tier", "blueprint", ""},
		{"/third-party-services/sentry/applications/web", "application", ""},
		{"/third-party-services/github", "third_party_service", ""},
	} {
		leaves := []string{s.action + ":delete success " + s.action + ":ID", "tombstone:create success tombstone:ID"}
		for _, t := range strings.Fields(s.related) {
			leaves = append(leaves, "relation:remove success "+s.action+":ID "+t+":ID")
		}
		list = append(list, trace{scenario{as: "acme-owner", method: "DELETE", path: v1 + "/organizations/acme" + s.path, status: 200, want: `"nodes":1`}, leaves})
	}
	return list
}
