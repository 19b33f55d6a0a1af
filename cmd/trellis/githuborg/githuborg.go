// Package githuborg reads the configuration of GitHub organizations in the
// format of the peribolos tool: one folder an organization, an org.yaml in
// it, and any number of other YAML files below that add teams. It turns what
// it read into the mutations that make a graph say the same. It promises that
// a file it does not understand whole is refused, with every mistake named by
// file and line, so that a misspelt key never loses somebody's access; and
// it writes nothing itself.
package githuborg

import (
	"fmt"
	"slices"
	"strings"
)

// Level is what GitHub lets somebody do with a repository. A higher level
// holds all the lower ones.
type Level int

// The levels; none grants nothing.
const (
	none Level = iota
	read
	triage
	write
	maintain
	admin
)

var levelNames = [...]string{"none", "read", "triage", "write", "maintain", "admin"}

// Levels are those that grant something, lowest first.
var Levels = []Level{read, triage, write, maintain, admin}

// String returns the name as the files write it.
func (l Level) String() string { return levelNames[l] }

// ParseLevel reads the name.
func ParseLevel(s string) (Level, error) {
	if i := slices.Index(levelNames[:], s); i >= 0 {
		return Level(i), nil
	}
	return none, fmt.Errorf("%q is not a permission: want one of %s", s, strings.Join(levelNames[:], ", "))
}

// World is all that was read.
type World struct {
	Orgs []*Org
}

// Org is one organization. Lists are sorted and without repeats.
type Org struct {
	// Name is the folder's name, which is the login on GitHub.
	Name        string
	Title       string
	Description string
	// Default is what each member may do with each repository.
	Default Level
	// Admins are members as well.
	Admins  []string
	Members []string
	// Repos are those named in the organization's repos and in any team's.
	Repos []string
	// Teams are in order of their names, all depths in one list.
	Teams []*Team
}

// Team is one team of an organization. Its members have what the team has and
// what every team above it has.
type Team struct {
	Name        string
	Description string
	// Parent is the name of the team above it, "" if there is none.
	Parent string
	// Members holds the maintainers too.
	Members []string
	Repos   map[string]Level

	pos position
}

// Counts says how much there is.
type Counts struct {
	Organizations, People, Teams, Repositories int
}

// Counts counts people once, however many organizations they are in.
func (w *World) Counts() Counts {
	c := Counts{Organizations: len(w.Orgs), People: len(w.People())}
	for _, o := range w.Orgs {
		c.Teams += len(o.Teams)
		c.Repositories += len(o.Repos)
	}
	return c
}

// People returns everybody, sorted.
func (w *World) People() []string {
	seen := map[string]bool{}
	for _, o := range w.Orgs {
		for _, m := range o.everybody() {
			seen[m] = true
		}
	}
	return sortedKeys(seen)
}

func (o *Org) everybody() []string {
	all := slices.Concat(o.Admins, o.Members)
	for _, t := range o.Teams {
		all = append(all, t.Members...)
	}
	return all
}

// InOrg returns the admins and members, sorted and without repeats.
func (o *Org) InOrg() []string {
	return sortedSet(slices.Concat(o.Admins, o.Members))
}

func sortedSet(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
