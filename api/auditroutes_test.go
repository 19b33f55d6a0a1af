package api_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"trellis/api"
	"trellis/audit"
)

// row is a record as the API shows it.
type row = map[string]any

// listed reads all pages of a list.
func (w *world) listed(as, path string, limit int) (rows []row) {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	cursor := ""
	for range 10_000 {
		a := w.ok(as, "GET", v1+path+sep+"limit="+strconv.Itoa(limit)+cursor, "")
		var page struct {
			Items      []row
			NextCursor string `json:"next_cursor"`
		}
		must(w.t, json.Unmarshal(a.body, &page))
		if len(page.Items) > limit || page.NextCursor != "" && len(page.Items) != limit {
			w.t.Fatalf("%s: a page of %d items, and then %q", path, len(page.Items), page.NextCursor)
		}
		rows = append(rows, page.Items...)
		if page.NextCursor == "" {
			return rows
		}
		cursor = "&cursor=" + page.NextCursor
	}
	w.t.Fatalf("%s has no end", path)
	return nil
}

// exported reads an export, each record as listed shows it.
func (w *world) exported(as, path, media string) (rows []row) {
	w.t.Helper()
	a := w.ok(as, "GET", v1+path, "", "Accept", media)
	if a.header.Get("Content-Type") != media || !strings.Contains(a.header.Get("Content-Disposition"), `attachment; filename="trellis-audit-`) {
		w.t.Fatalf("%v", a.header)
	}
	switch media {
	case "application/x-ndjson":
		for line := range strings.Lines(string(a.body)) {
			var r row
			must(w.t, json.Unmarshal([]byte(line), &r))
			rows = append(rows, r)
		}
	case "text/csv":
		lines, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
		must(w.t, err)
		for _, line := range lines[1:] {
			r := row{}
			for i, name := range lines[0] {
				r[name] = strings.TrimPrefix(line[i], "'")
			}
			rows = append(rows, plainRow(w, r))
		}
	default:
		f, err := parquet.OpenFile(bytes.NewReader(a.body), int64(len(a.body)))
		must(w.t, err)
		rd := parquet.NewReader(f)
		defer rd.Close()
		for range f.NumRows() {
			r := row{}
			must(w.t, rd.Read(&r))
			rows = append(rows, plainRow(w, r))
		}
	}
	return rows
}

// plainRow gives the fields of CSV and Parquet the form they have in JSON.
func plainRow(w *world, r row) row {
	for name, v := range r {
		if list, ok := v.([]string); ok {
			out := []any{}
			for _, s := range list {
				out = append(out, s)
			}
			v = out
		}
		s, isText := v.(string)
		switch {
		case name == "time" && !isText:
			v = time.UnixMilli(v.(int64)).UTC().Format("2006-01-02T15:04:05.000Z")
		case slices.Contains([]string{"seq", "revision", "status", "latency", "weight", "bytes_in", "bytes_out"}, name):
			n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
			must(w.t, err)
			if v = n; n == 0 && name == "revision" {
				v = nil
			}
		case slices.Contains([]string{"within", "before", "after"}, name) && isText && s != "":
			must(w.t, json.Unmarshal([]byte(s), &v))
		case isText && s == "":
			v = nil
		}
		if list, ok := v.([]any); ok && len(list) == 0 {
			v = nil
		}
		if r[name] = v; v == nil {
			delete(r, name)
		}
	}
	return r
}

// soFar is the present time as the parameter to: what happens from now on is not asked for.
func soFar() string { return url.QueryEscape(time.Now().UTC().Format("2006-01-02T15:04:05.000Z")) }

var exports = []string{"application/x-ndjson", "text/csv", "application/vnd.apache.parquet"}

// busy is a world in which something has happened.
func busy(t *testing.T) *world {
	w := audited(t, api.Options{DecisionRate: 1}, &auditing{})
	w.twoTenants()
	for _, s := range everyRoute() {
		w.do(s.as, s.method, s.path, s.body, append(s.header, "User-Agent", `=HYPERLINK("http://x"),'"@`)...)
	}
	for _, org := range []string{"acme", "other"} {
		w.ok("root", "PUT", v1+"/users/"+org+"-auditor", `{}`)
		w.key("user", org+"-auditor")
		w.grant("user:"+org+"-auditor", "auditor", "organization:"+org)
		w.do(org+"-editor", "DELETE", v1+"/organizations/"+org, "")
		w.ok(org+"-owner", "PATCH", v1+"/resources/repo/"+org+"%2Fmain", `{"name":"+1"}`)
		for range 5 {
			w.ok(org+"-owner", "POST", v1+"/access/check", `{"subject":"user:`+org+`-editor","permission":"repo:delete","resource":"repo:`+org+`/main"}`)
		}
	}
	w.flush()
	return w
}

