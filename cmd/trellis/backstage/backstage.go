// Package backstage reads the entities of a Backstage catalog from its
// catalog-info.yaml files, and says what an organization here is to hold so
// that it tells the same. It promises that a file it cannot understand is
// refused with every mistake named by file, document and line; that it reads nothing outside of the directories it was
// given; and that the same files come to the same names, whatever else is
// there. It writes nothing itself.
package backstage

import (
	"cmp"
	"io/fs"
	"slices"

	"trellis/cmd/trellis/wanted"
)

// The kinds of entities that are understood, in lower case.
const (
	kindGroup     = "group"
	kindUser      = "user"
	kindDomain    = "domain"
	kindSystem    = "system"
	kindComponent = "component"
	kindAPI       = "api"
	kindResource  = "resource"
	kindLocation  = "location"
)

// Source is a place to read from.
type Source struct {
	// FS is what may be read; nothing else is.
	FS fs.FS
	// Name stands before the names of files in messages, "" for none.
	Name string
	// Files are read, and what their Locations name. Without any, it is every
	// catalog-info.yaml and catalog-info.yml of FS.
	Files []string
}

// Catalog is all that was read.
type Catalog struct {
	// Entities in order of their names. Locations are not among them.
	Entities []*Entity
	// Notes say what was not read.
	Notes []wanted.Note
	// Files counts those that were read.
	Files int
}

// Entity is one entity, its references made complete.
type Entity struct {
	wanted.Place
	Ref Ref
	// Kind and Type as they were written; Type is spec.type, perhaps empty.
	Kind, Type string
	// Name is metadata.name as it was written.
	Name        string
	Title       string
	Description string
	Labels      map[string]string
	Annotations map[string]string
	Tags        []string
	Links       []Link
	// Relations by the field of spec that they were written in.
	Relations map[string][]Relation
	// Profile is that of a group or a user.
	Profile Profile
	// Meta and More hold the other fields of metadata and of spec.
	Meta, More map[string]any
}

// Link is one of metadata.links.
type Link struct {
	URL, Title, Icon, Type string
	Line                   int
}

// Relation is a reference to another entity, and where it was made.
type Relation struct {
	To   Ref
	Line int
}

// Profile is spec.profile.
type Profile struct {
	DisplayName, Email, Picture string
	EmailLine                   int
}

// at returns the place of a line of the entity's document.
func (e *Entity) at(line int) wanted.Place {
	p := e.Place
	p.Line = line
	return p
}

// compareRefs puts the default namespace before the others.
func compareRefs(a, b Ref) int {
	other := func(r Ref) int {
		if r.Namespace == defaultNamespace {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(other(a), other(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// relationField says how a field of spec refers to entities.
type relationField struct {
	name string
	// kinds that it may refer to; the first is meant where a reference does
	// not say, unless it must.
	kinds []string
	must  bool
	many  bool
}

var (
	fieldOwner        = relationField{name: "owner", kinds: []string{kindGroup, kindUser}}
	fieldSystem       = relationField{name: "system", kinds: []string{kindSystem}}
	fieldDomain       = relationField{name: "domain", kinds: []string{kindDomain}}
	fieldSubdomain    = relationField{name: "subdomainOf", kinds: []string{kindDomain}}
	fieldSubcomponent = relationField{name: "subcomponentOf", kinds: []string{kindComponent}}
	fieldProvides     = relationField{name: "providesApis", kinds: []string{kindAPI}, many: true}
	fieldConsumes     = relationField{name: "consumesApis", kinds: []string{kindAPI}, many: true}
	fieldDependsOn    = relationField{name: "dependsOn", kinds: projectKinds, must: true, many: true}
	fieldDependencyOf = relationField{name: "dependencyOf", kinds: projectKinds, must: true, many: true}
	fieldParent       = relationField{name: "parent", kinds: []string{kindGroup}}
	fieldChildren     = relationField{name: "children", kinds: []string{kindGroup}, many: true}
	fieldMembers      = relationField{name: "members", kinds: []string{kindUser}, many: true}
	fieldMemberOf     = relationField{name: "memberOf", kinds: []string{kindGroup}, many: true}
)

// projectKinds become projects.
var projectKinds = []string{kindComponent, kindAPI, kindResource, kindSystem, kindDomain}

// relationFields lists the fields of spec that refer to entities, as the
// descriptor format has them.
var relationFields = map[string][]relationField{
	kindComponent: {fieldOwner, fieldSystem, fieldSubcomponent, fieldProvides, fieldConsumes, fieldDependsOn, fieldDependencyOf},
	kindAPI:       {fieldOwner, fieldSystem, fieldDependsOn, fieldDependencyOf},
	kindResource:  {fieldOwner, fieldSystem, fieldDependsOn, fieldDependencyOf},
	kindSystem:    {fieldOwner, fieldDomain, fieldDependsOn, fieldDependencyOf},
	kindDomain:    {fieldOwner, fieldSubdomain},
	kindGroup:     {fieldParent, fieldChildren, fieldMembers},
	kindUser:      {fieldMemberOf},
}

func (f relationField) allows(kind string) bool { return slices.Contains(f.kinds, kind) }
