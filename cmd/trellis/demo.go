package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"text/template"
	"time"

	"trellis/cmd/trellis/client"
	"trellis/cmd/trellis/config"
	kubernetesorg "trellis/testdata/kubernetes-org"
)

// demo serves a graph of its own, in a directory that goes away with it. Only
// the address is taken from the settings.
func (a *app) demo(ctx context.Context) (err error) {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trellis-demo-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	env := map[string]string{"TRELLIS_LISTEN": cfg.Listen, "TRELLIS_DATA": dir, "TRELLIS_LOG_LEVEL": "warn", "TRELLIS_AUDIT_DECISIONS": "1"}
	if cfg, err = config.Load(func(n string) string { return env[n] }, nil, ""); err != nil {
		return err
	}
	var filling sync.WaitGroup
	defer filling.Wait()
	return a.serve(ctx, cfg, func(ctx context.Context, s *server, token string) error {
		// The server answers only once this has returned.
		filling.Go(func() { a.fillDemo(ctx, s, token) })
		return nil
	})
}

// demoPatience is how long the demo waits for its audit log.
const demoPatience = 15 * time.Second

// fillDemo loads the organizations as `trellis load github-org` does.
func (a *app) fillDemo(ctx context.Context, s *server, token string) {
	cl, err := client.New(s.url, token, "trellis/"+version())
	if err != nil {
		s.log.Error("the demo cannot be loaded", "error", err)
		return
	}
	defer cl.Close()
	start := time.Now()
	if err := a.loadGithub(ctx, cl, kubernetesorg.Files, "kubernetes-org", loadOptions{projects: true}); ctx.Err() != nil {
		return // told to stop before it was done
	} else if err != nil {
		s.log.Error("the demo cannot be loaded", "error", err)
		return
	}
	took := time.Since(start)
	// Whoever asks the audit log at once shall find it filled.
	told, done := context.WithTimeout(ctx, demoPatience)
	defer done()
	if err := s.audit.changes.Flush(told); err != nil && ctx.Err() == nil {
		s.log.Warn("the audit log is not filled yet", "error", err)
	}
	command := "trellis"
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		command = "go run ./cmd/trellis"
	}
	err = demoText.Execute(a.stdout, map[string]any{
		"URL": s.url, "Token": token, "Trellis": command, "Took": took.Round(10 * time.Millisecond),
	})
	if err != nil {
		s.log.Error("the demo cannot be explained", "error", err)
	}
}

var demoText = template.Must(template.New("demo").Parse(`
The GitHub organizations of the Kubernetes project are loaded ({{.Took}}).
The server runs at {{.URL}} until you press Ctrl-C; nothing of it is kept.
In another terminal:

  export TRELLIS_URL={{.URL}}
  export TRELLIS_TOKEN={{.Token}}

1. May this member write to kubespray?
  {{.Trellis}} check user:member-1501 repo:write repo:kubernetes-sigs/kubespray
  curl -s $TRELLIS_URL/api/v1/access/check -H "Authorization: Bearer $TRELLIS_TOKEN" -H 'Content-Type: application/json' \
    -d '{"subject":"user:member-1501","permission":"repo:write","resource":"repo:kubernetes-sigs/kubespray"}'

2. Why?
  {{.Trellis}} explain user:member-1501 repo:write repo:kubernetes-sigs/kubespray
  curl -s $TRELLIS_URL/api/v1/access/explain -H "Authorization: Bearer $TRELLIS_TOKEN" -H 'Content-Type: application/json' \
    -d '{"subject":"user:member-1501","permission":"repo:write","resource":"repo:kubernetes-sigs/kubespray"}'

3. Why may this one not triage signalhound?
  {{.Trellis}} explain user:member-1147 repo:triage repo:kubernetes-sigs/signalhound
  curl -s $TRELLIS_URL/api/v1/access/explain -H "Authorization: Bearer $TRELLIS_TOKEN" -H 'Content-Type: application/json' \
    -d '{"subject":"user:member-1147","permission":"repo:triage","resource":"repo:kubernetes-sigs/signalhound"}'

4. Who can administer etcd?
  {{.Trellis}} who-can repo:admin repo:etcd-io/etcd --type user
  curl -s "$TRELLIS_URL/api/v1/access/subjects?permission=repo:admin&resource=repo:etcd-io/etcd&type=user" -H "Authorization: Bearer $TRELLIS_TOKEN"

5. What can this member write to?
  {{.Trellis}} can user:member-1501 repo:write
  curl -s "$TRELLIS_URL/api/v1/access/resources?subject=user:member-1501&permission=repo:write&type=repo" -H "Authorization: Bearer $TRELLIS_TOKEN"

6. Who did what, and who was refused?
  {{.Trellis}} audit query --about repo:kubernetes-sigs/kubespray
  {{.Trellis}} audit tail --stream decisions
  curl -s "$TRELLIS_URL/api/v1/audit/events?about=repo:kubernetes-sigs/kubespray&limit=3" -H "Authorization: Bearer $TRELLIS_TOKEN"

7. Which projects do the teams of sig-network own, and where is anything about etcd?
  curl -s "$TRELLIS_URL/api/v1/organizations/kubernetes-sigs/projects?tag=sig-network&facets=team" -H "Authorization: Bearer $TRELLIS_TOKEN"
  curl -s "$TRELLIS_URL/api/v1/search?q=etcd" -H "Authorization: Bearer $TRELLIS_TOKEN"

8. What does somebody look like who never sent a picture? Let that be the icon of an organization.
  {{.Trellis}} icon user:member-1501 -o member-1501.webp
  {{.Trellis}} icon organization:etcd-io member-1501.webp
  curl -s "$TRELLIS_URL/api/v1/users/member-1501/avatar?size=128" -H "Authorization: Bearer $TRELLIS_TOKEN" -o member-1501.webp
  curl -s -X PUT $TRELLIS_URL/api/v1/organizations/etcd-io/icon -H "Authorization: Bearer $TRELLIS_TOKEN" -F file=@member-1501.webp

The API is described at {{.URL}}/docs.
`))