func TestListsAndExportsShowTheSame(t *testing.T) {
	w := busy(t)
	before := soFar()
	for _, path := range []string{
		"/audit/events?to=" + before, "/audit/decisions?to=" + before, "/audit/requests?to=" + before, "/audit/mails", "/audit/factors", "/audit/limits",
		"/audit/events?order=oldest&within=organization:acme&to=" + before, "/audit/decisions?answer=denied&to=" + before,
	} {
		want := w.listed("root", path, 7)
		if len(want) < 5 && !strings.HasSuffix(path, "s") {
			t.Errorf("%s has %d records", path, len(want))
		}
		if d := cmp.Diff(want, w.listed("root", path, 1000)); d != "" {
			t.Errorf("%s in pages of another size: %s", path, d)
		}
		for _, media := range exports {
			if d := cmp.Diff(want, w.exported("root", path, media)); d != "" {
				t.Errorf("%s as %s (-list +export): %s", path, media, d)
			}
		}
	}
	// What a spreadsheet would run is only text.
	a := w.ok("root", "GET", v1+"/audit/requests", "", "Accept", "text/csv")
	lines, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	must(t, err)
	if !strings.Contains(string(a.body), `'=HYPERLINK`) {
		t.Error("nothing dangerous is there to look at")
	}
	for _, l := range lines[1:] {
		for _, cell := range l {
			if strings.IndexAny(cell, "=+-@\t\r") == 0 {
				t.Errorf("a formula: %q", cell)
			}
		}
	}
	if want := []string{"time", "writer", "seq", "hash", "actor", "key", "method", "route", "status", "latency", "bytes_in", "bytes_out", "request_id", "address", "agent"}; !slices.Equal(lines[0], want) {
		t.Errorf("%q", lines[0])
	}
}

func TestFiltersFindWhatTheyName(t *testing.T) {
	w := busy(t)
	for stream, fields := range map[string][]string{
		"events":    {"actor", "node", "other", "key", "action", "outcome", "request_id", "address"},
		"decisions": {"actor", "key", "question", "subject", "permission", "resource", "answer", "request_id", "address"},
		"requests":  {"actor", "key", "method", "route", "status", "request_id", "address"},
	} {
		to := "to=" + soFar()
		w.flush()
		all := w.listed("root", "/audit/"+stream+"?"+to, 1000)
		for _, f := range fields {
			seen := map[string]bool{}
			for _, r := range all {
				v := fmt.Sprint(r[f])
				if r[f] == nil || seen[v] || len(seen) == 5 {
					continue
				}
				seen[v] = true
				want := slices.DeleteFunc(slices.Clone(all), func(x row) bool { return fmt.Sprint(x[f]) != v })
				if d := cmp.Diff(want, w.listed("root", "/audit/"+stream+"?"+to+"&"+f+"="+url.QueryEscape(v), 100)); d != "" {
					t.Errorf("%s of %s=%s: %s", stream, f, v, d)
				}
			}
			if len(seen) == 0 {
				t.Errorf("no %s has a %s", stream, f)
			}
		}
	}
	for _, e := range w.listed("root", "/audit/events?about=repo:acme/main", 100) {
		if e["node"] != "repo:acme/main" && e["other"] != "repo:acme/main" {
			t.Errorf("not about it: %v", e)
		}
	}
	all := w.listed("root", "/audit/events?order=oldest", 1000)
	middle := all[len(all)/2]["time"].(string)
	early, late := w.listed("root", "/audit/events?order=oldest&to="+middle, 1000), w.listed("root", "/audit/events?order=oldest&from="+middle, 1000)
	if n := len(early) + len(late); len(early) == 0 || len(late) == 0 || early[len(early)-1]["time"].(string) >= middle || late[0]["time"].(string) < middle || n < len(all) {
		t.Errorf("%d before %s, %d from then on, %d in all", len(early), middle, len(late), len(all))
	}
}

