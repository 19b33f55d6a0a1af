package backstage

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"trellis/cmd/trellis/wanted"
)

// Limits on one catalog.
const (
	maxFiles    = 50_000
	maxEntities = 200_000
	maxNotes    = 1_000
)

// skippedFolders hold other people's code, and so do those that begin with a dot.
var skippedFolders = []string{"node_modules", "vendor"}

// Read reads the entities of all sources, of which there must be one. All mistakes of all files come back
// at once, as wanted.Problems has them.
func Read(sources ...Source) (*Catalog, error) {
	r := &reader{catalog: &Catalog{}, entities: map[Ref]*Entity{}, files: map[string]bool{}}
	for _, s := range sources {
		r.source(s)
	}
	if err := r.problems.Err(); err != nil {
		return nil, err
	}
	if len(r.entities) == 0 {
		// It would mean that all there was is gone: rather a mistake.
		r.problems.Add(wanted.Place{File: sources[0].name(".")}, "there is no entity in it that can be loaded")
		for _, n := range r.catalog.Notes {
			r.problems.Add(n.Place, "%s", n.Msg)
		}
		return nil, r.problems.Err()
	}
	for _, e := range r.entities {
		r.catalog.Entities = append(r.catalog.Entities, e)
	}
	slices.SortFunc(r.catalog.Entities, func(a, b *Entity) int { return compareRefs(a.Ref, b.Ref) })
	return r.catalog, nil
}

// reader reads one catalog.
type reader struct {
	catalog  *Catalog
	problems wanted.Problems
	entities map[Ref]*Entity
	files    map[string]bool // by the name for messages
}

func (r *reader) note(at wanted.Place, msg string) {
	if len(r.catalog.Notes) < maxNotes {
		r.catalog.Notes = append(r.catalog.Notes, wanted.Note{Place: at, Msg: msg})
	}
}

func (r *reader) source(s Source) {
	files := s.Files
	if len(files) == 0 {
		files = r.find(s)
	}
	for _, f := range files {
		if len(s.Files) == 0 && template(s.FS, f) {
			r.note(wanted.Place{File: s.name(f)}, "not read: it is a template")
			continue
		}
		r.file(s, f, wanted.Place{})
	}
}

// blanks are what templates have where something is to be filled in. Where
// templates of software are kept, so are those of its catalog-info.yaml.
var blanks = []string{"${{", "{%", "{{cookiecutter.", "{{ cookiecutter."}

// template tells whether a file is one. What cannot be read is none.
func template(fsys fs.FS, file string) bool {
	b, _ := content(fsys, file)
	return slices.ContainsFunc(blanks, func(s string) bool { return bytes.Contains(b, []byte(s)) })
}

// name returns the name of a file for messages.
func (s Source) name(file string) string {
	if s.Name == "" {
		return file
	}
	return filepath.Join(s.Name, filepath.FromSlash(file))
}

