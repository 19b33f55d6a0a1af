package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trellis/cmd/trellis/client"
	"trellis/cmd/trellis/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitDenied = 1
	exitError  = 2
	// exitPending: a plan with changes, if --detailed-exitcode asks for it.
	exitPending = 3
)

// errDenied ends a command with exitDenied and no message.
var errDenied = errors.New("denied")

// errPending ends a command with exitPending and no message.
var errPending = errors.New("changes are pending")

// app is the program: what the outside gave it, and nothing global.
type app struct {
	vars   map[string]string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	config string // --config
	json   bool   // --json
}

// run runs the program and returns its exit code. env holds NAME=VALUE pairs.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{vars: map[string]string{}, stdin: stdin, stdout: stdout, stderr: stderr}
	for _, kv := range env {
		if name, value, ok := strings.Cut(kv, "="); ok {
			a.vars[name] = value
		}
	}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.Is(err, errPending):
		return exitPending
	}
	for _, l := range strings.Split(err.Error(), "\n") {
		if l == "" {
			continue
		}
		fmt.Fprintf(stderr, "trellis: %s\n", l)
	}
	return exitError
}

func (a *app) env(name string) string { return a.vars[name] }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "trellis",
		Short: "Answers who may do what, and why",
		Long: `Trellis answers one question for every other service: may this subject do this
to that resource, and why?

Commands that ask or change something are clients of a running server: they
read its address from TRELLIS_URL and their key from TRELLIS_TOKEN. The
commands serve, setup, export, import, storage and config read TRELLIS_…
settings instead; see docs/configuration.md.

Try it:  trellis serve --demo`,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(
		a.serveCommand(), a.setupCommand(), a.configCommand(), a.exportCommand(), a.importCommand(),
		a.checkCommand(), a.explainCommand(), a.whoCanCommand(), a.canCommand(),
		a.applyCommand(), a.manifestCommand(), a.loadCommand(), a.uploadCommand(), a.uploadsCommand(), a.iconCommand(), a.storageCommand(),
		a.auditCommand(), a.healthCommand(), a.versionCommand(),
	)
	return root
}

// client returns a client by TRELLIS_URL and TRELLIS_TOKEN.
func (a *app) client() (*client.Client, error) {
	return client.New(a.env("TRELLIS_URL"), a.env("TRELLIS_TOKEN"), "trellis/"+version())
}

// jsonFlag adds --json to a command.
func (a *app) jsonFlag(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "write JSON, for programs")
	return c
}

// configFlag adds --config to a command that reads the server's settings.
func (a *app) configFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&a.config, "config", "", "file of settings, instead of TRELLIS_CONFIG")
	return c
}

// settings reads the server's settings.
func (a *app) settings() (*config.Config, error) {
	names := make([]string, 0, len(a.vars))
	for n := range a.vars {
		names = append(names, n)
	}
	return config.Load(a.env, names, a.config)
}

// printJSON writes one value for programs.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows in columns.
func (a *app) table(head []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// bar shows the progress of long work, if somebody is looking.
type bar struct{ p *progressbar.ProgressBar }

// progress starts a bar; all is -1 if it is not known how much there is.
func (a *app) progress(what string, all int) bar {
	f, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return bar{}
	}
	return bar{progressbar.NewOptions(all,
		progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
	)}
}

func (b bar) set(n int) {
	if b.p != nil {
		_ = b.p.Set(n) // a bar that cannot be drawn is no reason to stop
	}
}

func (b bar) grow(all int) {
	if b.p != nil && b.p.GetMax() != all {
		b.p.ChangeMax(all)
	}
}

func (b bar) done() {
	if b.p != nil {
		_ = b.p.Finish() // as above
	}
}

// version names the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "dev"
	}
	return strings.Trim(info.Main.Version, "()")
}

func (a *app) versionCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			v := map[string]string{"version": version(), "go": info.GoVersion}
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" || s.Key == "vcs.time" {
					v[strings.TrimPrefix(s.Key, "vcs.")] = s.Value
				}
			}
			if a.json {
				return a.printJSON(v)
			}
			fmt.Fprintf(a.stdout, "trellis %s (%s)\n", v["version"], v["go"])
			return nil
		},
	})
}

func (a *app) configCommand() *cobra.Command {
	return a.jsonFlag(a.configFlag(&cobra.Command{
		Use: "config", Short: "Print the settings in force, with secrets masked", Args: cobra.NoArgs,
		Long: "Print every setting of the server as it is in force and where it comes from,\nwith secrets masked. Mistakes are reported all at once, as serve does.",
		RunE: func(*cobra.Command, []string) error {
			c, bad := a.settings()
			type value struct {
				Name   string `json:"name"`
				Value  string `json:"value"`
				Source string `json:"source"`
			}
			var values []value
			var rows [][]string
			for _, v := range c.Values() {
				values = append(values, value{v.Name, v.Text, v.Source})
				rows = append(rows, []string{v.Name, v.Text, v.Source})
			}
			if a.json {
				return errors.Join(a.printJSON(values), bad)
			}
			return errors.Join(a.table([]string{"SETTING", "VALUE", "FROM"}, rows), bad)
		},
	}))
}
