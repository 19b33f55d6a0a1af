package people

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"trellis/cmd/trellis/wanted"
	"trellis/graph"
)

// Limits on one table.
const (
	MaxFile  = 64 << 20
	maxRows  = 100_000
	maxCell  = 4_000
	maxName  = 200
	maxLists = 100
)

// The columns that are known, and what else they are called. Headers are
// compared by their letters and digits alone, in lower case.
var columns = map[string][]string{
	"email":   {"email", "mail", "emailaddress", "mailaddress", "workemail"},
	"name":    {"name", "fullname", "displayname"},
	"first":   {"firstname", "givenname"},
	"last":    {"lastname", "surname", "familyname"},
	"teams":   {"teams", "team"},
	"groups":  {"groups", "group"},
	"status":  {"status"},
	"manager": {"manager", "manageremail"},
}

// statuses are the words for a status.
var statuses = map[string]string{
	"active": graph.StatusActive, "suspended": "suspended", "deactivated": "deactivated",
	"inactive": "deactivated", "disabled": "deactivated", "terminated": "deactivated",
}

// Read reads a table from the text of a file: CSV with a header, separated by
// commas, semicolons or tabs, in UTF-8. Besides the columns that are known, those
// named in more become attributes. All mistakes come back at once, as
// wanted.Problems has them.
func Read(file string, text []byte, more []string) (*Table, error) {
	r := &reader{file: file, more: map[int]string{}, at: map[string]int{}, seen: map[string]int{}}
	if text = r.text(text); text != nil {
		r.table(text, more)
	}
	if err := r.problems.Err(); err != nil {
		return nil, err
	}
	return &r.out, nil
}

type reader struct {
	file     string
	problems wanted.Problems
	out      Table
	at       map[string]int // the columns' places
	more     map[int]string // further columns: what their attribute is called
	width    int
	seen     map[string]int // addresses, and the line of each
}

func (r *reader) place(line int) wanted.Place { return wanted.Place{File: r.file, Line: line} }

// text refuses what is no text, and takes the mark of UTF-8 away.
func (r *reader) text(b []byte) []byte {
	switch {
	case len(b) > MaxFile:
		r.problems.Add(r.place(0), "it is larger than %d MB", MaxFile>>20)
		return nil
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}), bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		r.problems.Add(r.place(0), "it is UTF-16; save it as UTF-8")
		return nil
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(b) {
		line := 1
		for len(b) > 0 {
			c, n := utf8.DecodeRune(b)
			if c == utf8.RuneError && n == 1 {
				break
			}
			if c == '\n' {
				line++
			}
			b = b[n:]
		}
		r.problems.Add(r.place(line), "it is not UTF-8; save it as UTF-8")
		return nil
	}
	return b
}

// table reads the header, then the rows.
func (r *reader) table(text []byte, more []string) {
	comma, skip := separator(text)
	d := csv.NewReader(bytes.NewReader(text))
	d.Comma, d.FieldsPerRecord = comma, -1
	for range skip {
		if _, err := d.Read(); err != nil {
			r.fault(err)
			return
		}
	}
	head, err := d.Read()
	if errors.Is(err, io.EOF) {
		r.problems.Add(r.place(0), "there is nothing in it")
		return
	}
	if err != nil {
		r.fault(err)
		return
	}
	line, _ := d.FieldPos(0)
	if !r.header(head, line, more) {
		return
	}
	r.rows(d)
	if r.problems.Err() == nil && len(r.out.Rows) == 0 {
		// It would mean that nobody is there any more: rather a mistake.
		r.problems.Add(r.place(line), "there is nobody in it")
	}
}

func (r *reader) rows(d *csv.Reader) {
	for n := 0; ; n++ {
		cells, err := d.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if n == maxRows {
			r.problems.Add(r.place(0), "there are more than %d rows", maxRows)
			return
		}
		if err != nil {
			r.fault(err)
			continue
		}
		line, _ := d.FieldPos(0)
		r.row(cells, line)
	}
}

func (r *reader) fault(err error) {
	var p *csv.ParseError
	if errors.As(err, &p) {
		r.problems.Add(r.place(p.Line), "%v", p.Err)
		return
	}
	r.problems.Add(r.place(0), "%v", err)
}

// separator finds what separates the cells: what makes the header name an
// address. A first line such as "sep=;", which spreadsheets write, says it, and
// is to be skipped.
func separator(text []byte) (comma rune, skip int) {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	if s := strings.TrimSpace(string(first)); len(s) == 5 && strings.HasPrefix(s, "sep=") && strings.ContainsAny(s[4:], ",;|") {
		return rune(s[4]), 1
	}
	best := -1
	for _, c := range []rune{',', ';', '\t'} {
		d := csv.NewReader(bytes.NewReader(text))
		d.Comma = c
		head, err := d.Read()
		if err != nil {
			continue
		}
		n := len(head)
		if slices.ContainsFunc(head, func(s string) bool { return column(s) == "email" }) {
			n += 1000
		}
		if n > best {
			best, comma = n, c
		}
	}
	if best < 0 {
		comma = ','
	}
	return comma, 0
}

