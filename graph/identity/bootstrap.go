package identity

import (
	"context"

	"trellis/graph"
)

// systemTypes are the types that Trellis brings along, with the actions they
// have besides the standard ones. "access", "change" and "audit" have no nodes:
// they only name permissions.
var systemTypes = []struct {
	name    graph.Type
	about   string
	actions []string
	parents []string
	bare    bool // without the standard actions
	subject bool
}{
	{name: User, about: "A person", parents: []string{"platform"}, subject: true},
	{name: ServiceAccount, about: "A program that calls on its own behalf", parents: []string{"platform"}, subject: true},
	{name: Group, about: "A set of subjects across organizations", parents: []string{"platform"}, subject: true},
	{name: Organization, about: "A tenant", parents: []string{"platform"}, subject: true},
	{name: Team, about: "A set of subjects within an organization", parents: []string{"organization"}, subject: true},
	{name: Role, about: "A named set of permissions", parents: []string{"platform", "organization"}},
	{name: Permission, about: "Something that can be allowed, as type:action", parents: []string{"platform"}},
	{name: ResourceType, about: "A type of node", parents: []string{"platform"}},
	{name: APIKey, about: "A credential of a user or a service account", parents: []string{"user", "service_account"}},
	{name: "access", about: "Who may do what", actions: []string{"grant", "inspect"}, bare: true},
	{name: "change", about: "The feed of changes", actions: []string{"read"}, bare: true},
	{name: Project, about: "Something that a team builds and runs", parents: []string{"organization", "team"}},
	{name: ProjectType, about: "A kind of project", parents: []string{"organization"}},
	{name: Environment, about: "Where projects run", parents: []string{"organization"}},
	{name: Tag, about: "A word that projects are found by", parents: []string{"organization"}},
	{name: LinkDefinition, about: "A kind of link that projects have", parents: []string{"organization"}},
	{name: ThirdPartyService, about: "A service of others that projects use", parents: []string{"organization"}},
	{name: Application, about: "What is registered with a third-party service, with its secrets", actions: []string{"reveal"}, parents: []string{"third_party_service"}},
	{name: Webhook, about: "Where a service sends notifications, and what follows from them", parents: []string{"organization"}},
	{name: Blueprint, about: "A JSON Schema of further fields", parents: []string{"organization", "platform"}},
	{name: Upload, about: "A file", actions: []string{"create", "delete", "read"}, bare: true},
	{name: Manifest, about: "A set of documents that was applied, and what it declared", actions: []string{"read", "update"}, parents: []string{"organization", "platform"}, bare: true},
	{name: Tombstone, about: "Something that was deleted and can be restored", actions: []string{"read", "restore"}, bare: true},
	{name: "audit", about: "The audit log", actions: []string{"read"}, bare: true},
}

// systemRoles are the roles that Trellis brings along.
var systemRoles = []struct {
	id, name, about string
	permissions     []string
}{
	{RoleAdmin, "Administrator", "May do everything where it is granted", []string{"*"}},
	{RoleOwner, "Owner", "Given to whoever creates a resource, on that resource: everything", []string{"*"}},
	{RoleDeveloper, "Developer", "Works with what is there: reads, makes and edits projects, edits organizations and teams", []string{
		"application:read", "blueprint:create", "blueprint:read", "blueprint:update", "environment:read", "group:read",
		"link_definition:create", "link_definition:read", "link_definition:update", "organization:read", "organization:update", "permission:read",
		"project:create", "project:read", "project:update", "project_type:read", "resource_type:read", "role:read",
		"tag:create", "tag:read", "tag:update", "team:read", "team:update",
		"third_party_service:read", "third_party_service:update", "upload:create", "upload:read", "user:read", "webhook:read", "webhook:update",
	}},
	{RoleReadOnly, "Read only", "Reads people, groups, organizations, teams, roles and the catalog", []string{
		"application:read", "blueprint:read", "environment:read", "group:read", "link_definition:read", "organization:read", "permission:read",
		"project:read", "project_type:read", "resource_type:read", "role:read", "tag:read", "team:read", "third_party_service:read", "upload:read", "user:read", "webhook:read",
	}},
	{RoleAuditor, "Auditor", "Reads the audit log of what is at or below where it is granted", []string{ReadAudit}},
	{RoleSelf, "Self", "Given to every user and service account on itself", []string{
		"api_key:create", "api_key:delete", "api_key:read", "api_key:update", "service_account:read",
		"upload:create", "upload:delete", "upload:read", "user:read",
	}},
}

