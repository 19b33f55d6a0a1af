package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"trellis/cmd/trellis/client"
)

// checkAnswer is what the API says to one check.
type checkAnswer struct {
	Allowed  bool   `json:"allowed"`
	Revision string `json:"revision"`
	Stale    bool   `json:"stale,omitempty"`
}

// maxChecks is how many checks go into one request.
const maxChecks = 1000

func (a *app) checkCommand() *cobra.Command {
	var file string
	var s shorthand
	c := &cobra.Command{
		Use:   "check SUBJECT PERMISSION RESOURCE | check -f FILE",
		Short: "May this subject do this to that resource?",
		Long: `Ask whether a subject holds a permission on a resource. The exit code is 0 for
allowed, 1 for denied and 2 for an error.

With -f many questions are asked: FILE (- for standard input) holds a JSON
object a line, with "subject", "permission" and "resource". Where a line also
has "allowed", the answer is compared with it: what differs is printed, and
the exit code is 0 if nothing does and 1 otherwise. Without it, the exit code
is 0 if everything is allowed.`,
		Example: `  trellis check user:ann repo:write repo:kubernetes/kubernetes
  trellis check -f questions.jsonl
  trellis check -f decisions-sample.jsonl --subject-type user --resource-type repo --permission-prefix repo:`,
		Args: func(c *cobra.Command, args []string) error {
			if file != "" {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(3)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			if file != "" {
				return a.checkFile(c.Context(), cl, file, s)
			}
			q := question{Subject: args[0], Permission: args[1], Resource: args[2]}
			s.complete(&q)
			return a.checkOne(c.Context(), cl, q)
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "", "ask every question of this file of JSON lines")
	f.StringVar(&s.subjectType, "subject-type", "", "type of subjects that are given without one")
	f.StringVar(&s.resourceType, "resource-type", "", "type of resources that are given without one")
	f.StringVar(&s.permissionPrefix, "permission-prefix", "", "what to put before permissions that do not start with it, such as repo:")
	return a.jsonFlag(c)
}

func (a *app) checkOne(ctx context.Context, cl *client.Client, q question) error {
	var ans checkAnswer
	if err := cl.Post(ctx, "/api/v1/access/check", q, &ans); err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(ans); err != nil {
			return err
		}
	} else {
		word := "denied"
		if ans.Allowed {
			word = "allowed"
		}
		if ans.Stale {
			word += " (stale: the graph store cannot be reached)"
		}
		fmt.Fprintln(a.stdout, word)
	}
	if !ans.Allowed {
		return errDenied
	}
	return nil
}

// tally is what came of many checks.
type tally struct {
	Checks     int `json:"checks"`
	Allowed    int `json:"allowed"`
	Denied     int `json:"denied"`
	Compared   int `json:"compared"`
	Mismatches int `json:"mismatches"`
}

// checkFile asks in batches as it reads, so that any number of questions fits.
func (a *app) checkFile(ctx context.Context, cl *client.Client, file string, s shorthand) error {
	in, closeFile, err := a.open(file)
	if err != nil {
		return err
	}
	defer closeFile()
	var t tally
	var batch []question
	var lines []int
	b := a.progress("checks", -1)
	flush := func() error {
		if err := a.checkBatch(ctx, cl, batch, lines, &t); err != nil {
			return err
		}
		b.set(t.Checks)
		batch, lines = batch[:0], lines[:0]
		return nil
	}
	err = readQuestions(in, s, func(line int, q question) error {
		batch, lines = append(batch, q), append(lines, line)
		if len(batch) == maxChecks {
			return flush()
		}
		return nil
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	b.done()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return a.report(t)
}

func (a *app) report(t tally) error {
	if a.json {
		if err := json.NewEncoder(a.stdout).Encode(t); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "%d checks: %d allowed, %d denied", t.Checks, t.Allowed, t.Denied)
		if t.Compared > 0 {
			fmt.Fprintf(a.stdout, "; %d compared, %d mismatches", t.Compared, t.Mismatches)
		}
		fmt.Fprintln(a.stdout)
	}
	if t.Mismatches > 0 || t.Compared == 0 && t.Denied > 0 {
		return errDenied
	}
	return nil
}

func (a *app) checkBatch(ctx context.Context, cl *client.Client, batch []question, lines []int, t *tally) error {
	type item struct {
		Subject    string `json:"subject,omitempty"`
		Permission string `json:"permission"`
		Resource   string `json:"resource"`
	}
	in := struct {
		Checks []item `json:"checks"`
	}{}
	for _, q := range batch {
		in.Checks = append(in.Checks, item{q.Subject, q.Permission, q.Resource})
	}
	var out struct {
		Results []struct {
			Allowed bool `json:"allowed"`
		} `json:"results"`
	}
	if err := cl.Post(ctx, "/api/v1/access/checks", in, &out); err != nil {
		var p *client.Problem
		if errors.As(err, &p) && len(batch) > 0 {
			return fmt.Errorf("in lines %d to %d: %w", lines[0], lines[len(lines)-1], err)
		}
		return err
	}
	if len(out.Results) != len(batch) {
		return fmt.Errorf("the server gave %d answers to %d questions", len(out.Results), len(batch))
	}
	for i, r := range out.Results {
		a.judge(t, lines[i], batch[i], r.Allowed)
	}
	return nil
}

// judge counts one answer and prints it if it is not what was expected, or if
// nothing was.
func (a *app) judge(t *tally, line int, q question, allowed bool) {
	t.Checks++
	word := "denied"
	if allowed {
		t.Allowed++
		word = "allowed"
	} else {
		t.Denied++
	}
	if q.Allowed == nil {
		if a.json {
			q.Allowed = &allowed
			_ = json.NewEncoder(a.stdout).Encode(q) // a closed pipe shows at the end
			return
		}
		fmt.Fprintf(a.stdout, "%-7s  %s %s %s\n", word, q.Subject, q.Permission, q.Resource)
		return
	}
	t.Compared++
	if *q.Allowed != allowed {
		t.Mismatches++
		fmt.Fprintf(a.stderr, "line %d: %s %s %s is %s, not as expected\n", line, q.Subject, q.Permission, q.Resource, word)
	}
}

// open opens a file for reading, "-" being standard input.
func (a *app) open(name string) (io.Reader, func(), error) {
	if name == "-" {
		return a.stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close() }, nil
}