// find lists the files of a source that bear the name of the format.
func (r *reader) find(s Source) (out []string) {
	err := fs.WalkDir(s.FS, ".", func(file string, d fs.DirEntry, err error) error {
		name := path.Base(file)
		switch {
		case err != nil:
			r.problems.Add(wanted.Place{File: s.name(file)}, "%v", plain(err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			if file != "." && (strings.HasPrefix(name, ".") || slices.Contains(skippedFolders, name)) {
				return fs.SkipDir
			}
		case name != "catalog-info.yaml" && name != "catalog-info.yml":
		case !d.Type().IsRegular():
			r.note(wanted.Place{File: s.name(file)}, "not read: it is a link or no file")
		default:
			out = append(out, file)
		}
		return nil
	})
	if err != nil {
		r.problems.Add(wanted.Place{File: s.name(".")}, "%v", plain(err))
	} else if len(out) == 0 {
		r.problems.Add(wanted.Place{File: s.name(".")}, "there is no catalog-info.yaml in it; name the files if they are called otherwise")
	}
	return out
}

// plain leaves out the name of the file, which stands before it anyway.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// file reads one file, and what its Locations name. from is the place that
// names it, if one does.
func (r *reader) file(s Source, file string, from wanted.Place) {
	name := s.name(file)
	if r.files[name] {
		return
	}
	at := from
	if at.File == "" {
		at = wanted.Place{File: name}
	}
	if len(r.files) == maxFiles {
		r.problems.Add(at, "there are more than %d files", maxFiles)
	}
	if r.files[name] = true; len(r.files) > maxFiles {
		return
	}
	text, msg := content(s.FS, file)
	if msg != "" {
		if from.File != "" {
			msg = shown(file) + ": " + msg
		}
		r.problems.Add(at, "%s", msg)
		return
	}
	r.catalog.Files++
	documents, broken := split(name, text, &r.problems)
	for _, d := range documents {
		e, l, note := d.read()
		switch {
		case note != "":
			r.note(d.Place, note)
		case l != nil:
			for _, t := range l.targets {
				r.follow(s, file, t, l.optional)
			}
		case e != nil:
			r.add(e)
		}
	}
	if broken != nil {
		r.problems.Add(broken.Place, "%s", broken.Msg)
	}
}

// content returns what is in a regular file, or what hinders.
func content(fsys fs.FS, file string) ([]byte, string) {
	info, err := fs.Stat(fsys, file)
	switch {
	case err != nil:
		return nil, plain(err).Error()
	case !info.Mode().IsRegular():
		return nil, "it is no file"
	case info.Size() > maxFile:
		return nil, "it is larger than 16 MB"
	}
	b, err := fs.ReadFile(fsys, file)
	switch {
	case err != nil:
		return nil, plain(err).Error()
	case len(b) > maxFile:
		return nil, "it is larger than 16 MB"
	}
	return b, ""
}

func (r *reader) add(e *Entity) {
	if first := r.entities[e.Ref]; first != nil {
		r.problems.Add(e.Place, "%s is here a second time; the first is at %s", e.Ref, first.Place)
		return
	}
	if len(r.entities) == maxEntities {
		r.problems.Add(e.Place, "there are more than %d entities", maxEntities)
	}
	if len(r.entities) <= maxEntities {
		r.entities[e.Ref] = e
	}
}

// follow reads what a target of a Location names, if that is a path within the
// source. Where it leads elsewhere, a note says that it was not followed.
func (r *reader) follow(s Source, from string, t target, optional bool) {
	not := func(why string) { r.note(t.place, "not followed: "+shown(t.text)+" "+why) }
	file := path.Join(path.Dir(from), t.text)
	switch {
	case strings.Contains(t.text, "://"):
		not("is a URL")
		return
	case strings.HasPrefix(t.text, "/") || strings.Contains(t.text, `\`) || filepath.IsAbs(t.text) || filepath.VolumeName(t.text) != "":
		not("is no relative path")
		return
	case !fs.ValidPath(file):
		not("leads out of the directory")
		return
	case strings.Contains(file, "**"):
		not("has ** in it; name the files, or use *")
		return
	}
	files := []string{file}
	if strings.ContainsAny(file, "*?[") {
		found, err := fs.Glob(s.FS, file)
		if err != nil {
			r.problems.Add(t.place, "%s: %v", shown(t.text), err)
			return
		}
		files = found
	}
	if len(files) == 0 && !optional {
		r.problems.Add(t.place, "no file is like %s", shown(t.text))
	}
	for _, f := range files {
		switch why := r.linked(s.FS, f); {
		case why == "":
			r.file(s, f, t.place)
		case why != "is missing":
			not(why)
		case !optional:
			r.problems.Add(t.place, "%s: there is no such file", shown(t.text))
		}
	}
}

// linked tells why a path is not to be read: because it, or a folder on the
// way, is a link, or because it is not there.
func (r *reader) linked(fsys fs.FS, file string) string {
	for i := 0; i <= len(file); i++ {
		if i < len(file) && file[i] != '/' {
			continue
		}
		info, err := fs.Lstat(fsys, file[:i])
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "is missing"
		case err != nil:
			return "cannot be read: " + plain(err).Error()
		case info.Mode()&fs.ModeSymlink != 0:
			return "goes through a link"
		}
	}
	return ""
}
