package catalog

import (
	"slices"

	"trellis/graph"
	"trellis/graph/identity"
)

// docTypes lists the types of documents. The first is that of the root and
// the vocabulary, which are kept only as places that others are below.
var docTypes = [...]graph.Type{
	graph.Root.Type, identity.Organization, identity.Team, identity.Project, identity.ProjectType, identity.Environment,
	identity.Tag, identity.LinkDefinition, identity.ThirdPartyService, identity.Application, identity.Webhook, identity.Blueprint,
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

// relationInfo says what a relation is.
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
	owner:               {graph.ChildOf, identity.Project, identity.Team, FacetTeam, 0},
	relationType:        {identity.OfType, identity.Project, identity.ProjectType, FacetType, 0},
	relationEnvironment: {identity.DeployedIn, identity.Project, identity.Environment, FacetEnvironment, 0},
	relationDependency:  {identity.DependsOn, identity.Project, identity.Project, FacetDependsOn, 0},
	relationTag:         {identity.Tagged, identity.Project, identity.Tag, FacetTag, 0},
	relationLink:        {identity.HasLink, identity.Project, identity.LinkDefinition, FacetLink, 0},
	relationService:     {identity.ExistsIn, identity.Project, identity.ThirdPartyService, FacetService, 0},
	relationManager:     {identity.ManagedBy, identity.ThirdPartyService, identity.Team, FacetManager, 1},
	relationImplementer: {kind: identity.ImplementedBy, from: identity.Webhook, to: identity.ThirdPartyService, column: 1},
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
