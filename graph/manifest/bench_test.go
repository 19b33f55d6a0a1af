package manifest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"trellis/graph/identity"
	"trellis/graph/manifest"
)

// many are 10,000 documents of one organization: 40 teams with members, 500
// people, types, environments, tags, links, 8,900 projects with relations to
// all of them, and grants. edit changes something of the first n projects.
func many(edit int) []manifest.Document {
	var out []manifest.Document
	add := func(kind, slug string, spec any) {
		b, err := json.Marshal(spec)
		if err != nil {
			panic(err)
		}
		d := manifest.Document{APIVersion: manifest.APIVersion, Kind: kind, Spec: b}
		if kind != manifest.Membership && kind != manifest.Grant {
			if d.Metadata.Slug = slug; kind != "Organization" {
				d.Metadata.Organization = "acme"
			}
		}
		if kind == "User" {
			d.Metadata = manifest.Metadata{ID: slug}
		}
		out = append(out, d)
	}
	type m = map[string]any
	add("Organization", "acme", m{"name": "Acme"})
	const users, teams, tags = 500, 40, 50
	for i := range users {
		add("User", fmt.Sprintf("u%d", i), m{"email": fmt.Sprintf("u%d@example.com", i), "name": fmt.Sprintf("User %d", i)})
	}
	for i := range teams {
		add("Team", fmt.Sprintf("team-%d", i), m{"name": fmt.Sprintf("Team %d", i)})
		var members []string
		for j := range 12 {
			members = append(members, fmt.Sprintf("user:u%d", (i*12+j)%users))
		}
		add(manifest.Membership, "", m{"set": fmt.Sprintf("team:acme/team-%d", i), "members": members})
	}
	for i := range 5 {
		add("ProjectType", fmt.Sprintf("type-%d", i), m{})
		add("Environment", fmt.Sprintf("env-%d", i), m{"sort_order": i})
		add("LinkDefinition", fmt.Sprintf("link-%d", i), m{})
	}
	for i := range tags {
		add("Tag", fmt.Sprintf("tag-%d", i), m{})
	}
	for i := range teams {
		add(manifest.Grant, "", m{"subject": fmt.Sprintf("team:acme/team-%d", i), "resource": "organization:acme", "role": "readonly"})
	}
	for i := 0; len(out) < manifest.MaxDocuments; i++ {
		slug := fmt.Sprintf("project-%d", i)
		spec := m{
			"name": fmt.Sprintf("Project %d", i), "description": "What it is for is told here, in a sentence of some length.",
			"types": []string{fmt.Sprintf("type-%d", i%5)}, "team": fmt.Sprintf("team-%d", i%teams),
			"environments": m{fmt.Sprintf("env-%d", i%5): m{"url": "https://" + slug + ".example.com"}},
			"tags":         []string{fmt.Sprintf("tag-%d", i%tags)}, "identifiers": m{"repository": "acme/" + slug},
		}
		if i > 0 {
			spec["depends_on"] = []string{fmt.Sprintf("project-%d", i/2)}
		}
		if i < edit {
			spec["description"] = fmt.Sprintf("Edited, %d", edit)
		}
		add("Project", slug, spec)
		if i%20 == 0 && len(out) < manifest.MaxDocuments {
			add(manifest.Grant, "", m{"subject": fmt.Sprintf("user:u%d", i%users), "resource": "project:acme/" + slug, "role": "developer"})
		}
	}
	return out
}

// cpu tells how much of the processors an operation takes, which says more than
// the clock where others use them, too.
func cpu(b *testing.B, f func()) {
	b.Helper()
	var all time.Duration
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	n := 0
	for b.Loop() {
		begin := now()
		f()
		all += now() - begin
		n++
	}
	b.ReportMetric(float64(all.Milliseconds())/float64(n), "cpu-ms/op")
}

func (w *world) run(b *testing.B, q manifest.Request) *manifest.Result {
	b.Helper()
	r, err := w.sets.Apply(context.Background(), identity.Caller{Subject: root}, q, identity.ApplyOptions{})
	if err != nil {
		b.Fatal(err, fields(err))
	}
	return r
}

// BenchmarkApply is 10,000 documents: all new; unchanged; 100 changed; planned
// while all are new, and while nothing changes.
func BenchmarkApply(b *testing.B) {
	q := manifest.Request{Set: "acme/all", Documents: many(0)}
	b.Run("new", func(b *testing.B) {
		cpu(b, func() {
			b.StopTimer()
			w := newWorld(b)
			b.StartTimer()
			w.run(b, q)
		})
	})
	b.Run("plan-new", func(b *testing.B) {
		w := newWorld(b)
		p := q
		p.Plan = true
		cpu(b, func() { w.run(b, p) })
	})
	w := newWorld(b)
	w.run(b, q)
	b.Run("unchanged", func(b *testing.B) {
		cpu(b, func() {
			if w.run(b, q).Changed {
				b.Fatal("something changed")
			}
		})
	})
	b.Run("plan-unchanged", func(b *testing.B) {
		p := q
		p.Plan = true
		cpu(b, func() { w.run(b, p) })
	})
	edits := func(n int) func(b *testing.B) {
		i := 0
		return func(b *testing.B) {
			cpu(b, func() {
				i++
				if c := w.run(b, manifest.Request{Set: q.Set, Documents: many(n + i%2)}).Counts.Change; c < min(n, 8000) {
					b.Fatal(c)
				}
			})
		}
	}
	b.Run("100-changed", edits(100))
	b.Run("all-changed", edits(20_000))
}
