package peer

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/openfga/language/pkg/go/transformer"

	"trellis/bench/drive"
	"trellis/bench/world"
)

//go:embed model.fga
var modelDSL string

// OpenFGAModel returns the authorization model as JSON.
func OpenFGAModel() (string, error) { return transformer.TransformDSLToJSON(modelDSL) }

// Tuple is one relationship of OpenFGA.
type Tuple struct {
	User     string `json:"user"`
	Relation string `json:"relation"`
	Object   string `json:"object"`
}

// Relations that stand for a level on a repository and on an organization.
var (
	relation    = map[world.Level]string{world.Read: "reader", world.Triage: "triager", world.Write: "writer", world.Maintain: "maintainer", world.Admin: "admin"}
	orgRelation = map[world.Level]string{world.Read: "repo_reader", world.Triage: "repo_triager", world.Write: "repo_writer", world.Maintain: "repo_maintainer", world.Admin: "repo_admin"}
)

// Tuples writes the world as relationships.
func Tuples(w *world.World) []Tuple {
	var out []Tuple
	add := func(user, rel, object string) { out = append(out, Tuple{user, rel, object}) }
	for _, o := range w.Orgs {
		org := "organization:" + o.Name
		for _, m := range slices.Concat(o.Admins, o.Members) {
			add("user:"+m, "member", org)
		}
		for _, m := range o.Admins {
			add("user:"+m, orgRelation[world.Admin], org)
		}
		if o.Default != world.None {
			add(org+"#member", orgRelation[o.Default], org)
		}
	}
	for _, r := range w.Repos {
		add("organization:"+r.Org.Name, "parent", "repo:"+r.ID)
	}
	for _, t := range w.Teams {
		team := "team:" + t.ID()
		if t.Parent != nil {
			add(team+"#member", "member", "team:"+t.Parent.ID())
		}
		for _, m := range t.Members {
			add("user:"+m, "member", team)
		}
		for repo, l := range t.Grants {
			if l != world.None {
				add(team+"#member", relation[l], "repo:"+t.Org.Name+"/"+repo)
			}
		}
	}
	return out
}

// OpenFGA is a server of OpenFGA on SQLite.
type OpenFGA struct {
	*process
	name         string
	url          string
	store, model string
	world        *world.World
	uri          string
}

// The credential that clients give, and the defaults of the server for one request.
const (
	fgaKey        = "a-preshared-key-of-the-benchmark"
	fgaBatch      = 50
	fgaWriteBatch = 100
)

var _ Peer = (*OpenFGA)(nil)

// StartOpenFGA starts a server with an empty database in dir. Beside what must
// be set to run it next to others, it has the server's defaults; the log, the
// playground and the metrics are off, which only makes it faster.
func StartOpenFGA(ctx context.Context, program, dir string, w *world.World) (*OpenFGA, error) {
	f := &OpenFGA{name: "OpenFGA", world: w, uri: "file:" + filepath.Join(dir, "openfga.db")}
	migrate := exec.CommandContext(ctx, program, "migrate", "--datastore-engine", "sqlite", "--datastore-uri", f.uri) //nolint:gosec // as in start
	migrate.Env = environ()
	if out, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("openfga migrate: %w: %s", err, out)
	}
	return f, f.start(ctx, program, dir)
}

// StartOpenFGACached starts a second server on the database of the first, with
// the caches on that OpenFGA leaves off: answers may then be 10 s old.
func StartOpenFGACached(ctx context.Context, program, dir string, first *OpenFGA) (*OpenFGA, error) {
	f := &OpenFGA{name: "OpenFGA, caches on", world: first.world, uri: first.uri, store: first.store, model: first.model}
	return f, f.start(ctx, program, dir, "--check-query-cache-enabled", "--check-iterator-cache-enabled", "--list-objects-iterator-cache-enabled",
		"--shared-iterator-enabled", "--check-cache-limit", "100000")
}

func (f *OpenFGA) start(ctx context.Context, program, dir string, more ...string) error {
	var ports [2]int
	for i := range ports {
		p, err := FreePort(ctx)
		if err != nil {
			return err
		}
		ports[i] = p
	}
	f.url = "http://127.0.0.1:" + strconv.Itoa(ports[0])
	args := append([]string{
		"run", "--datastore-engine", "sqlite", "--datastore-uri", f.uri, "--http-addr", f.url[len("http://"):], "--grpc-addr", "127.0.0.1:" + strconv.Itoa(ports[1]),
		"--playground-enabled=false", "--metrics-enabled=false", "--log-level", "none", "--authn-method", "preshared", "--authn-preshared-keys", fgaKey,
	}, more...)
	p, err := start(ctx, dir, nil, fgaKey, drive.Request{Method: http.MethodGet, URL: f.url + "/healthz"}, program, args...)
	f.process = p
	return err
}

// Name returns how the server is called in tables.
func (f *OpenFGA) Name() string { return f.name }