// Bootstrap writes the system's resource types, permissions and roles into
// the store, or brings those that are there up to this version. It changes
// nothing when all is as it should be.
func (s *Service) Bootstrap(ctx context.Context) error {
	for try := 1; ; try++ {
		c := s.compiler(ctx, Caller{})
		if err := c.bootstrap(); err != nil {
			return err
		}
		_, err := s.graph.Write(ctx, graph.Batch{Actor: graph.Root, Origin: graph.Origin{RequestID: "bootstrap"}, Time: c.at, Steps: c.steps})
		if graph.KindOf(err) != graph.Stale || err == nil || try == maxTries {
			return err
		}
	}
}

func (c *compiler) bootstrap() error {
	if err := c.claim(Upload, Blob); err != nil {
		return err
	}
	c.put(Vocabulary, nil, graph.Root)
	c.add(graph.Link(graph.Edge{
		EdgeKey: graph.EdgeKey{From: graph.Authenticated, Kind: graph.CanAccess, To: Vocabulary},
		Props:   graph.Props{graph.PropActions: []string{"blueprint:read", "permission:read", "resource_type:read", "role:read"}, graph.PropGrantedBy: graph.Root.String()},
	}))
	for _, t := range systemTypes {
		p := graph.Props{"name": string(t.name), "description": t.about, "system": true, "parents": append([]string{}, t.parents...), "actions": append([]string{}, t.actions...), "subject": t.subject}
		c.put(graph.Ref{Type: ResourceType, ID: string(t.name)}, p, Vocabulary)
		for _, a := range t.actions {
			c.permission(string(t.name), a)
		}
		if !t.bare {
			for _, a := range standardActions {
				c.permission(string(t.name), a)
			}
		}
	}
	for _, r := range systemRoles {
		ref := graph.Ref{Type: Role, ID: r.id}
		s, err := c.state(ref)
		if err != nil {
			return err
		}
		var before graph.Props
		if s.stored {
			before = s.node.Props
			c.guard(graph.RequireAt(ref, s.node.Revision))
		}
		after := graph.Props{"slug": r.id, "name": r.name, "description": r.about, "system": true, "permissions": r.permissions}
		for _, p := range r.permissions {
			if p == "*" {
				c.wildcard(p)
			}
		}
		c.put(ref, after, Vocabulary)
		c.linkRole(ref, before, after)
	}
	return nil
}

// claim refuses a store in which somebody registered one of the types: what is no
// upload must not be taken for one, and what is no blob would be removed.
func (c *compiler) claim(types ...graph.Type) error {
	for _, t := range types {
		s, err := c.state(graph.Ref{Type: ResourceType, ID: string(t)})
		if err != nil {
			return err
		}
		if s.node != nil && !s.node.Props.Bool("system") {
			return graph.Errorf(graph.Exists, "the store holds a resource type %s that was registered; Trellis needs the name for files: delete the type and its resources with the version of Trellis before this one", t)
		}
	}
	return nil
}

func (c *compiler) put(r graph.Ref, p graph.Props, parent graph.Ref) {
	c.add(graph.Put(graph.Node{Ref: r, Names: names(r, p), Props: p}))
	c.add(graph.Link(graph.Edge{EdgeKey: graph.EdgeKey{From: r, Kind: graph.ChildOf, To: parent}}))
}
