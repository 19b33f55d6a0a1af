package wanted

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/graph/manifest"
)

// Manifests are the documents that a set of manifests is made of, and the
// places that each came from.
type Manifests struct {
	Documents []manifest.Document
	places    [][]Place // of members, one for each
}

// Manifests writes the plan as documents of the organization with that id, "" if
// there is none. Members of one set share a document.
func (p *Plan) Manifests(org string) (*Manifests, error) {
	m := &Manifests{Documents: []manifest.Document{}}
	for i := range p.Documents {
		d := &p.Documents[i]
		spec := d.Spec
		if spec == nil {
			spec = map[string]any{}
		}
		meta := manifest.Metadata{Organization: org, Slug: d.Slug, ID: d.ID}
		if d.Type == identity.User {
			meta.Organization = ""
			if d.Email != "" {
				spec = map[string]any{"email": d.Email}
				for k, v := range d.Spec {
					spec[k] = v
				}
			}
		}
		if err := m.add(kindName(d.Type), meta, spec, d.Place); err != nil {
			return nil, err
		}
	}
	sets := map[string][]Membership{}
	var order []string
	for _, s := range p.Memberships {
		if sets[s.Set] == nil {
			order = append(order, s.Set)
		}
		sets[s.Set] = append(sets[s.Set], s)
	}
	for _, set := range order {
		var names []string
		var places []Place
		for _, s := range sets[set] {
			names, places = append(names, s.Member), append(places, s.Place)
		}
		// Slugs of teams are looked up in the organization.
		if err := m.add(manifest.Membership, manifest.Metadata{Organization: org}, map[string]any{"set": set, "members": names}, places...); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Manifests) add(kind string, meta manifest.Metadata, spec map[string]any, places ...Place) error {
	b, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("%s: %w", places[0], err)
	}
	m.Documents = append(m.Documents, manifest.Document{APIVersion: manifest.APIVersion, Kind: kind, Metadata: meta, Spec: b})
	m.places = append(m.places, places)
	return nil
}

// kindName is what documents call a type: "link_definition" is LinkDefinition.
func kindName(t graph.Type) string {
	parts := strings.Split(string(t), "_")
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}

// At returns the place that a JSON pointer into the documents came from.
func (m *Manifests) At(pointer string) (Place, bool) {
	var doc, member int
	n, _ := fmt.Sscanf(pointer, "/documents/%d/spec/members/%d", &doc, &member)
	if n == 0 || doc < 0 || doc >= len(m.places) {
		return Place{}, false
	}
	places := m.places[doc]
	if n == 2 && member >= 0 && member < len(places) {
		return places[member], true
	}
	return places[0], places[0] != Place{}
}

// Keep adds, for each of the users, a document that says nothing of them: so
// that they stay with the set, and are not taken away when the set is pruned.
// People end by being deactivated, never because a file no longer names them.
// users holds the address of each, by id.
func (p *Plan) Keep(users map[string]string) {
	named := map[string]bool{}
	for i := range p.Documents {
		named[p.Documents[i].Name()] = true
	}
	for _, id := range slices.Sorted(maps.Keys(users)) {
		byID, byEmail := Document{Type: identity.User, ID: id}, Document{Type: identity.User, Email: users[id]}
		if !named[byID.Name()] && !named[byEmail.Name()] {
			p.Documents = append(p.Documents, byID)
		}
	}
}
