package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"trellis/graph/manifest"
)

// marks are how a plan is drawn.
var marks = map[manifest.Action]struct{ sign, colour string }{
	manifest.Create:    {"+", "\x1b[32m"},
	manifest.Change:    {"~", "\x1b[33m"},
	manifest.Delete:    {"-", "\x1b[31m"},
	manifest.Release:   {"·", ""},
	manifest.Unchanged: {"=", ""},
}

// coloured tells whether a person looks at the output who has nothing against colours.
func (a *app) coloured() bool {
	f, ok := a.stdout.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.env("NO_COLOR") == ""
}

// printPlan tells what was done, or would be.
func (a *app) printPlan(ans *manifestAnswer, o applyOptions) {
	colours := a.coloured()
	var b strings.Builder
	for i := range ans.Plan {
		it := &ans.Plan[i]
		if it.Action == manifest.Unchanged && !o.all {
			continue
		}
		line := marks[it.Action].sign + " " + it.Kind + " " + it.Name
		if c := marks[it.Action].colour; colours && c != "" {
			line = c + line + "\x1b[0m"
		}
		b.WriteString(line)
		if it.Drift {
			b.WriteString("  (drift: changed by somebody else)")
		}
		if it.Action == manifest.Release {
			b.WriteString("  (declared by another set: it stays)")
		}
		b.WriteByte('\n')
		for _, c := range it.Changes {
			b.WriteString("    " + c.Field + ": " + change(c) + "\n")
		}
	}
	b.WriteString(summary(ans, o))
	fmt.Fprint(a.stdout, b.String())
}

// change writes a field before and after.
func change(c manifest.FieldChange) string {
	switch {
	case c.Before == nil:
		return "+ " + inShort(c.After)
	case c.After == nil:
		return "- " + inShort(c.Before)
	}
	return inShort(c.Before) + " -> " + inShort(c.After)
}

// inShort writes a value in one line of bounded length.
func inShort(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	const most = 120
	if r := []rune(string(b)); len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(b)
}

func summary(ans *manifestAnswer, o applyOptions) string {
	c := ans.Counts
	verbs := []string{"created", "changed", "deleted"}
	if o.plan {
		verbs = []string{"to create", "to change", "to delete"}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "set %s: %d %s, %d %s, %d %s, %d unchanged", o.set, c.Create, verbs[0], c.Change, verbs[1], c.Delete, verbs[2], c.Unchanged)
	if c.Drift > 0 {
		fmt.Fprintf(&b, ", %d drifted", c.Drift)
	}
	if c.Adopt > 0 {
		fmt.Fprintf(&b, ", %d there before", c.Adopt)
	}
	if c.Release > 0 {
		fmt.Fprintf(&b, ", %d left to other sets", c.Release)
	}
	b.WriteByte('\n')
	if c.Orphans > 0 {
		fmt.Fprintf(&b, "%d declared before are not any more; --prune deletes them\n", c.Orphans)
	}
	switch {
	case !ans.Changed:
		b.WriteString("nothing needs changing\n")
	case !o.plan:
		fmt.Fprintf(&b, "revision %s\n", ans.Revision)
	}
	return b.String()
}