func TestAnAuditorSeesNothingOfAnotherOrganization(t *testing.T) {
	w := busy(t)
	w.user("root-auditor")
	w.grant("user:root-auditor", "auditor", "platform:root")
	const me = "acme-auditor"
	hidden := []string{"organization:other", "other-", "repo:other", "other/main"}
	clean := func(what string, body string) {
		t.Helper()
		for _, h := range hidden {
			if i := strings.Index(body, h); i >= 0 {
				t.Errorf("%s shows …%s…", what, body[max(0, i-200):min(len(body), i+100)])
				return
			}
		}
	}
	for _, within := range []string{"organization:acme", "repo:acme/main", "team:acme-core"} {
		// Within its own organization it sees that, and whatever it filters by, nothing more.
		for _, stream := range []string{"events", "decisions"} {
			if within == "organization:acme" {
				if len(w.listed("root", "/audit/"+stream+"?within=organization:other", 1000)) < 3 || len(w.listed("root", "/audit/"+stream+"?within=organization:acme", 1000)) < 3 {
					t.Fatal("there is nothing to hide")
				}
			}
			path := "/audit/" + stream + "?within=" + within
			for _, q := range []string{"", "&order=oldest", "&actor=user:other-owner", "&about=organization:other", "&about=repo:other/main", "&request_id=x", "&from=2000-01-01T00:00:00Z"} {
				look := func(what string, rows []row) {
					for _, r := range rows {
						if list, _ := r["within"].([]any); !slices.Contains(list, any(within)) {
							t.Errorf("%s: %v", what, r)
						}
						if r["action"] != "audit:read" { // it says what this test asked for
							clean(what, fmt.Sprint(r))
						}
					}
				}
				look(path+q, w.listed(me, path+q, 50))
				for _, media := range exports {
					look(path+q+" as "+media, w.exported(me, path+q, media))
				}
			}
			for _, by := range []string{"&by=actor", "", map[string]string{"events": "&by=action", "decisions": "&by=permission"}[stream]} {
				clean("stats", string(w.ok(me, "GET", v1+"/audit/stats?stream="+stream+"&within="+within+by, "").body))
			}
		}
	}
	// Everything else is refused, and as if it were not there where it is hidden.
	for _, path := range []string{"/audit/events", "/audit/decisions", "/audit/events?within=platform:root", "/audit/requests", "/audit/mails", "/audit/factors", "/audit/limits", "/audit/verification",
		"/audit/stats?stream=events", "/audit/stats?stream=requests", "/audit/stats?stream=decisions&actor=user:other-owner", "/audit/requests?actor=user:acme-owner"} {
		for _, media := range append(exports, "application/json") {
			w.run([]scenario{{me, "GET", v1 + path, "", 403, "forbidden", []string{"Accept", media}}})
		}
	}
	for _, path := range []string{"/audit/events?within=", "/audit/decisions?within=", "/audit/stats?stream=events&within="} {
		for _, ref := range []string{"organization:other", "repo:other/main", "team:other-core", "user:other-owner", "group:other-group"} {
			name, _, _ := strings.Cut(ref, ":")
			h := w.do(me, "GET", v1+path+ref, "", "X-Request-Id", "same")
			m := w.do(me, "GET", v1+path+name+":none", "", "X-Request-Id", "same")
			if h.status != 404 || strings.ReplaceAll(string(h.body), ref, "X") != strings.ReplaceAll(string(m.body), name+":none", "X") {
				t.Errorf("hidden %d %s, missing %d %s", h.status, h.body, m.status, m.body)
			}
		}
	}
	if a := w.do("acme-editor", "GET", v1+"/audit/events?within=organization:acme", ""); a.status != 403 {
		t.Errorf("who is no auditor: %d %s", a.status, a.body)
	}
	if n := len(w.listed("root-auditor", "/audit/requests?actor=user:other-owner", 100)); n == 0 {
		t.Error("the auditor of everything does not see everything")
	}
}