// key is what a header is compared by.
func key(header string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return -1
		}
		return unicode.ToLower(c)
	}, header)
}

// column returns which of the known columns a header names, "" for none.
func column(header string) string {
	for name, words := range columns {
		if slices.Contains(words, key(header)) {
			return name
		}
	}
	return ""
}

func (r *reader) header(head []string, line int, more []string) bool {
	r.width = len(head)
	wantedKeys := map[string]string{}
	for _, m := range more {
		wantedKeys[key(m)] = m
	}
	for i, h := range head {
		h = strings.TrimSpace(h)
		name := column(h)
		attr, asked := wantedKeys[key(h)]
		first, twice := r.at[name]
		switch {
		case name != "" && twice:
			r.problems.Add(r.place(line), "columns %d and %d are both the %s", first+1, i+1, name)
		case name != "":
			r.at[name] = i
		case asked:
			r.more[i] = attr
			delete(wantedKeys, key(h))
		case h != "":
			r.out.Notes = append(r.out.Notes, wanted.Note{Place: r.place(line), Msg: fmt.Sprintf("the column %q is not read", clip(h))})
		}
	}
	for _, m := range more {
		if _, still := wantedKeys[key(m)]; still {
			r.problems.Add(r.place(line), "there is no column %q to make an attribute of", m)
		}
	}
	if _, ok := r.at["email"]; !ok {
		r.problems.Add(r.place(line), "no column is called email; there is %s", clip(strings.Join(head, ", ")))
		return false
	}
	_, r.out.Teams = r.at["teams"]
	_, r.out.Groups = r.at["groups"]
	_, r.out.Status = r.at["status"]
	return true
}

func (r *reader) row(cells []string, line int) {
	at := r.place(line)
	if !slices.ContainsFunc(cells, func(s string) bool { return strings.TrimSpace(s) != "" }) {
		return
	}
	if len(cells) != r.width {
		r.problems.Add(at, "there are %d cells, and %d in the header", len(cells), r.width)
		return
	}
	for i, s := range cells {
		if len(s) > maxCell || strings.ContainsRune(s, 0) {
			r.problems.Add(at, "column %d: want at most %d bytes of text", i+1, maxCell)
			return
		}
	}
	cell := func(name string) string {
		if i, ok := r.at[name]; ok {
			return strings.TrimSpace(cells[i])
		}
		return ""
	}
	p := Row{Place: at, Email: strings.ToLower(cell("email")), Name: cell("name"), Attributes: map[string]string{}}
	if p.Name == "" {
		p.Name = strings.TrimSpace(cell("first") + " " + cell("last"))
	}
	p.Teams, p.Groups = split(cell("teams")), split(cell("groups"))
	if m := cell("manager"); m != "" {
		if validEmail(m) {
			m = strings.ToLower(m)
		}
		p.Attributes["manager"] = m
	}
	for i, name := range r.more {
		if s := strings.TrimSpace(cells[i]); s != "" {
			p.Attributes[name] = s
		}
	}
	p.Status = statuses[strings.ToLower(cell("status"))]
	switch first := r.seen[p.Email]; {
	case p.Email == "":
		r.problems.Add(at, "the e-mail address is missing")
	case !validEmail(p.Email):
		r.problems.Add(at, "%q is not an e-mail address", clip(p.Email))
	case first > 0:
		r.problems.Add(at, "%s is here a second time; the first is on line %d", clip(p.Email), first)
	case len(p.Name) > maxName:
		r.problems.Add(at, "the name is longer than %d bytes", maxName)
	case len(p.Teams) > maxLists || len(p.Groups) > maxLists:
		r.problems.Add(at, "there are more than %d teams or groups", maxLists)
	case p.Status == "" && cell("status") != "":
		r.problems.Add(at, "%q is not a status: want active, suspended or deactivated", clip(cell("status")))
	default:
		r.seen[p.Email] = line
		r.out.Rows = append(r.out.Rows, p)
	}
}

// split reads a list inside a cell.
func split(cell string) []string {
	var out []string
	for _, s := range strings.FieldsFunc(cell, func(c rune) bool { return c == '|' || c == ';' }) {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && graph.Printable(s)
}

// clip makes a text short enough for a message.
func clip(s string) string { return wanted.Clip(s, 80) }
