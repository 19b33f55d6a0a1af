package sqliteaudit

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"trellis/audit"
)

// A form is how a column keeps a field; see schema/0001_audit.sql.
type form uint8

const (
	asWord form = iota // the number of a text
	asList             // the number of a list
	asText
	asUUID // 16 bytes, or a text that is no UUID
	asInt
)

type column struct {
	name string
	form form
}

// table is where the records of a stream are.
type table struct {
	stream  audit.Stream
	name    string
	view    string // its name to people
	columns []column
	indexed []string  // fields with an index
	about   [2]string // the fields that About stands for
	counted []string  // the fields of its hourly counts, besides within
	number  int64     // of the stream, in hourly
}

// lead is how many columns come before those of the fields.
const lead = 4 // id, writer, seq, hash

// plain are the fields that hardly ever repeat a text.
var plain = []string{"before", "after", "reason", "path", "message_id", "error"}

var tables = func() map[audit.Stream]*table {
	all := map[audit.Stream]*table{
		audit.Events:    {view: "audit_events", indexed: []string{"actor", "key"}, about: [2]string{"node", "other"}, counted: []string{"action", "outcome", "actor"}},
		audit.Decisions: {view: "access_decisions", indexed: []string{"actor", "key"}, about: [2]string{"subject", "resource"}, counted: []string{"permission", "answer", "actor"}},
		audit.Requests:  {view: "api_key_usage", indexed: []string{"actor", "key"}, counted: []string{"route", "status", "key", "actor"}},
		audit.Mails:     {view: "email_audit", indexed: []string{"recipient", "node"}},
		audit.Factors:   {view: "mfa_events", indexed: []string{"subject"}},
		audit.Limits:    {view: "rate_limit_events", indexed: []string{"identifier"}},
	}
	for i, s := range audit.Streams {
		t := all[s]
		t.stream, t.name, t.number = s, string(s), int64(i)
		audit.New(s).Walk((*columns)(&t.columns))
	}
	return all
}()

// columns collects the fields of a stream.
type columns []column

// Text implements audit.Visitor.
func (c *columns) Text(n string, _ *string) {
	f := asWord
	if n == "request_id" {
		f = asUUID
	} else if slices.Contains(plain, n) {
		f = asText
	}
	*c = append(*c, column{n, f})
}

// Word implements audit.Visitor.
func (c *columns) Word(n string, _ *string) { *c = append(*c, column{n, asWord}) }

// List implements audit.Visitor.
func (c *columns) List(n string, _ *[]string) { *c = append(*c, column{n, asList}) }

// Int implements audit.Visitor.
func (c *columns) Int(n string, _ *int64) { *c = append(*c, column{n, asInt}) }

// place is where the field is among the columns.
func (t *table) place(name string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
}

// names are all columns, those of the fields in quotes since some are words of SQL.
func (t *table) names(prefix string) string {
	b := prefix + "id, " + prefix + "writer, " + prefix + "seq, " + prefix + "hash"
	for _, c := range t.columns {
		b += ", " + prefix + `"` + c.name + `"`
	}
	return b
}

func (t *table) insert() string {
	return `INSERT INTO ` + t.name + ` (` + t.names("") + `) VALUES (?` + strings.Repeat(", ?", lead-1+len(t.columns)) + `)`
}

// idBits are the bits of an id below the time.
const idBits = 20

// endOfTime is the first millisecond that an id cannot hold, in the year 2248.
const endOfTime = 1 << (63 - idBits)

// firstID is the least id that a record of the millisecond may have.
func firstID(ms int64) int64 { return ms << idBits }

func timeOf(id int64) time.Time { return time.UnixMilli(id >> idBits).UTC() }

// uuidValue is what is bound for a request id.
func uuidValue(s string) any {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || strings.ToLower(s) != s {
		return s
	}
	b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return s
	}
	return b
}

func uuidText(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
