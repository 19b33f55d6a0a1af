package people_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/cmd/trellis/people"
)

// rows writes what was read in short.
func rows(t *testing.T, text string, more ...string) (out []string) {
	t.Helper()
	table, err := people.Read("people.csv", []byte(text), more)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rows {
		out = append(out, fmt.Sprintf("%d %s %q %s %q %q %v", r.Line, r.Email, r.Name, r.Status, r.Teams, r.Groups, r.Attributes))
	}
	return out
}

func mistakes(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestColumnsComeInAnyOrderAndForm(t *testing.T) {
	want := []string{`2 user-1@example.com "User One" active ["payments" "platform"] ["on-call"] map[manager:user-2@example.com]`}
	for name, text := range map[string]string{
		"commas":     "email,name,status,teams,groups,manager\nUser-1@example.com,User One,Active,payments|platform,on-call,User-2@example.com\n",
		"mark":       "\xef\xbb\xbfe-mail,NAME,status,teams,groups,manager\r\nuser-1@example.com, User One ,active,payments| platform,on-call,user-2@example.com\r\n",
		"semicolons": "Manager E-Mail;Groups;Team;Status;Full Name;E-Mail Address\nuser-2@example.com;on-call|on-call;\"payments;platform\";;User One;user-1@example.com\n",
		"tabs":       "teams\tfirst name\tlast_name\tmail\tgroup\tmanager\tstatus\npayments;platform|\tUser\tOne\tuser-1@example.com\ton-call\tuser-2@example.com\tACTIVE\n",
		"told":       "sep=;\nemail;name;status;teams;groups;manager\nuser-1@example.com;User One;active;payments|platform;on-call;user-2@example.com",
	} {
		got := rows(t, text)
		switch name {
		case "semicolons":
			got[0] = strings.Replace(got[0], `"  [`, `" active [`, 1)
		case "told":
			got[0] = strings.Replace(got[0], "3 ", "2 ", 1)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestOtherColumnsAreReadOnlyIfAskedFor(t *testing.T) {
	const text = "email,Salary,Cost centre\nuser-1@example.com,1,42\n\n,,\n"
	table, err := people.Read("people.csv", []byte(text), []string{"cost_centre"})
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Notes) != 1 || table.Notes[0].String() != `people.csv:1: the column "Salary" is not read` {
		t.Errorf("got %v", table.Notes)
	}
	if d := cmp.Diff([]string{`2 user-1@example.com ""  [] [] map[cost_centre:42]`}, rows(t, text, "cost_centre")); d != "" {
		t.Error(d)
	}
}

func TestMistakesAreNamedByLine(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{"people.csv: there is nothing in it"}},
		{"email,name\n,\n\n", []string{"people.csv:1: there is nobody in it"}},
		{"name,team\nx,y\n", []string{"people.csv:1: no column is called email; there is name, team"}},
		{"email,mail\n", []string{"people.csv:1: columns 1 and 2 are both the email"}},
		{"\xff\xfee\x00m\x00", []string{"people.csv: it is UTF-16; save it as UTF-8"}},
		{"email\nuser-1@example.com\n\xe4@example.com\n", []string{"people.csv:3: it is not UTF-8; save it as UTF-8"}},
		{"email,status\nnobody,\n,active\nuser-1@example.com,away\nuser-1@example.com\nUser-2@example.com,\n\"user-2@example.com\",\nx\"y,z\n", []string{
			`people.csv:2: "nobody" is not an e-mail address`, `people.csv:3: the e-mail address is missing`,
			`people.csv:4: "away" is not a status: want active, suspended or deactivated`, `people.csv:5: there are 1 cells, and 2 in the header`,
			`people.csv:7: user-2@example.com is here a second time; the first is on line 6`, `people.csv:8: bare " in non-quoted-field`,
		}},
	} {
		_, err := people.Read("people.csv", []byte(c.text), nil)
		if d := cmp.Diff(c.want, mistakes(err)); d != "" {
			t.Errorf("%.20q: %s", c.text, d)
		}
	}
	if _, err := people.Read("people.csv", []byte("email\n"), []string{"x"}); err == nil {
		t.Error("a column that is not there was found")
	}
	_, err := people.Read("people.csv", []byte("email\n"+strings.Repeat("x\n", 500)), nil)
	if got := mistakes(err); len(got) != 101 || got[100] != "and 400 more mistakes" {
		t.Errorf("%d mistakes", len(got))
	}
}

// present is a graph with some people and sets in it.
func present() people.Present {
	return people.Present{
		People: []people.Person{
			{ID: "1", Email: "User-1@example.com", Status: "active"}, {ID: "2", Email: "user-2@example.com", Status: "active"},
			{ID: "3", Email: "user-3@example.com", Status: "deactivated"}, {ID: "4", Status: "active"}, {ID: "5", Email: "user-5@example.com"}, {ID: "me", Email: "me@example.com"},
		},
		Teams:  []people.Set{{ID: "t1", Slug: "payments", Name: "Payments and money"}, {ID: "t2", Slug: "a", Name: "Twin"}, {ID: "t3", Slug: "b", Name: "twin"}},
		Groups: []people.Set{{ID: "g1", Slug: "on-call", Name: "On call"}},
		InOrg:  map[string]bool{"1": true, "2": true, "3": true, "4": true, "me": true}, Caller: "me",
	}
}

func plan(t *testing.T, text string, o people.Options) (docs, members, missing []string, err error) {
	t.Helper()
	table, err := people.Read("people.csv", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, gone, err := table.Plan(present(), o)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, d := range p.Documents {
		docs = append(docs, fmt.Sprintf("%s %v", d.Name(), d.Spec))
	}
	for _, m := range p.Memberships {
		members = append(members, m.Member+" in "+m.Set)
	}
	for _, m := range gone {
		missing = append(missing, m.ID)
	}
	return docs, members, missing, nil
}

func TestWhoIsMissingIsOnlyReported(t *testing.T) {
	const text = "email,name,teams,groups\nuser-1@example.com,One,PAYMENTS AND MONEY|a,on-call\nuser-9@example.com,,,\n"
	docs, members, missing, err := plan(t, text, people.Options{Organization: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"user:User-1@example.com map[name:One]", "user:user-9@example.com map[]"}, docs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{
		"user:User-1@example.com in organization:acme", "user:User-1@example.com in team:payments", "user:User-1@example.com in team:a",
		"user:User-1@example.com in group:on-call", "user:user-9@example.com in organization:acme",
	}, members); d != "" {
		t.Error(d)
	}
	// Not those of whom the table cannot speak, nor the caller, nor strangers.
	if d := cmp.Diff([]string{"2"}, missing); d != "" {
		t.Error(d)
	}
	docs, _, _, err = plan(t, text, people.Options{Organization: "acme", DeactivateMissing: true})
	if err != nil || docs[len(docs)-1] != "user:2 map[status:deactivated]" || len(docs) != 3 {
		t.Errorf("%q, %v", docs, err)
	}
}

func TestTeamsMustBeKnown(t *testing.T) {
	const text = "email,teams,groups\nuser-1@example.com,payment,\nuser-2@example.com,twin,off-call\n"
	_, _, _, err := plan(t, text, people.Options{Organization: "acme"})
	want := []string{`people.csv:2: there is no team "payment"`, `people.csv:3: 2 teams are called "twin": write the slug`, `people.csv:3: there is no group "off-call"`}
	if d := cmp.Diff(want, mistakes(err)); d != "" {
		t.Error(d)
	}
	_, _, _, err = plan(t, text, people.Options{})
	if got := mistakes(err); len(got) != 2 || !strings.Contains(got[0], "--organization") {
		t.Errorf("got %q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("email,name,teams\na@b.c,x,y|z\n"), "name")
	f.Add([]byte("\xef\xbb\xbfsep=;\nMail;\"Te\"\"ams\"\n\"a@b.c\n\";"), "teams")
	f.Add([]byte("\xff\xfee"), "")
	f.Fuzz(func(t *testing.T, text []byte, more string) {
		table, err := people.Read("f", text, []string{more})
		if (table == nil) == (err == nil) {
			t.Fatalf("got %v and %v", table, err)
		}
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, r := range table.Rows {
			if r.Email == "" || seen[r.Email] || r.Line == 0 {
				t.Fatalf("got %+v", r)
			}
			seen[r.Email] = true
		}
		if p, _, err := table.Plan(people.Present{}, people.Options{Organization: "o"}); (p == nil) == (err == nil) {
			t.Fatalf("got %v and %v", p, err)
		}
	})
}
