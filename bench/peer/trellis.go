package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"time"

	"trellis/bench/drive"
	"trellis/bench/world"
)

// Trellis is a server of Trellis.
type Trellis struct {
	*process
	name    string
	program string
	url     string
	data    string // directory of the world
	world   *world.World
}

const (
	trellisKey   = "a-bootstrap-key-of-the-benchmark-0123456789"
	trellisBatch = 100
)

// TrellisAccount is on whose behalf the client calls: an administrator.
const TrellisAccount = "service_account:bootstrap"

var _ Peer = (*Trellis)(nil)

// StartTrellis starts a server whose data is kept in dir, or, if graphURL is
// set, in that store. data is where the world was read from: Trellis loads it
// by itself.
func StartTrellis(ctx context.Context, program, dir, graphURL, data string, w *world.World) (*Trellis, error) {
	port, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	t := &Trellis{name: "Trellis", program: program, url: "http://127.0.0.1:" + strconv.Itoa(port), data: data, world: w}
	env := []string{
		"TRELLIS_LISTEN=" + t.url[len("http://"):], "TRELLIS_DATA=" + dir, "TRELLIS_BOOTSTRAP_KEY=" + trellisKey,
		"TRELLIS_SECRET_KEY=" + trellisKey, "TRELLIS_LOG_LEVEL=warn",
	}
	if graphURL != "" {
		t.name = "Trellis on Neo4j"
		env = append(env, "TRELLIS_GRAPH_URL="+graphURL)
	}
	ready := drive.Request{
		Method: http.MethodPost, URL: t.url + "/api/v1/access/check", Right: allowed(true),
		Body: mustJSON(object{"permission": "organization:create", "resource": "platform:root"}),
	}
	t.process, err = start(ctx, dir, env, trellisKey, ready, program, "serve")
	return t, err
}

// Name returns how the server is called in tables.
func (t *Trellis) Name() string { return t.name }

// URL is where the server listens.
func (t *Trellis) URL() string { return t.url }

// Client returns a client that the server knows.
func (t *Trellis) Client() *drive.Client { return t.client }

// Memory reads what the system tells of the process.
func (t *Trellis) Memory() (now, peak int64) { return t.memory() }

// Stop ends the server.
func (t *Trellis) Stop() error { return t.stop() }

// Load runs `trellis load github-org`: the time includes that program's start
// and its reading of the files.
func (t *Trellis) Load(ctx context.Context) (int, time.Duration, error) {
	load := exec.CommandContext(ctx, t.program, "load", "github-org", t.data) //nolint:gosec // as in start
	load.Env = append(environ(), "TRELLIS_URL="+t.url, "TRELLIS_TOKEN="+trellisKey)
	began := time.Now()
	if out, err := load.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("trellis load: %w: %s", err, out)
	}
	return t.world.Elements(), time.Since(began), nil
}

type trellisQuestion struct {
	Subject    string `json:"subject"`
	Permission string `json:"permission"`
	Resource   string `json:"resource"`
}

func ask(q world.Question) trellisQuestion {
	return trellisQuestion{"user:" + q.Person, "repo:" + q.Level.String(), "repo:" + q.Repo.ID}
}

// Check asks one question.
func (t *Trellis) Check(q world.Question) drive.Request {
	return drive.Request{Method: http.MethodPost, URL: t.url + "/api/v1/access/check", Body: mustJSON(ask(q)), Right: allowed(q.Allowed)}
}

// BatchSize is that of the budget; the server allows 1,000.
func (t *Trellis) BatchSize() int { return trellisBatch }

// Batch asks several questions at once.
func (t *Trellis) Batch(qs []world.Question) drive.Request {
	checks := make([]trellisQuestion, len(qs))
	want := make([]bool, len(qs))
	yes := 0
	for i, q := range qs {
		checks[i], want[i] = ask(q), q.Allowed
		if q.Allowed {
			yes++
		}
	}
	return drive.Request{
		Method: http.MethodPost, URL: t.url + "/api/v1/access/checks", Body: mustJSON(object{"checks": checks}),
		Right: func(b []byte) bool { return bytes.Count(b, isAllowed) == yes },
		Exact: func(b []byte) bool {
			var answer struct {
				Results []struct {
					Allowed *bool `json:"allowed"`
				} `json:"results"`
			}
			if json.Unmarshal(b, &answer) != nil || len(answer.Results) != len(want) {
				return false
			}
			for i, r := range answer.Results {
				if r.Allowed == nil || *r.Allowed != want[i] {
					return false
				}
			}
			return true
		},
	}
}

// List asks for all that the reader may read, in one answer.
func (t *Trellis) List(rd world.Reader) drive.Request {
	query := url.Values{"subject": {"user:" + rd.Person}, "permission": {"repo:read"}, "type": {"repo"}, "limit": {"1000"}}
	return drive.Request{
		Method: http.MethodGet, URL: t.url + "/api/v1/access/resources?" + query.Encode(),
		Right: func(b []byte) bool { return bytes.Count(b, []byte(`"repo:`)) == len(rd.Repos) },
		Exact: func(b []byte) bool {
			var answer struct {
				Items []string `json:"items"`
			}
			return json.Unmarshal(b, &answer) == nil && sameRepos(answer.Items, rd.Repos)
		},
	}
}

// Grant gives the role that lets read.
func (t *Trellis) Grant(person string, r *world.Repo) drive.Request {
	return drive.Request{Method: http.MethodPut, URL: t.url + "/api/v1/grants", Body: mustJSON(object{
		"subject": "user:" + person, "resource": "repo:" + r.ID, "role": "repo-read",
	})}
}

// Revoke takes it back.
func (t *Trellis) Revoke(person string, r *world.Repo) drive.Request {
	query := url.Values{"subject": {"user:" + person}, "resource": {"repo:" + r.ID}, "role": {"repo-read"}}
	return drive.Request{Method: http.MethodDelete, URL: t.url + "/api/v1/grants?" + query.Encode()}
}
