package githuborg

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"trellis/graph"
	"trellis/graph/identity"
)

// Source tells what the graph holds now. Every method may be called
// concurrently, and returns graph.NotFound for a node that is not there.
type Source interface {
	// Nodes returns the nodes of a type; for teams those of the organization.
	Nodes(ctx context.Context, t graph.Type, org string) ([]graph.Ref, error)
	// Members returns the members of a set.
	Members(ctx context.Context, set graph.Ref) ([]graph.Ref, error)
	// Grants returns the grants of a role, none if there is no such role.
	Grants(ctx context.Context, role string) ([]Grant, error)
}

// Grant gives a role to a subject on a resource.
type Grant struct {
	Subject, Resource graph.Ref
}

// Plan is what must be done to make the graph say what the files say.
type Plan struct {
	// Mutations in the order in which they can be carried out, in as many
	// pieces as one likes: what is taken away comes first.
	Mutations []identity.Mutation
	// Present counts the people who are there already and are left alone.
	Present int
}

// workers is how many questions are asked at once.
const workers = 8

// Plan compares the world with the graph. What the files say is put, whether
// it is there or not. What is there, belongs to one of the organizations and
// could be in the files, but is not, is taken away: teams named ORG/…; users
// and such teams as members of the organization and its teams; and grants of
// the roles repo-… to the organization on itself, to teams on repositories,
// and of repo-admin to people on the organization. Anything else is left
// alone, and so are people who exist: the files know nothing of a person but
// the login.
//
// step is called with the number of questions asked and to be asked.
func (w *World) Plan(ctx context.Context, src Source, step func(done, all int)) (Plan, error) {
	d := w.desired()
	p := Plan{}
	removals, err := w.removals(ctx, src, &d, step)
	if err != nil {
		return p, err
	}
	p.Mutations = append(p.Mutations, removals...)
	p.Mutations = append(p.Mutations, d.schema...)
	p.Mutations = append(p.Mutations, d.nodes...)

	there, err := src.Nodes(ctx, identity.User, "")
	if err != nil {
		return p, err
	}
	known := setOf(there)
	for _, login := range d.people {
		if ref := UserRef(login); known[ref] {
			p.Present++
		} else {
			p.Mutations = append(p.Mutations, put(ref, fields{"name": login}))
		}
	}
	for _, m := range d.members {
		p.Mutations = append(p.Mutations, m.put())
	}
	for _, g := range d.grants {
		p.Mutations = append(p.Mutations, g.put())
	}
	return p, nil
}

// question is one thing to ask the source for the sake of removals.
type question func(ctx context.Context) ([]identity.Mutation, error)

func (w *World) removals(ctx context.Context, src Source, d *desired, step func(done, all int)) ([]identity.Mutation, error) {
	members, grants, nodes := map[member]bool{}, map[grant]bool{}, map[graph.Ref]bool{}
	for _, m := range d.members {
		members[m] = true
	}
	for _, g := range d.grants {
		grants[g] = true
	}
	for _, m := range d.nodes {
		nodes[m.Node] = true
	}
	var questions []question
	var out []identity.Mutation
	for _, o := range w.Orgs {
		teams, err := src.Nodes(ctx, identity.Team, o.Name)
		if isNotFound(err) {
			continue // a new organization has nothing to take away
		}
		if err != nil {
			return nil, err
		}
		sets := []graph.Ref{OrgRef(o.Name)}
		for _, t := range teams {
			switch {
			case nodes[t]:
				sets = append(sets, t)
			case strings.HasPrefix(t.ID, o.Name+"/"):
				out = append(out, identity.Mutation{Op: identity.OpDelete, Node: t})
			}
		}
		for _, set := range sets {
			questions = append(questions, o.membersToRemove(src, set, members))
		}
	}
	for _, l := range Levels {
		questions = append(questions, w.grantsToRemove(src, l.Role(), grants))
	}
	more, err := ask(ctx, questions, step)
	// With a team go its edges; to take them away as well would be an error.
	doomed := map[graph.Ref]bool{}
	for _, m := range out {
		doomed[m.Node] = true
	}
	more = slices.DeleteFunc(more, func(m identity.Mutation) bool { return doomed[m.Member] || doomed[m.Subject] })
	return append(out, more...), err
}

func (o *Org) membersToRemove(src Source, set graph.Ref, wanted map[member]bool) question {
	return func(ctx context.Context) ([]identity.Mutation, error) {
		there, err := src.Members(ctx, set)
		if err != nil {
			return nil, err
		}
		var out []identity.Mutation
		for _, r := range there {
			managed := r.Type == identity.User || r.Type == identity.Team && strings.HasPrefix(r.ID, o.Name+"/")
			if m := (member{set, r}); managed && !wanted[m] {
				out = append(out, m.remove())
			}
		}
		return out, nil
	}
}

func (w *World) grantsToRemove(src Source, role string, wanted map[grant]bool) question {
	return func(ctx context.Context) ([]identity.Mutation, error) {
		there, err := src.Grants(ctx, role)
		if err != nil {
			return nil, err
		}
		var out []identity.Mutation
		for _, t := range there {
			g := grant{t.Subject, t.Resource, role}
			if !wanted[g] && slices.ContainsFunc(w.Orgs, func(o *Org) bool { return o.manages(g) }) {
				out = append(out, g.remove())
			}
		}
		return out, nil
	}
}

// manages tells whether the files of the organization could have this grant.
func (o *Org) manages(g grant) bool {
	if g.resource == OrgRef(o.Name) {
		return g.subject == g.resource || g.subject.Type == identity.User && g.role == admin.Role()
	}
	return g.resource.Type == Repo && strings.HasPrefix(g.resource.ID, o.Name+"/") &&
		g.subject.Type == identity.Team && strings.HasPrefix(g.subject.ID, o.Name+"/")
}

// ask asks all questions, several at once, and returns the answers in order.
func ask(ctx context.Context, questions []question, step func(done, all int)) ([]identity.Mutation, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make([][]identity.Mutation, len(questions))
	var mu sync.Mutex
	var wg sync.WaitGroup
	next, done := 0, 0
	for range min(workers, len(questions)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(questions) || ctx.Err() != nil {
					return
				}
				a, err := questions[i](ctx)
				if err != nil && !isNotFound(err) {
					cancel(err)
					return
				}
				mu.Lock()
				answers[i] = a
				done++
				step(done, len(questions))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var out []identity.Mutation
	for _, a := range answers {
		out = append(out, a...)
	}
	return out, nil
}

func isNotFound(err error) bool {
	var e *graph.Error
	return errors.As(err, &e) && e.Kind == graph.NotFound
}

func setOf(refs []graph.Ref) map[graph.Ref]bool {
	out := make(map[graph.Ref]bool, len(refs))
	for _, r := range refs {
		out[r] = true
	}
	return out
}
