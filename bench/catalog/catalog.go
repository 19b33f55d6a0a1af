// Package catalog makes up a catalog of any size, as an archive that
// `trellis import` takes, and asks a server for lists, facets and searches of
// it at a constant rate. It promises that the same options make the same
// catalog, node for node, and that a node or an edge in the archive is what
// the API would have made (a test makes a small catalog both ways). Like the
// rest of this module it shares no code with Trellis.
package catalog

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say how large a catalog is.
type Options struct {
	Organizations int
	// Projects of all organizations together. The one of rank r has about
	// r^-0.8 of them: of 100,000 in 1,000 organizations the largest has 6,000,
	// the hundredth 160, and half have less than 50.
	Projects int
	Users    int
	// Sample is how many projects one organization more, the first, has
	// whatever the others have. It is the same in all catalogs of one seed.
	// They are among Projects. 0: there is no such organization.
	Sample int
	Seed   uint64
}

// World is a catalog.
type World struct {
	Options
	Orgs   []*Org
	People []Person
	// Three is somebody who may read exactly three projects, by grants of
	// their own.
	Three   Person
	ThreeOf []*Project
	// Member is in one organization only, the third largest.
	Member     Person
	MemberOf   *Org
	vocabulary []string
}

// Person is a user.
type Person struct{ ID, Name, Email string }

// Entry is a node that has little but a name.
type Entry struct{ ID, Slug, Name string }

// Org is an organization with what belongs to it. Projects refer to the rest
// by place.
type Org struct {
	Entry
	Types, Environments, Tags, Links, Services, Teams []Entry
	Projects                                          []*Project
	Owners, Members                                   []int   // places in World.People
	TeamMembers                                       [][]int // of each team
	Readers                                           []int   // teams that are only granted readonly on themselves
}

// Project is one project.
type Project struct {
	Entry
	Org                                *Org
	About                              string
	Types, Environments, Tags          []int
	DependsOn                          []int // projects of the same organization
	Links, Services                    []int
	Team                               int
	Tier, Language, GitHub, Costcenter string
	Score                              int
	PCI                                bool
}

var (
	tiers     = []string{"bronze", "bronze", "bronze", "silver", "silver", "gold"}
	languages = []string{"go", "go", "go", "go", "java", "java", "java", "python", "python", "typescript", "rust", "kotlin"}
	stages    = []string{"Development", "Testing", "Staging", "Production"}
	kinds     = []string{"API", "Website", "Library", "Batch Job", "Event Consumer", "Database", "Mobile App", "Infrastructure", "Dataset", "Tool"}
	places    = []string{"Runbook", "Dashboard", "Repository", "Logs", "Documentation"}
	vendors   = []string{"Sentry", "GitHub", "PagerDuty"}
)

// Made is the instant by which everything in a catalog was made, in the two years before.
var Made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// New makes a catalog.
func New(o Options) *World {
	w := &World{Options: o, vocabulary: words()}
	rng := w.random(1 << 32)
	w.People = make([]Person, o.Users)
	for i := range w.People {
		w.People[i] = person(rng, "user"+strconv.Itoa(i))
	}
	for i, n := range w.sizes() {
		w.Orgs = append(w.Orgs, w.org(i, n))
	}
	w.staff(rng)
	w.member()
	w.Three = Person{ID: "sees-three", Name: "Sees Three", Email: "sees-three@example.com"}
	for i := 0; len(w.ThreeOf) < 3 && i < 3*len(w.Orgs); i++ {
		org := w.Orgs[i*len(w.Orgs)/3%len(w.Orgs)]
		p := org.Projects[(7*i+len(org.Projects)/2)%len(org.Projects)]
		if !slices.Contains(w.ThreeOf, p) {
			w.ThreeOf = append(w.ThreeOf, p)
		}
	}
	return w
}

// random is the source of one part of the catalog, so that a part is the same
// whatever the others are.
func (w *World) random(part uint64) *rand.Rand { return rand.New(rand.NewPCG(w.Seed, part)) }

func person(rng *rand.Rand, name string) Person {
	return Person{ID: newID(rng), Name: title([]string{name}), Email: name + "@example.com"}
}

// newID makes an id like those the server makes: a UUID of version 7, whose
// times are of two years.
func newID(rng *rand.Rand) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(Made.UnixMilli()-rng.Int64N(2*365*24*3600*1000))<<16|0x7000|rng.Uint64N(1<<12))
	binary.BigEndian.PutUint64(b[8:], 1<<63|rng.Uint64N(1<<62))
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// sizes says how many projects each organization has.
func (w *World) sizes() []int {
	out := make([]int, 0, w.Organizations)
	left, others := w.Projects, w.Organizations
	if w.Sample > 0 {
		out, left, others = append(out, w.Sample), left-w.Sample, others-1
	}
	var sum float64
	for r := 1; r <= others; r++ {
		sum += math.Pow(float64(r), -0.8)
	}
	given := 0
	for r := 1; r <= others; r++ {
		n := max(1, int(float64(left)*math.Pow(float64(r), -0.8)/sum))
		out, given = append(out, n), given+n
	}
	// What rounding left over goes to the first, which has most.
	if others > 0 {
		first := len(out) - others
		out[first] = max(1, out[first]+left-given)
	}
	return out
}

