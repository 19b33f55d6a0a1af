package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"trellis/graph"
	"trellis/graph/permission"
)

// Explained answers a question and says why.
type Explained struct {
	Allowed bool     `json:"allowed"`
	Summary string   `json:"summary" doc:"The reason in words"`
	Reason  string   `json:"reason,omitempty" enum:"subject_unknown,resource_unknown,subject_inactive,permission_unknown,expired,insufficient,no_grant" doc:"Of a no: the first thing that is amiss"`
	Path    []Step   `json:"path,omitempty" doc:"Of a yes: the edges that give it, from the subject to the resource, then from the role to the permission. With reason expired: the edges that gave it" nullable:"false"`
	Granted string   `json:"granted,omitempty" doc:"The name under which the permission was granted: itself or a wildcard"`
	Has     []Held   `json:"has,omitempty" doc:"Of a no: what the subject does have on the resource" nullable:"false"`
	Holders []Held   `json:"holders,omitempty" doc:"Of a no: who has what is asked for; being in one of these sets would do" nullable:"false"`
	Roles   []string `json:"roles,omitempty" doc:"Of a no: roles that would do" nullable:"false"`
	// Truncated tells that a list was cut.
	Truncated bool `json:"truncated,omitempty" doc:"A list was cut"`
	Freshness
}

// Step is one edge of a path.
type Step struct {
	From      graph.Ref  `json:"from"`
	Kind      graph.Kind `json:"kind" enum:"MEMBER_OF,CAN_ACCESS,CHILD_OF,INHERITS,GRANTS"`
	To        graph.Ref  `json:"to"`
	Role      string     `json:"role,omitempty" doc:"Of a grant: the id of its role"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Expired   bool       `json:"expired,omitempty"`
}

// Held is one grant.
type Held struct {
	Holder   graph.Ref `json:"holder"`
	Resource graph.Ref `json:"resource"`
	Role     string    `json:"role,omitempty"`
	Actions  []string  `json:"actions,omitempty" nullable:"false"`
	Gives    []string  `json:"gives,omitempty" doc:"The permissions this amounts to, some of them if there are many" nullable:"false"`
}

func explain(c *call) error {
	var in CheckInput
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := c.freshen(in.Consistency); err != nil {
		return revisionProblem(err, Fault{Pointer: "/consistency/revision"})
	}
	q := &in.Question
	if _, err := c.ask("explain", q); err != nil {
		return err
	}
	x := c.view.Explain(q.Subject, q.Permission, q.Resource, c.now)
	inspects := c.inspect(q.Resource) == nil
	if !inspects && !x.Allowed && !c.visible(q.Resource) {
		// Whoever may not see it must not learn that it is there.
		x = permission.Explanation{Revision: x.Revision, Reason: permission.ReasonResourceUnknown}
	}
	out := Explained{Allowed: x.Allowed, Reason: string(x.Reason), Granted: x.Granted, Has: held(x.Has), Truncated: x.Truncated, Freshness: c.freshness()}
	out.Path = steps(x.Path)
	if inspects {
		out.Holders, out.Roles = held(x.Holders), x.Roles
	}
	out.Summary = summary(q, &out)
	return c.json(http.StatusOK, out)
}

func steps(path []permission.Hop) []Step {
	var out []Step
	for _, h := range path {
		s := Step{From: h.From, Kind: h.Kind, To: h.To, ExpiresAt: millis(h.Expires), Expired: h.Expired}
		if h.Kind == graph.CanAccess {
			s.Role = h.Key
		}
		out = append(out, s)
	}
	return out
}

func held(list []permission.Holding) []Held {
	var out []Held
	for _, h := range list {
		out = append(out, Held{h.Holder, h.Resource, h.Role, h.Actions, h.Gives})
	}
	return out
}

// summary says the answer in a sentence or two.
func summary(q *Question, x *Explained) string {
	may := fmt.Sprintf("%s may not %s on %s: ", q.Subject, q.Permission, q.Resource)
	switch permission.Reason(x.Reason) {
	case "":
		return fmt.Sprintf("%s may %s on %s: %s.", q.Subject, q.Permission, q.Resource, story(x.Path))
	case permission.ReasonSubjectUnknown:
		return may + "there is no such subject."
	case permission.ReasonResourceUnknown:
		return may + "the resource does not exist, or the caller may not see it."
	case permission.ReasonSubjectInactive:
		return may + "the subject is not active."
	case permission.ReasonPermissionUnknown:
		return may + "there is no such permission."
	case permission.ReasonExpired:
		return may + "what gave it has expired (" + story(x.Path) + ")."
	case permission.ReasonInsufficient:
		var has []string
		for _, h := range x.Has {
			has = append(has, with(h.Role)+" on "+h.Resource.String())
		}
		return may + "what the subject has there does not include it (" + strings.Join(has, "; ") + ")."
	}
	return may + "nothing is granted to the subject there, nor to any set it is in, nor on anything above."
}

func with(role string) string {
	if role == "" {
		return "single actions"
	}
	return "role " + role
}

// story tells a path in words.
func story(path []Step) string {
	var b strings.Builder
	for i, s := range path {
		if i > 0 {
			b.WriteString(", and ")
		}
		tell := func(words ...string) {
			for _, w := range words {
				b.WriteString(w)
			}
		}
		switch s.Kind {
		case graph.MemberOf:
			tell(s.From.String(), " is a member of ", s.To.String())
		case graph.CanAccess:
			tell(s.From.String(), " has ", with(s.Role), " on ", s.To.String())
		case graph.ChildOf:
			tell(s.From.String(), " is below ", s.To.String())
		case graph.Inherits:
			tell("role ", s.From.ID, " inherits from role ", s.To.ID)
		case graph.Grants:
			tell("role ", s.From.ID, " grants ", s.To.ID)
		}
		if s.Expired {
			tell(" until ", s.ExpiresAt.Format(time.RFC3339))
		}
	}
	return b.String()
}