func TestWhatIsGoneKeepsItsHistoryWhereItWas(t *testing.T) {
	w := busy(t)
	count := func(as, within string) int {
		t.Helper()
		w.flush()
		return len(w.listed(as, "/audit/events?about=repo:acme/main&within="+within, 1000))
	}
	was := count("acme-auditor", "organization:acme")
	// It moves: its future is elsewhere, its past is not.
	w.ok("root", "PATCH", v1+"/resources/repo/acme%2Fmain", `{"parents":["organization:other"]}`)
	moved, other := count("acme-auditor", "organization:acme"), count("other-auditor", "organization:other")
	w.ok("root", "PATCH", v1+"/resources/repo/acme%2Fmain", `{"name":"there"}`)
	if now := count("acme-auditor", "organization:acme"); now != moved || was == 0 {
		t.Errorf("%d events of what is elsewhere, then %d", moved, now)
	}
	if now := count("other-auditor", "organization:other"); now != other+1 {
		t.Errorf("%d events where it is now, before %d", now, other)
	}
	// It goes: who may read everything may still ask for it by name, others by what it was in.
	w.ok("root", "DELETE", v1+"/resources/repo/acme%2Fmain?cascade=true", "")
	if n := count("acme-auditor", "organization:acme"); n != moved {
		t.Errorf("%d events of what is gone, before it were %d", n, moved)
	}
	if n := count("root", "repo:acme/main"); n <= moved {
		t.Errorf("%d events, of one organization alone %d", n, moved)
	}
	w.run([]scenario{{"acme-auditor", "GET", v1 + "/audit/events?within=repo:acme/main", "", 404, "not-found", nil}})
}

func TestReadingTheLogIsRecorded(t *testing.T) {
	w := busy(t)
	for path, node := range map[string]string{
		"/audit/events?within=organization:acme&actor=user:x": "organization:acme", "/audit/decisions?within=organization:acme": "organization:acme", "/audit/stats?stream=events&within=organization:acme": "organization:acme",
	} {
		for _, media := range append(exports, "application/json") {
			id, a := w.as("acme-auditor", "GET", v1+path, "", "Accept", media)
			e := w.oneEvent(id)
			if a.status != 200 || e.Action != "audit:read" || e.Outcome != audit.Success || e.Node != node || e.Actor != "user:acme-auditor" || !slices.Equal(e.Within, []string{node}) {
				t.Errorf("%s: %d %+v", path, a.status, e)
			}
			if want := v1 + path[:strings.IndexByte(path, '?')]; !strings.HasPrefix(e.Reason, want+" ") || !strings.Contains(e.Reason, "within=organization:acme") {
				t.Errorf("%s: %q", path, e.Reason)
			}
		}
	}
	id, _ := w.as("root", "GET", v1+"/audit/requests", "")
	if e := w.oneEvent(id); e.Node != "platform:root" || len(e.Within) > 0 {
		t.Errorf("%+v", e)
	}
}

func TestACursorOfTheLogIsOfItsQueryAndCaller(t *testing.T) {
	w := busy(t)
	w.user("second")
	w.grant("user:second", "auditor", "platform:root")
	next := w.ok("root", "GET", v1+"/audit/events?limit=2", "").json()["next_cursor"].(string)
	for _, s := range []scenario{
		{"root", "GET", v1 + "/audit/events?limit=2&cursor=" + next, "", 200, `"items"`, nil},
		{"root", "GET", v1 + "/audit/events?limit=5&cursor=" + next, "", 200, `"items"`, nil},
		{"second", "GET", v1 + "/audit/events?limit=2&cursor=" + next, "", 422, "cursor", nil},
		{"root", "GET", v1 + "/audit/events?outcome=denied&cursor=" + next, "", 422, "cursor", nil},
		{"root", "GET", v1 + "/audit/events?order=oldest&cursor=" + next, "", 422, "cursor", nil},
		{"root", "GET", v1 + "/audit/events?within=organization:acme&cursor=" + next, "", 422, "cursor", nil},
		{"root", "GET", v1 + "/audit/decisions?cursor=" + next, "", 422, "cursor", nil},
		{"root", "GET", v1 + "/audit/events?cursor=" + next[1:], "", 422, "cursor", nil},
	} {
		w.run([]scenario{s})
	}
}

