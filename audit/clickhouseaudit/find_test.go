package clickhouseaudit_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/audit"
)

// Of a busy actor within a small organization, much would have to be read to find little. The answer is
// the same wherever it is looked for, and on every page.
func TestWhatIsMuchToReadIsFoundByHours(t *testing.T) {
	const rows = 20_000
	c := newCompany(t, rows, false)
	rec := c.sink.Record()
	places := func(much int, q audit.Query) (list []audit.Position, byHours bool) {
		t.Helper()
		c.sink.Much(much)
		rec.Asked = nil
		if err := c.sink.Find(t.Context(), q, func(r audit.Record) error {
			h := r.Meta()
			list = append(list, audit.Position{Time: h.Time, Writer: h.Writer, Seq: h.Seq})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, asked := range rec.Asked {
			byHours = byHours || strings.Contains(asked.Text, "event_hours")
		}
		return list, byHours
	}
	for _, where := range [][]audit.Match{
		{match("actor", "user:1"), match("within", "organization:1")},
		{match("actor", "user:1"), match("within", "organization:30")},
		{match("actor", "user:1"), match(audit.About, "repo:1")},
		{match(audit.About, "repo:1"), match("within", "organization:1"), match("outcome", audit.Denied)},
		{match("actor", "nobody"), match("within", "organization:1")},
	} {
		for _, limit := range []int{0, 50} {
			q := audit.Query{Stream: audit.Events, Where: where, Limit: limit}
			want, byHours := places(rows, q)
			if byHours {
				t.Errorf("%v is looked for by hours", where)
			}
			got, byHours := places(1, q)
			if !byHours && len(want) > 0 {
				t.Errorf("%v is not looked for by hours", where)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v: -together +by hours\n%s", where, diff)
			}
		}
	}
}