func entries(rng *rand.Rand, names []string) []Entry {
	out := make([]Entry, len(names))
	for i, n := range names {
		out[i] = Entry{newID(rng), strings.ReplaceAll(strings.ToLower(n), " ", "-"), n}
	}
	return out
}

// org makes organization i with n projects.
func (w *World) org(i, n int) *Org {
	rng := w.random(uint64(i))
	talk := newSpeech(w.vocabulary, rng)
	name := fmt.Sprintf("%s %05d", title(talk.say(1)), i)
	o := &Org{
		Entry: entries(rng, []string{name})[0],
		Types: entries(rng, kinds[:5+rng.IntN(6)]), Environments: entries(rng, stages), Links: entries(rng, places), Services: entries(rng, vendors),
	}
	o.Tags = entries(rng, w.distinct(rng, talk, 20))
	o.Teams = entries(rng, w.distinct(rng, talk, min(40, 3+n/40)))
	for t := range o.Teams {
		if t%4 == 3 {
			o.Readers = append(o.Readers, t)
		}
	}
	o.Projects = make([]*Project, n)
	for j := range o.Projects {
		o.Projects[j] = w.project(o, rng, talk, j, n)
	}
	return o
}

// distinct draws n different words, as names.
func (w *World) distinct(rng *rand.Rand, talk *speech, n int) []string {
	var out []string
	for len(out) < n {
		word := title(talk.say(1))
		if rng.IntN(3) == 0 {
			word = title([]string{w.vocabulary[rng.IntN(len(w.vocabulary))]})
		}
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

func (w *World) project(o *Org, rng *rand.Rand, talk *speech, j, n int) *Project {
	name := talk.say(2 + rng.IntN(2))
	p := &Project{
		Entry: Entry{newID(rng), strings.Join(name, "-") + "-" + strconv.Itoa(j), title(name)},
		Org:   o, About: strings.Join(talk.say(8+rng.IntN(12)), " "), Team: rng.IntN(len(o.Teams)),
		Types: some(rng, len(o.Types), 1+rng.IntN(2)), Environments: some(rng, len(o.Environments), 2+rng.IntN(2)),
		Tags: some(rng, len(o.Tags), rng.IntN(6)), Links: some(rng, len(o.Links), rng.IntN(3)), Services: some(rng, len(o.Services), rng.IntN(2)),
		Tier: tiers[rng.IntN(len(tiers))], Language: languages[rng.IntN(len(languages))], Score: rng.IntN(101), PCI: rng.IntN(10) == 0,
		GitHub: strconv.Itoa(1_000_000 + rng.IntN(900_000_000)), Costcenter: fmt.Sprintf("cc-%04d", rng.IntN(10_000)),
	}
	p.DependsOn = slices.DeleteFunc(some(rng, n, rng.IntN(min(n, 5))), func(k int) bool { return k == j })
	return p
}

// some draws n different numbers below limit, in order.
func some(rng *rand.Rand, limit, n int) []int {
	var out []int
	for len(out) < min(n, limit) {
		if k := rng.IntN(limit); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// staff gives everybody an organization or two, and a team or two in each. An
// organization has as many of the people as it has of the teams.
func (w *World) staff(rng *rand.Rand) {
	var seats []*Org
	for _, o := range w.Orgs {
		o.TeamMembers = make([][]int, len(o.Teams))
		for range o.Teams {
			seats = append(seats, o)
		}
	}
	for i := range w.People {
		for range 1 + rng.IntN(5)/4 {
			o := seats[rng.IntN(len(seats))]
			if i < len(w.Orgs) {
				o = w.Orgs[i] // nobody is without
			}
			if slices.Contains(o.Members, i) {
				continue
			}
			o.Members = append(o.Members, i)
			if len(o.Members) <= 1+len(o.Teams)/10 {
				o.Owners = append(o.Owners, i)
			}
			for _, t := range some(rng, len(o.Teams), 1+rng.IntN(2)) {
				o.TeamMembers[t] = append(o.TeamMembers[t], i)
			}
		}
	}
}

// member finds one who is in no more than one organization.
func (w *World) member() {
	bySize := slices.Clone(w.Orgs)
	slices.SortStableFunc(bySize, func(a, b *Org) int { return len(b.Projects) - len(a.Projects) })
	w.MemberOf = bySize[min(2, len(bySize)-1)]
	in := map[int]int{}
	for _, o := range w.Orgs {
		for _, i := range o.Members {
			in[i]++
		}
	}
	for _, i := range w.MemberOf.Members {
		if in[i] == 1 && !slices.Contains(w.MemberOf.Owners, i) {
			w.Member = w.People[i]
			return
		}
	}
}
