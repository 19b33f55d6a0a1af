package catalog

// Mutations are what `POST /api/v1/batch` takes to make the catalog, in
// batches that come one after the other.
func (w *World) Mutations() [][]any {
	var entries, projects, dependencies, access []any
	for n := range w.nodes() {
		if n.Ref.Type != tProject {
			entries = append(entries, put("put", n, n.props))
		}
	}
	for _, o := range w.Orgs {
		for _, p := range o.Projects {
			n := p.node()
			delete(n.props, "keywords") // the server's own
			projects = append(projects, put("put", n, p.related(n.props)))
			if len(p.DependsOn) > 0 {
				dependencies = append(dependencies, put("patch", n, props{"depends_on": slugs(projectEntries(o), p.DependsOn)}))
			}
		}
		for i, s := range o.Services {
			n := o.node(tService, s, nil)
			dependencies = append(dependencies, put("patch", n, props{"team": o.Teams[i%len(o.Teams)].Slug}))
		}
	}
	for e := range w.edges("") {
		switch {
		case e.kind == memberOf:
			access = append(access, props{"op": "put_member", "set": e.to.String(), "member": e.from.String()})
		case e.kind == canAccess && e.key != "self": // that comes by itself
			access = append(access, props{"op": "put_grant", "subject": e.from.String(), "resource": e.to.String(), "role": e.key})
		}
	}
	return [][]any{entries, projects, dependencies, access}
}

func put(op string, n node, data props) props {
	return props{"op": op, "node": n.Ref.String(), "data": data}
}

func projectEntries(o *Org) []Entry {
	out := make([]Entry, len(o.Projects))
	for i, p := range o.Projects {
		out[i] = p.Entry
	}
	return out
}

func slugs(of []Entry, which []int) []string {
	out := make([]string, len(which))
	for i, k := range which {
		out[i] = of[k].Slug
	}
	return out
}

// related adds the relations, as the API takes them.
func (p *Project) related(data props) props {
	o := p.Org
	data["types"], data["tags"], data["team"] = slugs(o.Types, p.Types), slugs(o.Tags, p.Tags), o.Teams[p.Team].Slug
	urls := func(of []Entry, which []int) map[string]props {
		out := map[string]props{}
		for _, i := range which {
			out[of[i].Slug] = props{"url": p.address(of[i])}
		}
		return out
	}
	data["environments"], data["links"] = urls(o.Environments, p.Environments), urls(o.Links, p.Links)
	services := map[string]props{}
	for _, i := range p.Services {
		services[o.Services[i].Slug] = props{"identifier": p.GitHub, "canonical_link": p.address(o.Services[i])}
	}
	data["services"] = services
	return data
}