func TestBadQuestionsToTheLog(t *testing.T) {
	w := audited(t, api.Options{}, &auditing{}).sample()
	for path, parameter := range map[string]string{
		"/audit/events?limit=0": "limit", "/audit/events?limit=1001": "limit", "/audit/events?from=yesterday": "from", "/audit/events?to=2026-01-01": "to", "/audit/events?order=newer": "order",
		"/audit/events?outcome=maybe": "outcome", "/audit/events?status=200": "status", "/audit/events?within=acme": "within", "/audit/events?actor=a&actor=b": "actor", "/audit/requests?within=organization:acme": "within",
		"/audit/events?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z": "to", "/audit/events?from=2026-02-01T00:00:00Z&to=2026-02-01T00:00:00Z": "to", "/audit/requests?status=ok": "status", "/audit/requests?status=99": "status", "/audit/requests?before=x": "before",
		"/audit/decisions?answer=yes": "answer", "/audit/decisions?question=why": "question", "/audit/events?actor=" + strings.Repeat("a", 601): "actor",
		"/audit/stats": "stream", "/audit/stats?stream=mails": "stream", "/audit/stats?stream=events&bucket=week": "bucket", "/audit/stats?stream=events&by=route": "by", "/audit/stats?stream=events&by=node": "by",
		"/audit/stats?stream=events&status=200": "status", "/audit/stats?stream=requests&within=organization:acme": "within", "/audit/stats?stream=events&top=0": "top", "/audit/stats?stream=events&from=1990-01-01T00:00:00Z": "from",
		"/audit/stats?stream=events&bucket=hour&from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z": "from", "/audit/stats?stream=events&from=2999-01-01T00:00:00Z": "from",
		"/audit/verification?stream=none": "stream",
	} {
		a := w.do("root", "GET", v1+path, "")
		var p api.Problem
		if a.status != http.StatusUnprocessableEntity || json.Unmarshal(a.body, &p) != nil || len(p.Errors) != 1 || p.Errors[0].Parameter != parameter || p.Errors[0].Detail == "" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestCountsOfTheLog(t *testing.T) {
	w := audited(t, api.Options{DecisionRate: 0.5}, &auditing{}).sample()
	day := time.Date(2030, 5, 6, 7, 0, 0, 0, time.UTC)
	for hour := range 3 {
		w.clock = func() time.Time { return day.Add(time.Duration(hour) * time.Hour) }
		for range 4 {
			w.ok("acme-owner", "POST", v1+"/access/check", `{"permission":"repo:push","resource":"repo:acme/main"}`)
			w.ok("acme-owner", "POST", v1+"/access/check", `{"permission":"repo:push","resource":"repo:other/main"}`)
			w.do("acme-owner", "GET", v1+"/organizations/none", "")
		}
	}
	w.clock = time.Now
	w.flush()
	get := func(q string) (out api.AuditStats) {
		t.Helper()
		must(t, json.Unmarshal(w.ok("root", "GET", v1+"/audit/stats?from=2030-05-06T07:30:00Z&to=2030-05-06T09:10:00Z&"+q, "").body, &out))
		return out
	}
	at := func(hour int) time.Time { return day.Add(time.Duration(hour) * time.Hour) }
	counts := func(s api.AuditStats) (out []string) {
		for _, b := range s.Items {
			out = append(out, fmt.Sprintf("%s %s %d", b.Start.Format("15"), b.Value, b.Count))
		}
		return out
	}
	// Sums of weights, so that a share stands for all.
	s := get("stream=decisions&bucket=hour&by=answer")
	if want := []string{"07 allowed 4", "07 denied 4", "08 allowed 4", "08 denied 4", "09 allowed 4", "09 denied 4"}; !slices.Equal(counts(s), want) || !s.From.Equal(at(0)) || !s.To.Equal(at(3)) || s.Bucket != "hour" || s.By != "answer" {
		t.Errorf("%+v", s)
	}
	if got := counts(get("stream=decisions&bucket=day&answer=denied")); !slices.Equal(got, []string{"00  12"}) {
		t.Errorf("%q", got)
	}
	if got := counts(get("stream=decisions&bucket=day&within=organization:acme")); !slices.Equal(got, []string{"00  12"}) {
		t.Errorf("%q", got)
	}
	s = get("stream=requests&bucket=day&by=status&actor=user:acme-owner")
	if want := []string{"00 200 24", "00 404 12"}; !slices.Equal(counts(s), want) || s.Items[1].Errors != 12 || s.Items[0].Errors != 0 || s.Items[0].Bytes == 0 {
		t.Errorf("%+v", s)
	}
	if got := counts(get("stream=requests&bucket=day&by=route&top=1")); len(got) != 2 || !slices.Contains(got, "00 "+v1+"/access/check 24") || !slices.Contains(got, "00  12") {
		t.Errorf("%q", got)
	}
	if got := counts(get("stream=events&bucket=day&by=outcome")); !slices.Equal(got, []string{"00 failure 12"}) {
		t.Errorf("%q", got)
	}
}

func TestAnExportThatIsCutShortBreaksTheConnection(t *testing.T) {
	a := &auditing{}
	w := audited(t, api.Options{}, a).sample()
	var list []audit.Record
	for range 2000 {
		list = append(list, &audit.Event{Action: "test:fill", Reason: strings.Repeat("x", 500)})
	}
	must(t, a.log.Append(context.Background(), audit.Must, list...))
	w.flush()
	for _, media := range exports {
		if n := len(w.exported("root", "/audit/events?action=test:fill", media)); n != 2000 {
			t.Fatalf("%d records as %s", n, media)
		}
		for _, after := range []int64{1, 1500} {
			a.sink.breakAfter.Store(after)
			req, err := http.NewRequest(http.MethodGet, w.server.URL+v1+"/audit/events?action=test:fill", nil)
			must(t, err)
			req.Header.Set("Authorization", "Bearer "+w.tokens["root"])
			req.Header.Set("Accept", media)
			resp, err := w.client.Do(req)
			must(t, err)
			var b bytes.Buffer
			_, err = b.ReadFrom(resp.Body)
			resp.Body.Close()
			// Nothing was sent yet: a problem says so. Otherwise the answer does not end.
			if begun := resp.StatusCode == http.StatusOK; begun == (err == nil) || !begun && (resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Disposition") != "") {
				t.Errorf("%s, broken after %d: %d, %d bytes, %v", media, after, resp.StatusCode, b.Len(), err)
			}
		}
		a.sink.breakAfter.Store(0)
	}
}

func TestVerificationFindsWhatWasRemoved(t *testing.T) {
	a := &auditing{}
	w := audited(t, api.Options{}, a)
	w.twoTenants()
	w.do("acme-editor", "DELETE", v1+"/organizations/acme", "")
	verify := func(q string) (out api.AuditVerification) {
		t.Helper()
		must(t, json.Unmarshal(w.ok("root", "GET", v1+"/audit/verification"+q, "").body, &out))
		return out
	}
	if v := verify(""); v.Total != 0 || v.Records < 50 || len(v.Chains) < 3 || !v.EndsKnown || v.Faults == nil {
		t.Errorf("%+v", v)
	}
	changes := verify("?stream=events").Chains
	if len(changes) != 2 {
		t.Fatalf("%+v", changes)
	}
	for _, c := range changes {
		if got := verify("?writer=" + c.Writer); len(got.Chains) == 0 || slices.ContainsFunc(got.Chains, func(x api.AuditChain) bool { return x.Writer != c.Writer }) {
			t.Errorf("%+v", got)
		}
	}
	a.tamper(t, `DELETE FROM events WHERE seq = 3 AND writer = (SELECT id FROM text WHERE text = ?)`, changes[0].Writer)
	v := verify("?stream=events")
	if v.Total == 0 || v.Faults[0].Kind != "missing" || v.Faults[0].From != 3 || v.Faults[0].To != 3 || v.Faults[0].Stream != "events" || v.Faults[0].Time.IsZero() {
		t.Errorf("%+v", v)
	}
	w.user("some-auditor")
	w.grant("user:some-auditor", "auditor", "organization:acme")
	w.run([]scenario{{"some-auditor", "GET", v1 + "/audit/verification", "", 403, "forbidden", nil}})
}

// The newest records of this server's own chains cannot go unnoticed.
func TestVerificationKnowsTheEnds(t *testing.T) {
	a := &auditing{}
	w := audited(t, api.Options{}, a).sample()
	for range 3 {
		w.ok("acme-owner", "POST", v1+"/access/check", `{"permission":"repo:push","resource":"repo:other/main"}`)
	}
	w.flush()
	a.tamper(t, `DELETE FROM decisions WHERE seq = 3`)
	var v api.AuditVerification
	must(t, json.Unmarshal(w.ok("root", "GET", v1+"/audit/verification?stream=decisions", "").body, &v))
	if v.Total != 1 || v.Faults[0].Kind != "missing" || v.Faults[0].From != 3 || !v.EndsKnown {
		t.Errorf("%+v", v)
	}
}
