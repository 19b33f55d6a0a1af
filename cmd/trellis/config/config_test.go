package config_test

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/cmd/trellis/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

func load(t *testing.T, vars map[string]string, file string) (*config.Config, error) {
	t.Helper()
	names := []string{}
	for n := range vars {
		names = append(names, n)
	}
	return config.Load(func(n string) string { return vars[n] }, names, file)
}

func TestDefaultsAreEnough(t *testing.T) {
	c, err := load(t, map[string]string{"HOME": "/home/ann"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "/home/ann/.local/share/trellis" || c.GraphPath() != c.Data+"/graph.db" || !c.Embedded() {
		t.Errorf("data %s, graph %s", c.Data, c.GraphURL)
	}
	if c.Listen != "127.0.0.1:8080" || c.LogLevel != slog.LevelInfo || c.MaxBody != 1<<20 || c.ReadTimeout != 30*time.Second || !c.Metrics {
		t.Errorf("got %+v", c)
	}
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trellis.env")
	text := "# comment\nTRELLIS_LISTEN = '8080'\nTRELLIS_MAXBODY=1\nnonsense\nTRELLIS_METRICS=maybe\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := load(t, map[string]string{
		"TRELLIS_DATA": file, "TRELLIS_GRAPH_URL": "postgres://x", "TRELLIS_SECRET_KEY": "hush-hush", "TRELLIS_LOG_LEVEL": "loud",
		"TRELLIS_READ_TIMEOUT": "30", "TRELLIS_LOGLEVEL": "debug", "TRELLIS_TOKEN": "x", "TRELLIS_TEST_X": "y", "TRELLIS_PORT": "tcp://10.0.0.1:80", "TRELLIS_PORT_80_TCP_ADDR": "10.0.0.1", "TRELLIS_SERVICE_HOST": "10.0.0.1", "TRELLIS_SERVICES_DIR": "/x",
	}, file)
	want := []string{
		file + `:3: "TRELLIS_MAXBODY" is not a setting; did you mean TRELLIS_MAX_BODY?`,
		file + `:4: want NAME=VALUE`,
		`TRELLIS_LOGLEVEL is not a setting; did you mean TRELLIS_LOG_LEVEL?`,
		`TRELLIS_LISTEN (from ` + file + `) is "8080": want HOST:PORT`,
		`TRELLIS_DATA (from environment) is "` + file + `": it is a file`,
		`TRELLIS_GRAPH_URL (from environment) is "postgres://x": want sqlite:PATH`,
		`TRELLIS_SECRET_KEY (from environment) is of 9 characters: want 32 characters or more`,
		`TRELLIS_LOG_LEVEL (from environment) is "loud": want debug, info, warn or error`,
		`TRELLIS_READ_TIMEOUT (from environment) is "30": want a time such as`,
		`TRELLIS_METRICS (from ` + file + `) is "maybe": want true or false`,
	}
	lines := strings.Split(err.Error(), "\n")
	for i, w := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], w) {
			t.Fatalf("line %d: got\n%v\nwant %s", i, err, w)
		}
	}
	if len(lines) != len(want) || strings.Contains(err.Error(), "hush") {
		t.Errorf("got\n%v", err)
	}
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trellis.env")
	if err := os.WriteFile(file, []byte("export TRELLIS_LISTEN=:1\nTRELLIS_DATA=\"/d\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, map[string]string{"TRELLIS_LISTEN": ":2", "TRELLIS_CONFIG": file}, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":2" || c.GraphURL != "sqlite:/d/graph.db" {
		t.Errorf("listen %s, graph %s", c.Listen, c.GraphURL)
	}
	if v := c.Values(); v[1].Source != "environment" || v[2].Source != file || v[3].Source != "default" {
		t.Errorf("got %+v", v)
	}
}

func TestASecretIsNeverShown(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	c, err := load(t, map[string]string{
		"TRELLIS_SECRET_KEY": secret, "TRELLIS_BOOTSTRAP_KEY": secret, "TRELLIS_GRAPH_URL": "neo4j://neo4j:" + secret + "@db:7687",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Values() {
		if strings.Contains(v.Text, secret) {
			t.Errorf("%s shows its secret", v.Name)
		}
		if v.Name == "TRELLIS_GRAPH_URL" && v.Text != "neo4j://neo4j:********@db:7687" {
			t.Errorf("got %s", v.Text)
		}
	}
}

func TestAMalformedAddressDoesNotShowItsPassword(t *testing.T) {
	for _, u := range []string{"postgres://u:hush@h", "bolt:/u:hush@h", "u:hush@h", "bolt://u:hu@sh:hush@"} {
		_, err := load(t, map[string]string{"TRELLIS_GRAPH_URL": u}, "")
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v", u, err)
		}
	}
}

func TestAServersGraphNeedsTheSecret(t *testing.T) {
	_, err := load(t, map[string]string{"TRELLIS_GRAPH_URL": "bolt://neo4j:x@db:7687"}, "")
	if err == nil || !strings.Contains(err.Error(), "TRELLIS_SECRET_KEY is not set") {
		t.Errorf("got %v", err)
	}
}

func TestDocumentationIsThatOfTheProgram(t *testing.T) {
	const page = "../../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(page, []byte(config.Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(config.Markdown(), string(got)); d != "" {
		t.Errorf("rewrite it with -update:\n%s", d)
	}
	for _, s := range config.Settings {
		if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: the documentation must be a sentence", s.Name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("TRELLIS_LISTEN=:1\n#x\nTRELLIS_DATA='a b'")
	f.Add("=\n==\n'")
	f.Fuzz(func(t *testing.T, text string) {
		m, _ := config.Parse("f", []byte(text))
		for k := range m {
			if !strings.HasPrefix(k, "TRELLIS_") {
				t.Errorf("read %q", k)
			}
		}
	})
}

func TestDaysInTheTrash(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 30 * 24 * time.Hour, "7": 7 * 24 * time.Hour, "0": -1} {
		c, err := config.Load(func(name string) string {
			return map[string]string{"TRELLIS_DATA": t.TempDir(), "TRELLIS_TRASH_DAYS": text}[name]
		}, nil, "")
		if err != nil || c.Trash != want {
			t.Errorf("%q: %v (%v), want %v", text, c.Trash, err, want)
		}
	}
	for _, text := range []string{"-1", "30d", "100000"} {
		if _, err := config.Load(func(name string) string {
			return map[string]string{"TRELLIS_DATA": t.TempDir(), "TRELLIS_TRASH_DAYS": text}[name]
		}, nil, ""); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