// Client returns a client that the server knows.
func (f *OpenFGA) Client() *drive.Client { return f.client }

// Memory reads what the system tells of the process.
func (f *OpenFGA) Memory() (now, peak int64) { return f.memory() }

// Stop ends the server.
func (f *OpenFGA) Stop() error { return f.stop() }

// Load makes a new store in the server's database and writes all tuples, 100
// at a time, which is the most that a server allows unless told otherwise.
// One connection writes: on SQLite more of them are slower.
func (f *OpenFGA) Load(ctx context.Context) (int, time.Duration, error) {
	if err := f.newStore(ctx); err != nil {
		return 0, 0, err
	}
	tuples := Tuples(f.world)
	var bodies []drive.Request
	for part := range slices.Chunk(tuples, fgaWriteBatch) {
		bodies = append(bodies, f.write(part))
	}
	began := time.Now()
	for _, r := range bodies {
		if _, err := f.client.Do(ctx, r, nil); err != nil {
			return 0, 0, err
		}
	}
	return len(tuples), time.Since(began), nil
}

func (f *OpenFGA) newStore(ctx context.Context) error {
	b, err := f.client.Do(ctx, drive.Request{Method: http.MethodPost, URL: f.url + "/stores", Body: []byte(`{"name":"bench"}`)}, nil)
	if err != nil {
		return err
	}
	var store struct{ ID string }
	if err := json.Unmarshal(b, &store); err != nil {
		return err
	}
	f.store = store.ID
	model, err := OpenFGAModel()
	if err != nil {
		return err
	}
	b, err = f.client.Do(ctx, drive.Request{Method: http.MethodPost, URL: f.at("authorization-models"), Body: []byte(model)}, nil)
	if err != nil {
		return err
	}
	var m struct {
		ID string `json:"authorization_model_id"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	f.model = m.ID
	return nil
}

func (f *OpenFGA) at(path string) string { return f.url + "/stores/" + f.store + "/" + path }

type object map[string]any

func (f *OpenFGA) post(path string, body object) drive.Request {
	body["authorization_model_id"] = f.model
	return drive.Request{Method: http.MethodPost, URL: f.at(path), Body: mustJSON(body)}
}

func (f *OpenFGA) write(ts []Tuple) drive.Request {
	return f.post("write", object{"writes": object{"tuple_keys": ts}})
}

func fgaTuple(q world.Question) Tuple {
	return Tuple{"user:" + q.Person, relation[q.Level], "repo:" + q.Repo.ID}
}

// Check asks one question.
func (f *OpenFGA) Check(q world.Question) drive.Request {
	r := f.post("check", object{"tuple_key": fgaTuple(q)})
	r.Right = allowed(q.Allowed)
	return r
}

// BatchSize is the most that a server allows unless told otherwise.
func (f *OpenFGA) BatchSize() int { return fgaBatch }

// Batch asks several questions at once.
func (f *OpenFGA) Batch(qs []world.Question) drive.Request {
	checks := make([]object, len(qs))
	yes := 0
	for i, q := range qs {
		checks[i] = object{"correlation_id": "q" + strconv.Itoa(i), "tuple_key": fgaTuple(q)}
		if q.Allowed {
			yes++
		}
	}
	r := f.post("batch-check", object{"checks": checks})
	r.Right = func(b []byte) bool { return bytes.Count(b, isAllowed) == yes }
	r.Unanswered = func(b []byte) bool { return bytes.Contains(b, []byte(`"error":`)) }
	r.Exact = func(b []byte) bool {
		var answer struct {
			Result map[string]struct {
				Allowed *bool `json:"allowed"`
			} `json:"result"`
		}
		if json.Unmarshal(b, &answer) != nil || len(answer.Result) != len(qs) {
			return false
		}
		for i, q := range qs {
			if a := answer.Result["q"+strconv.Itoa(i)].Allowed; a == nil || *a != q.Allowed {
				return false
			}
		}
		return true
	}
	return r
}

// List asks for all that the reader may read.
func (f *OpenFGA) List(rd world.Reader) drive.Request {
	r := f.post("list-objects", object{"user": "user:" + rd.Person, "relation": relation[world.Read], "type": "repo"})
	r.Right = func(b []byte) bool { return bytes.Count(b, []byte(`"repo:`)) == len(rd.Repos) }
	r.Exact = func(b []byte) bool {
		var answer struct{ Objects []string }
		return json.Unmarshal(b, &answer) == nil && sameRepos(answer.Objects, rd.Repos)
	}
	return r
}

// Grant writes one tuple.
func (f *OpenFGA) Grant(person string, r *world.Repo) drive.Request {
	return f.write([]Tuple{{"user:" + person, relation[world.Read], "repo:" + r.ID}})
}

// Revoke deletes it.
func (f *OpenFGA) Revoke(person string, r *world.Repo) drive.Request {
	return f.post("write", object{"deletes": object{"tuple_keys": []Tuple{{"user:" + person, relation[world.Read], "repo:" + r.ID}}}})
}
