// Package world reads the organizations, people, teams and repositories that
// the systems are compared on, and answers from them, by the plainest program
// that can, what every system is asked. It shares no code with Trellis, so
// that a mistake in one does not hide the same mistake in the other.
package world

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Level is what somebody may do with a repository. A higher level holds all
// the lower ones.
type Level int

// The levels; None is no access.
const (
	None Level = iota
	Read
	Triage
	Write
	Maintain
	Admin
)

var levelNames = [...]string{"none", "read", "triage", "write", "maintain", "admin"}

// Levels are those that somebody can be asked about.
var Levels = []Level{Read, Triage, Write, Maintain, Admin}

// String returns the name that the files use.
func (l Level) String() string { return levelNames[l] }

// ParseLevel reads the name.
func ParseLevel(s string) (Level, error) {
	if i := slices.Index(levelNames[:], s); i >= 0 {
		return Level(i), nil
	}
	return None, fmt.Errorf("%q is not a permission on a repository", s)
}

// World is all that was read. People, organizations, teams and repositories
// are in a fixed order.
type World struct {
	People []string
	Orgs   []*Org
	Teams  []*Team
	Repos  []*Repo

	person map[string]int
	repo   map[string]int
	teams  map[string][]*Team // person -> teams they are in themselves
}

// Org is an organization.
type Org struct {
	Name            string
	Default         Level
	Admins, Members []string // an admin is not among the members
	in              map[string]Level
}

// Team is a team of an organization. Who is in it has what the team above it
// has, too.
type Team struct {
	Org     *Org
	Name    string
	Parent  *Team
	Members []string
	Grants  map[string]Level // by name of the repository, without the organization's
}

// Repo is a repository; ID is "organization/name".
type Repo struct {
	Org *Org
	ID  string
}

// ID returns "organization/team".
func (t *Team) ID() string { return t.Org.Name + "/" + t.Name }

type teamFile struct {
	Members     []string            `yaml:"members"`
	Maintainers []string            `yaml:"maintainers"`
	Repos       map[string]string   `yaml:"repos"`
	Teams       map[string]teamFile `yaml:"teams"`
}

type orgFile struct {
	Default string               `yaml:"default_repository_permission"`
	Admins  []string             `yaml:"admins"`
	Members []string             `yaml:"members"`
	Repos   map[string]yaml.Node `yaml:"repos"`
	Teams   map[string]teamFile  `yaml:"teams"`
}

// ReadDir reads a directory in the format of the peribolos tool: a folder an
// organization, org.yaml in it, and other files below it that add teams.
func ReadDir(dir string) (*World, error) {
	mains, err := filepath.Glob(filepath.Join(dir, "*", "org.yaml"))
	if err != nil {
		return nil, err
	}
	if len(mains) == 0 {
		return nil, fmt.Errorf("no organization in %s", dir)
	}
	w := &World{person: map[string]int{}, repo: map[string]int{}, teams: map[string][]*Team{}}
	for _, main := range mains {
		if err := w.readOrg(filepath.Dir(main)); err != nil {
			return nil, err
		}
	}
	w.finish()
	return w, nil
}

func (w *World) readOrg(dir string) error {
	o := &Org{Name: filepath.Base(dir), in: map[string]Level{}}
	repos := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		b, err := os.ReadFile(path) //nolint:gosec // files of this repository
		if err != nil {
			return err
		}
		var f orgFile
		if err := yaml.Unmarshal(b, &f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if filepath.Base(path) == "org.yaml" && filepath.Dir(path) == dir {
			if err := o.fill(&f); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		for name := range f.Repos {
			repos[name] = true
		}
		return w.addTeams(o, nil, f.Teams, repos)
	})
	if err != nil {
		return err
	}
	w.Orgs = append(w.Orgs, o)
	for _, name := range sorted(repos) {
		w.repo[o.Name+"/"+name] = len(w.Repos)
		w.Repos = append(w.Repos, &Repo{Org: o, ID: o.Name + "/" + name})
	}
	return nil
}

func (o *Org) fill(f *orgFile) error {
	if f.Default != "" {
		l, err := ParseLevel(f.Default)
		if err != nil {
			return err
		}
		o.Default = l
	}
	o.Admins = f.Admins
	for _, m := range f.Members {
		o.in[m] = o.Default
	}
	for _, m := range f.Admins {
		o.in[m] = Admin
	}
	for _, m := range f.Members {
		if o.in[m] != Admin {
			o.Members = append(o.Members, m)
		}
	}
	return nil
}

func (w *World) addTeams(o *Org, parent *Team, teams map[string]teamFile, repos map[string]bool) error {
	for _, name := range sorted(teams) {
		f := teams[name]
		t := &Team{Org: o, Name: name, Parent: parent, Grants: map[string]Level{}}
		t.Members = sorted(set(append(slices.Clone(f.Members), f.Maintainers...)))
		for repo, perm := range f.Repos {
			l, err := ParseLevel(perm)
			if err != nil {
				return fmt.Errorf("team %s: %w", t.ID(), err)
			}
			repos[repo] = true
			t.Grants[repo] = l
		}
		for _, m := range t.Members {
			w.teams[m] = append(w.teams[m], t)
		}
		w.Teams = append(w.Teams, t)
		if err := w.addTeams(o, t, f.Teams, repos); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) finish() {
	people := map[string]bool{}
	for _, o := range w.Orgs {
		for p := range o.in {
			people[p] = true
		}
	}
	for p := range w.teams {
		people[p] = true
	}
	w.People = sorted(people)
	for i, p := range w.People {
		w.person[p] = i
	}
}

// Level is the rule: the highest of what the organization gives its members
// and admins, and what each team of the person, and every team above it, has.
func (w *World) Level(person string, r *Repo) Level {
	best := r.Org.in[person]
	name := strings.TrimPrefix(r.ID, r.Org.Name+"/")
	for _, t := range w.teams[person] {
		if t.Org != r.Org {
			continue
		}
		for ; t != nil; t = t.Parent {
			best = max(best, t.Grants[name])
		}
	}
	return best
}

// Elements counts the nodes and edges of Graph.
func (w *World) Elements() int {
	nodes, edges := w.Graph()
	return len(nodes) + len(edges)
}

// Readable returns the ids of all repositories that the person may read, sorted.
func (w *World) Readable(person string) []string {
	var out []string
	for _, r := range w.Repos {
		if w.Level(person, r) >= Read {
			out = append(out, r.ID)
		}
	}
	slices.Sort(out)
	return out
}

// Decision is one line of a file of known decisions.
type Decision struct {
	Subject    string `json:"subject"`
	Resource   string `json:"resource"`
	Permission string `json:"permission"`
	Allowed    bool   `json:"allowed"`
}

// Decisions reads such a file as questions. One about a person or repository
// that the world does not have is an error.
func (w *World) Decisions(file string) ([]Question, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Question
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var d Decision
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(out)+1, err)
		}
		p, okp := w.person[d.Subject]
		r, okr := w.repo[d.Resource]
		l, err := ParseLevel(d.Permission)
		if !okp || !okr || err != nil {
			return nil, fmt.Errorf("line %d: %+v speaks of something that is not there", len(out)+1, d)
		}
		out = append(out, Question{Person: w.People[p], Repo: w.Repos[r], Level: l, Allowed: d.Allowed})
	}
	return out, lines.Err()
}

func set(s []string) map[string]bool {
	m := map[string]bool{}
	for _, x := range s {
		m[x] = true
	}
	return m
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
