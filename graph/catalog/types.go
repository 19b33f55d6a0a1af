package catalog

import (
	"slices"

	"trellis/graph"
)

// Types and kinds that documents are made of.
const (
	organization graph.Type = "organization"
	team         graph.Type = "team"
	project      graph.Type = "project"
	service      graph.Type = "third_party_service"
	webhook      graph.Type = "webhook"

	ofType        graph.Kind = "OF_TYPE"
	deployedIn    graph.Kind = "DEPLOYED_IN"
	dependsOn     graph.Kind = "DEPENDS_ON"
	tagged        graph.Kind = "TAGGED"
	hasLink       graph.Kind = "HAS_LINK"
	existsIn      graph.Kind = "EXISTS_IN"
	managedBy     graph.Kind = "MANAGED_BY"
	implementedBy graph.Kind = "IMPLEMENTED_BY"
)

// docTypes lists the types of documents. The first is that of the root and
// the vocabulary, which are kept only as places that others are below.
var docTypes = [...]graph.Type{
	graph.Root.Type, organization, team, project, "project_type", "environment",
	"tag", "link_definition", service, "application", webhook, "blueprint",
}

const placeType = 0

// typeNumber is the place of the type in docTypes, -1 if its nodes are no documents.
func typeNumber(t graph.Type) int { return slices.Index(docTypes[:], t) }

// relation is a kind of relation by its place in relations. A ChildOf is one
// of two: the owner team of a project, or any other parent.
type relation uint8

const (
	parent relation = iota
	owner
	relationType
	relationEnvironment
	relationDependency
	relationTag
	relationLink
	relationService
	relationManager
	relationImplementer
)

type relationInfo struct {
	kind     graph.Kind
	from, to graph.Type
	facet    string
	column   int
}

// relations says which nodes a kind relates; an edge between others is none
// of the catalog's. No two kinds with one column lead to one type, so that a
// column says for each node how often it is led to.
var relations = [...]relationInfo{
	parent:              {kind: graph.ChildOf, column: -1},
	owner:               {graph.ChildOf, project, team, FacetTeam, 0},
	relationType:        {ofType, project, "project_type", FacetType, 0},
	relationEnvironment: {deployedIn, project, "environment", FacetEnvironment, 0},
	relationDependency:  {dependsOn, project, project, FacetDependsOn, 0},
	relationTag:         {tagged, project, "tag", FacetTag, 0},
	relationLink:        {hasLink, project, "link_definition", FacetLink, 0},
	relationService:     {existsIn, project, service, FacetService, 0},
	relationManager:     {managedBy, service, team, FacetManager, 1},
	relationImplementer: {kind: implementedBy, from: webhook, to: service, column: 1},
}

const columns = 2

// relationOf finds the relation that an edge is; false if it is none.
func relationOf(k graph.EdgeKey) (relation, bool) {
	if k.Key != "" {
		return 0, false
	}
	for r := owner; int(r) < len(relations); r++ {
		if d := &relations[r]; d.kind == k.Kind && d.from == k.From.Type && d.to == k.To.Type {
			return r, true
		}
	}
	return parent, k.Kind == graph.ChildOf && typeNumber(k.From.Type) >= 0 && typeNumber(k.To.Type) >= 0
}

// relationsOf returns the relations of a kind.
func relationsOf(k graph.Kind) (out []relation) {
	for r := range relations {
		if relations[r].kind == k {
			out = append(out, relation(r))
		}
	}
	return out
}
