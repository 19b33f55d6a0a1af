package githuborg

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"trellis/graph"
)

// maxFile limits one file; the largest real one has 60 KB.
const maxFile = 16 << 20

// orgFile is the file that every organization has.
const orgFile = "org.yaml"

// Problem is one mistake in the files.
type Problem struct {
	File string
	Line int
	Msg  string
}

// Error returns "file:line: message".
func (p *Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Msg)
}

type position struct {
	file string
	line int
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// Keys that the format knows and that say nothing about access. Any other key
// is a mistake.
var (
	orgIgnored = []string{"billing_email", "company", "email", "location", "has_organization_projects", "has_repository_projects",
		"members_can_create_repositories", "members_can_create_public_repositories", "members_can_create_private_repositories"}
	teamIgnored = []string{"privacy", "previously", "notification_setting"}
)

// Read reads the organizations in the folders directly below the root of
// fsys that hold an org.yaml; only those named, if any names are given. All
// mistakes of all files come back at once, joined; each is a *Problem.
func Read(fsys fs.FS, only ...string) (*World, error) {
	r := &reader{fsys: fsys}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	w, found := &World{}, []string{}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if _, err := fs.Stat(fsys, path.Join(e.Name(), orgFile)); err != nil {
			continue
		}
		found = append(found, e.Name())
		if len(only) == 0 || slices.Contains(only, e.Name()) {
			w.Orgs = append(w.Orgs, r.org(e.Name()))
		}
	}
	if len(found) == 0 {
		return nil, &Problem{File: ".", Msg: "no folder in it has an " + orgFile + ": want one folder an organization"}
	}
	for _, name := range only {
		if !slices.Contains(found, name) {
			r.problems = append(r.problems, &Problem{File: name, Msg: "no such organization; there are " + strings.Join(found, ", ")})
		}
	}
	if len(r.problems) > 0 {
		return nil, errors.Join(r.problems...)
	}
	return w, nil
}

// reader collects what is wrong while it reads.
type reader struct {
	fsys     fs.FS
	file     string
	problems []error
	read     int // entries of mappings and lists
}

// Limits on what aliases can blow a file up to, and on what is reported.
const (
	maxEntries  = 1_000_000
	maxProblems = 200
)

// enter tells whether the entries of a node may be read.
func (r *reader) enter(n *yaml.Node) bool {
	before := r.read
	r.read += len(n.Content)
	if r.read > maxEntries && before <= maxEntries {
		r.fail(n, "there are more than %d entries; what follows is not read", maxEntries)
	}
	return r.read <= maxEntries
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		return
	}
	p := &Problem{File: r.file, Msg: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line = n.Line
	}
	r.problems = append(r.problems, p)
}

// org reads every YAML file of one folder.
func (r *reader) org(name string) *Org {
	o := &orgReader{reader: r, org: &Org{Name: name}, teams: map[string]*Team{}, repos: map[string]string{}}
	r.file = name
	if err := (graph.Ref{Type: "organization", ID: name}).Validate(); err != nil {
		r.fail(nil, "%v", err)
	}
	err := fs.WalkDir(r.fsys, name, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ext := path.Ext(file); ext != ".yaml" && ext != ".yml" {
			return nil
		}
		r.file = file
		if n := r.parse(file); n != nil {
			o.top(n, file == path.Join(name, orgFile))
		}
		return nil
	})
	if err != nil {
		r.fail(nil, "%v", err)
	}
	return o.finish()
}

// parse returns the file's one document, nil if it is empty or wrong.
func (r *reader) parse(file string) *yaml.Node {
	b, err := r.bytes(file)
	if err != nil {
		r.fail(nil, "%v", err)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		p := &Problem{File: file, Msg: strings.TrimPrefix(err.Error(), "yaml: ")}
		// The library writes "line 3: what is wrong".
		if _, serr := fmt.Sscanf(p.Msg, "line %d:", &p.Line); serr == nil {
			_, p.Msg, _ = strings.Cut(p.Msg, ": ")
		}
		if len(r.problems) < maxProblems {
			r.problems = append(r.problems, p)
		}
		return nil
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

func (r *reader) bytes(file string) ([]byte, error) {
	info, err := fs.Stat(r.fsys, file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes; the limit is %d", info.Size(), maxFile)
	}
	return fs.ReadFile(r.fsys, file)
}

// fields walks a mapping, and refuses a key that comes twice.
func (r *reader) fields(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	n = follow(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s: want a mapping", what)
		return
	}
	if !r.enter(n) {
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := follow(n.Content[i])
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			r.fail(k, "%s: a key must be a plain word", what)
			continue
		}
		if line, ok := seen[k.Value]; ok {
			r.fail(k, "%s: the key %q is here a second time; the first is on line %d", what, k.Value, line)
			continue
		}
		seen[k.Value] = k.Line
		each(k, follow(n.Content[i+1]))
	}
}

// text returns a scalar's text.
func (r *reader) text(n *yaml.Node, what string) string {
	switch {
	case isNull(n):
		return ""
	case n.Kind != yaml.ScalarNode:
		r.fail(n, "%s: want a text", what)
		return ""
	}
	return strings.TrimSpace(n.Value)
}

// logins returns a list of people. GitHub does not tell Upper from lower case
// in logins, so neither does the graph.
func (r *reader) logins(n *yaml.Node, what string) []string {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "%s: want a list of logins", what)
		return nil
	}
	if !r.enter(n) {
		return nil
	}
	out := make([]string, 0, len(n.Content))
	for _, e := range n.Content {
		e = follow(e)
		if login := r.name(e, what, "user"); login != "" {
			out = append(out, strings.ToLower(login))
		}
	}
	return out
}

// name returns a scalar that can be part of an id.
func (r *reader) name(n *yaml.Node, what string, t graph.Type) string {
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		r.fail(n, "%s: want a name", what)
		return ""
	}
	if strings.ContainsAny(n.Value, " \t") {
		r.fail(n, "%s: the name %q has a blank in it", what, n.Value)
		return ""
	}
	if err := (graph.Ref{Type: t, ID: n.Value}).Validate(); err != nil {
		r.fail(n, "%s: %v", what, err)
		return ""
	}
	return n.Value
}

func (r *reader) level(n *yaml.Node, what string) Level {
	l, err := ParseLevel(r.text(n, what))
	if err != nil {
		r.fail(n, "%s: %v", what, err)
	}
	return l
}

// follow resolves an alias. The library refuses an anchor that is not there.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
