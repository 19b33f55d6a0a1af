package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"trellis/audit"
	"trellis/graph"
	"trellis/graph/identity"
)

// SecretNames says which secrets a node has.
type SecretNames struct {
	Secrets []string `json:"secrets" doc:"The names of the secrets that are set" nullable:"false"`
}

// ApplicationSecrets are the secrets of an application, in clear.
type ApplicationSecrets struct {
	ClientSecret  *string `json:"client_secret,omitempty" nullable:"true"`
	WebhookSecret *string `json:"webhook_secret,omitempty" nullable:"true"`
	PrivateKey    *string `json:"private_key,omitempty" nullable:"true"`
	SigningSecret *string `json:"signing_secret,omitempty" nullable:"true"`
}

func secretRoutes() []route {
	const path = "/organizations/{org}/third-party-services/{service}/applications/{app}/secrets"
	node := entryOf(identity.Application, "app", false)
	return []route{
		{method: get, path: path, id: "readApplicationSecrets", tag: "applications", summary: "Read the secrets of an application, in clear",
			doc:   "The audit log keeps who read which of them.",
			needs: need{permission: identity.RevealApplication, on: "the application"}, node: node, out: ApplicationSecrets{}, handle: readSecrets},
		{method: put, path: path, id: "putApplicationSecrets", tag: "applications", summary: "Set secrets of an application",
			doc:   "Sets those that are named; null takes one away; others stay as they are.",
			needs: need{permission: "application:update", on: "the application"}, edits: true, node: node, in: body{value: ApplicationSecrets{}}, out: SecretNames{}, handle: putSecrets},
	}
}

func readSecrets(c *call) error {
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	secrets, err := c.Identity.Reveal(found[0])
	if err != nil {
		return err
	}
	if c.audits() {
		names := slices.Sorted(maps.Keys(secrets))
		c.happened(audit.Sync, &audit.Event{Action: identity.RevealApplication, Outcome: audit.Success, Node: c.ref.String(), Within: c.around(c.ref),
			Reason: "revealed " + strings.Join(names, ", ")})
	}
	c.w.Header().Set("ETag", etag(found[0].Revision))
	return c.json(http.StatusOK, secrets)
}

func putSecrets(c *call) error {
	var in ApplicationSecrets
	if err := c.decode(&in); err != nil {
		return err
	}
	rev, err := c.ifMatch(c.current)
	if err != nil {
		return err
	}
	_, _, err = c.apply(identity.Mutation{Op: identity.OpPatch, Node: c.ref, Data: json.RawMessage(c.body), IfMatch: rev})
	if err != nil {
		return err
	}
	found, err := c.Graph.Store().Nodes(c.ctx(), []graph.Ref{c.ref})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &graph.Error{Kind: graph.NotFound, Ref: c.ref}
	}
	names, _ := identity.Fields(found[0])["secrets"].([]string)
	c.w.Header().Set("ETag", etag(found[0].Revision))
	return c.json(http.StatusOK, SecretNames{names})
}
