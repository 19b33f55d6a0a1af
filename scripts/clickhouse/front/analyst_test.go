package main

import (
	"encoding/xml"
	"io"
	"os"
	"testing"
)

// element is one of analyst.xml's, whose names are not known beforehand.
type element struct {
	XMLName  xml.Name
	Text     string     `xml:",chardata"`
	Attr     []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
}

// at returns what is found by going down the names, or nothing.
func (e element) at(path ...string) element {
	for _, name := range path {
		found := element{}
		for _, c := range e.Children {
			if c.XMLName.Local == name {
				found = c
			}
		}
		e = found
	}
	return e
}

// readAnalyst reads the file that docker-compose.yml mounts into ClickHouse.
func readAnalyst(t *testing.T) element {
	t.Helper()
	f, err := os.Open("../analyst.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	var root element
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(); err != io.EOF && err != nil {
		t.Fatal(err)
	}
	return root
}

func TestAnalystMayReadAndNothingElse(t *testing.T) {
	root := readAnalyst(t)
	user, profile := root.at("users", "analyst"), root.at("profiles", "analyst")
	if got := profile.at("readonly").Text; got != "2" {
		t.Errorf("readonly is %q", got)
	}
	if got := user.at("profile").Text; got != "analyst" {
		t.Errorf("the profile is %q", got)
	}
	if grants := user.at("grants").Children; len(grants) != 1 || grants[0].Text != "GRANT SELECT ON trellis.*" {
		t.Errorf("grants are %+v", grants)
	}
	if p := user.at("password"); p.Text != "" || len(p.Attr) != 1 || p.Attr[0].Name.Local != "from_env" {
		t.Errorf("the password is %+v", p)
	}
	// A limit that a query may raise is none.
	for _, s := range profile.Children {
		name := s.XMLName.Local
		if name == "constraints" || name == "readonly" { // which cannot be changed when it is 2
			continue
		}
		c := profile.at("constraints", name)
		bounded := c.at("max").Text == s.Text && c.at("min").Text == "1"
		if !bounded && c.at("const").XMLName.Local == "" {
			t.Errorf("a query may set %s as it likes", name)
		}
	}
	for _, c := range profile.at("constraints").Children {
		if profile.at(c.XMLName.Local).XMLName.Local == "" {
			t.Errorf("%s is constrained but not set", c.XMLName.Local)
		}
	}
}

// TestAnalystsSettingsExist asks the engine for each, since a server with a setting that
// it does not know does not start.
func TestAnalystsSettingsExist(t *testing.T) {
	needEngine(t)
	var values []string
	for _, s := range readAnalyst(t).at("profiles", "analyst").Children {
		if name := s.XMLName.Local; name != "constraints" {
			if r := ask(t, "SET "+name+" = "+quoteText(s.Text)); r.body != "" {
				t.Errorf("%s: %s", name, r.body)
			}
			if name != "readonly" {
				values = append(values, name, s.Text)
			}
		}
	}
	// All together, as the profile has them.
	if r := send(t, "analyst", "reader", "SELECT count() FROM numbers(1000)", values...); r.body != "1000" {
		t.Error(r)
	}
}
