package peer_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"trellis/bench/peer"
	"trellis/bench/world"
)

const data = "../../testdata/kubernetes-org"

type model struct {
	Schema string `json:"schema_version"`
	Types  []struct {
		Type      string                     `json:"type"`
		Relations map[string]json.RawMessage `json:"relations"`
		Metadata  struct {
			Relations map[string]struct {
				Allowed []struct{ Type, Relation string } `json:"directly_related_user_types"`
			} `json:"relations"`
		} `json:"metadata"`
	} `json:"type_definitions"`
}

func readModel(t *testing.T) model {
	t.Helper()
	text, err := peer.OpenFGAModel()
	if err != nil {
		t.Fatal(err)
	}
	var m model
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheModelOfOpenFGAIsOne(t *testing.T) {
	m := readModel(t)
	if m.Schema != "1.1" || len(m.Types) != 4 {
		t.Errorf("schema %s with %d types", m.Schema, len(m.Types))
	}
}

// Every tuple must be of a form that the model allows and that OpenFGA's API takes.
func TestEveryTupleFitsTheModel(t *testing.T) {
	allowed := map[string]bool{}
	for _, ty := range readModel(t).Types {
		for rel, meta := range ty.Metadata.Relations {
			for _, a := range meta.Allowed {
				allowed[a.Type+"#"+a.Relation+" "+rel+" "+ty.Type] = true
			}
		}
	}
	w, err := world.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	user := regexp.MustCompile(`^([a-z]+):([^\s:#*]{1,254})(?:#([a-z]+))?$`)
	seen := map[peer.Tuple]bool{}
	for _, tu := range peer.Tuples(w) {
		u, o := user.FindStringSubmatch(tu.User), user.FindStringSubmatch(tu.Object)
		if u == nil || o == nil {
			t.Errorf("%+v: not an id that OpenFGA takes", tu)
			continue
		}
		if !allowed[u[1]+"#"+u[3]+" "+tu.Relation+" "+o[1]] {
			t.Errorf("%+v: the model does not allow it", tu)
		}
		if seen[tu] {
			t.Errorf("%+v comes twice", tu)
		}
		seen[tu] = true
	}
	t.Logf("%d tuples, %d elements", len(seen), w.Elements())
}
