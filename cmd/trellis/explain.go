package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// explained is what the API says to an explain.
type explained struct {
	Allowed bool   `json:"allowed"`
	Summary string `json:"summary"`
	Reason  string `json:"reason"`
	Path    []struct {
		From      string     `json:"from"`
		Kind      string     `json:"kind"`
		To        string     `json:"to"`
		Role      string     `json:"role"`
		ExpiresAt *time.Time `json:"expires_at"`
		Expired   bool       `json:"expired"`
	} `json:"path"`
	Has       []holding `json:"has"`
	Holders   []holding `json:"holders"`
	Roles     []string  `json:"roles"`
	Truncated bool      `json:"truncated"`
}

type holding struct {
	Holder   string   `json:"holder"`
	Resource string   `json:"resource"`
	Role     string   `json:"role"`
	Actions  []string `json:"actions"`
	Gives    []string `json:"gives"`
}

func (a *app) explainCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "explain SUBJECT PERMISSION RESOURCE", Short: "Say why this subject may or may not do this", Args: cobra.ExactArgs(3),
		Long:    "Check, and say why: of a yes the path that gives it, of a no what is missing,\nwhat the subject does have there, and who has what was asked for. The exit code\nis that of check.",
		Example: "  trellis explain user:ann repo:write repo:kubernetes/kubernetes",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			defer cl.Close()
			var raw json.RawMessage
			if err := cl.Post(c.Context(), "/api/v1/access/explain", question{Subject: args[0], Permission: args[1], Resource: args[2]}, &raw); err != nil {
				return err
			}
			var x explained
			if err := json.Unmarshal(raw, &x); err != nil {
				return fmt.Errorf("the answer cannot be read: %w", err)
			}
			if a.json {
				err = a.printJSON(raw)
			} else {
				err = a.printExplained(&x)
			}
			if err == nil && !x.Allowed {
				err = errDenied
			}
			return err
		},
	})
}

func (a *app) printExplained(x *explained) error {
	word := "denied"
	if x.Allowed {
		word = "allowed"
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", word, x.Summary)
	if len(x.Path) > 0 {
		fmt.Fprintln(a.stdout)
		var rows [][]string
		for _, s := range x.Path {
			how := s.Kind
			if s.Role != "" {
				how += " as " + s.Role
			}
			if s.ExpiresAt != nil {
				word := "until"
				if s.Expired {
					word = "expired"
				}
				how += fmt.Sprintf(" (%s %s)", word, s.ExpiresAt.Format(time.RFC3339))
			}
			rows = append(rows, []string{s.From, how, s.To})
		}
		if err := a.table([]string{"FROM", "EDGE", "TO"}, rows); err != nil {
			return err
		}
	}
	if err := a.holdings("What the subject has there:", x.Has); err != nil {
		return err
	}
	if err := a.holdings("Who has what was asked for:", x.Holders); err != nil {
		return err
	}
	if len(x.Roles) > 0 {
		fmt.Fprintf(a.stdout, "\nRoles that would do: %s\n", strings.Join(x.Roles, ", "))
	}
	if x.Truncated {
		fmt.Fprintln(a.stdout, "\nThere is more; the lists were cut.")
	}
	return nil
}

func (a *app) holdings(title string, list []holding) error {
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintf(a.stdout, "\n%s\n", title)
	var rows [][]string
	for _, h := range list {
		what := h.Role
		if what == "" {
			what = strings.Join(h.Actions, " ")
		}
		rows = append(rows, []string{h.Holder, what, h.Resource})
	}
	return a.table([]string{"HOLDER", "ROLE", "ON"}, rows)
}
