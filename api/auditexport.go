package api

import (
	"bufio"
	"encoding/csv"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"trellis/audit"
	"trellis/graph"
)

// exportFormat is a form in which all records that match are sent.
type exportFormat struct {
	media, ending string
	make          func(audit.Stream, io.Writer) exporter
}

var exportFormats = []exportFormat{
	{"application/x-ndjson", "ndjson", newLines},
	{"text/csv", "csv", newTable},
	{"application/vnd.apache.parquet", "parquet", newParquet},
}

// exportOf returns the format that an Accept header names, if it names one.
func exportOf(accept string) (exportFormat, bool) {
	for part := range strings.SplitSeq(accept, ",") {
		media, _, _ := strings.Cut(part, ";")
		for _, f := range exportFormats {
			if strings.EqualFold(strings.TrimSpace(media), f.media) {
				return f, true
			}
		}
	}
	return exportFormat{}, false
}

// exporter writes records in one of the formats. It holds a bounded part of
// them in memory.
type exporter interface {
	record(r audit.Record) error
	// close writes what is left.
	close() error
}

// exportBuffer is how much of an export is written at once. Until then, an
// error is still answered with a problem.
const exportBuffer = 64 << 10

// export answers with all records that match. If it cannot go on, the
// connection is broken off, so that nobody takes a part for the whole.
func (c *call) export(q audit.Query, f exportFormat) error {
	if err := c.recordNow(); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", f.media)
	h.Set("Content-Disposition", `attachment; filename="trellis-audit-`+string(q.Stream)+`-`+c.now.UTC().Format("20060102T150405Z")+`.`+f.ending+`"`)
	buf := bufio.NewWriterSize(callerWriter{c.w}, exportBuffer)
	x := f.make(q.Stream, buf)
	err := c.Sink.Find(c.ctx(), q, x.record)
	if err == nil {
		err = x.close()
	}
	if err == nil {
		err = buf.Flush()
	}
	if err != nil && graph.KindOf(err) != graph.Canceled {
		return sinkProblem(err)
	}
	return err
}

// callerWriter says of a failed write that the caller is gone.
type callerWriter struct{ w io.Writer }

func (w callerWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if err != nil {
		err = graph.Wrap(graph.Canceled, err, "the caller is gone")
	}
	return n, err
}

// lines writes one JSON object a line.
type lines struct {
	w   io.Writer
	buf []byte
}

func newLines(_ audit.Stream, w io.Writer) exporter { return &lines{w: w} }

func (x *lines) record(r audit.Record) error {
	x.buf = append(appendRecord(x.buf[:0], r), '\n')
	_, err := x.w.Write(x.buf)
	return err
}

func (x *lines) close() error { return nil }

// sheet writes a line of names and a line for each record.
type sheet struct {
	w   *csv.Writer
	row []string
}

func newTable(s audit.Stream, w io.Writer) exporter {
	x := &sheet{w: csv.NewWriter(w)}
	names := columnNames{"time", "writer", "seq", "hash"}
	audit.New(s).Walk(&names)
	_ = x.w.Write(names) // into a buffer; the first record tells what went wrong
	return x
}

func (x *sheet) record(r audit.Record) error {
	h := r.Meta()
	x.row = append(x.row[:0], h.Time.UTC().Format(timeLayout), safeCell(h.Writer), strconv.FormatUint(h.Seq, 10), h.Hash.String())
	r.Walk(x)
	return x.w.Write(x.row)
}

func (x *sheet) close() error {
	x.w.Flush()
	return x.w.Error()
}

// Text implements audit.Visitor.
func (x *sheet) Text(_ string, v *string) { x.row = append(x.row, safeCell(*v)) }

// Word implements audit.Visitor.
func (x *sheet) Word(_ string, v *string) { x.Text("", v) }

// Int implements audit.Visitor.
func (x *sheet) Int(_ string, v *int64) { x.row = append(x.row, strconv.FormatInt(*v, 10)) }

// List writes a list as a JSON array, which no value can look like by chance.
func (x *sheet) List(_ string, v *[]string) {
	cell := ""
	if len(*v) > 0 {
		b, err := json.Marshal(*v)
		if err != nil {
			panic(err) // records hold valid UTF-8
		}
		cell = string(b)
	}
	x.row = append(x.row, cell)
}

// safeCell keeps a spreadsheet from running a value: what begins like a formula
// gets an apostrophe in front, and so does what begins with one, so that taking
// away one leading apostrophe always gives the value back.
func safeCell(s string) string {
	if s != "" && strings.IndexByte("=+-@\t\r\n'", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// columnNames is an audit.Visitor that lists the fields.
type columnNames []string

// Text implements audit.Visitor.
func (c *columnNames) Text(n string, _ *string) { *c = append(*c, n) }

// Word implements audit.Visitor.
func (c *columnNames) Word(n string, _ *string) { *c = append(*c, n) }

// Int implements audit.Visitor.
func (c *columnNames) Int(n string, _ *int64) { *c = append(*c, n) }

// List implements audit.Visitor.
func (c *columnNames) List(n string, _ *[]string) { *c = append(*c, n) }

// columnar writes Parquet: time as a timestamp in milliseconds, lists as lists,
// all other fields as strings and 64-bit integers; nothing is null.
type columnar struct {
	w    *parquet.GenericWriter[any]
	rows []parquet.Row
	row  parquet.Row
	col  int
	size int // of what the row group holds, about
	n    int
}

// A row group is as much of an export as is held in memory.
const (
	groupRows  = 10_000
	groupBytes = 8 << 20
	someRows   = 64
)

func newParquet(s audit.Stream, w io.Writer) exporter {
	return &columnar{w: parquet.NewGenericWriter[any](w, parquetSchema(s), parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}), parquet.PageBufferSize(64<<10), parquet.CreatedBy("trellis", "", ""))}
}

// parquetSchema has the columns in the order of the fields.
func parquetSchema(s audit.Stream) *parquet.Schema {
	v := parquetFields{}
	v.add("time", reflect.TypeFor[int64](), ",timestamp(millisecond)")
	v.add("writer", reflect.TypeFor[string](), ",dict")
	v.add("seq", reflect.TypeFor[int64](), "")
	v.add("hash", reflect.TypeFor[string](), "")
	audit.New(s).Walk(&v)
	return parquet.NewSchema("audit_"+string(s), parquet.SchemaOf(reflect.New(reflect.StructOf(v)).Interface()))
}

// parquetFields is an audit.Visitor that makes the fields of a struct.
type parquetFields []reflect.StructField

func (v *parquetFields) add(name string, t reflect.Type, options string) {
	*v = append(*v, reflect.StructField{Name: "F" + strconv.Itoa(len(*v)), Type: t, Tag: reflect.StructTag(`parquet:"` + name + options + `"`)})
}

// Text implements audit.Visitor.
func (v *parquetFields) Text(n string, _ *string) { v.add(n, reflect.TypeFor[string](), "") }

// Word implements audit.Visitor.
func (v *parquetFields) Word(n string, _ *string) { v.add(n, reflect.TypeFor[string](), ",dict") }

// Int implements audit.Visitor.
func (v *parquetFields) Int(n string, _ *int64) { v.add(n, reflect.TypeFor[int64](), "") }

// List implements audit.Visitor.
func (v *parquetFields) List(n string, _ *[]string) {
	v.add(n, reflect.TypeFor[[]string](), ",list")
}

func (x *columnar) add(v parquet.Value) {
	x.row = append(x.row, v.Level(0, 0, x.col))
	x.size += 8
	if v.Kind() == parquet.ByteArray { // of a number it would read memory that is not there
		x.size += len(v.ByteArray())
	}
	x.col++
}

// Text implements audit.Visitor.
func (x *columnar) Text(_ string, v *string) { x.add(parquet.ByteArrayValue([]byte(*v))) }

// Word implements audit.Visitor.
func (x *columnar) Word(_ string, v *string) { x.Text("", v) }

// Int implements audit.Visitor.
func (x *columnar) Int(_ string, v *int64) { x.add(parquet.Int64Value(*v)) }

// List implements audit.Visitor.
func (x *columnar) List(_ string, v *[]string) {
	if len(*v) == 0 {
		x.row = append(x.row, parquet.NullValue().Level(0, 0, x.col))
	}
	for i, s := range *v {
		x.row = append(x.row, parquet.ByteArrayValue([]byte(s)).Level(b2i(i > 0), 1, x.col))
		x.size += len(s) + 8
	}
	x.col++
}

func (x *columnar) record(r audit.Record) error {
	h := r.Meta()
	x.row, x.col = make(parquet.Row, 0, 24), 0
	x.add(parquet.Int64Value(h.Time.UnixMilli()))
	x.add(parquet.ByteArrayValue([]byte(h.Writer)))
	x.add(parquet.Int64Value(int64(h.Seq)))
	x.add(parquet.ByteArrayValue([]byte(h.Hash.String())))
	r.Walk(x)
	x.rows = append(x.rows, x.row)
	if x.n++; len(x.rows) < someRows && x.size < groupBytes {
		return nil
	}
	return x.write(x.n >= groupRows || x.size >= groupBytes)
}

// write hands the rows over, and ends the row group.
func (x *columnar) write(end bool) error {
	_, err := x.w.WriteRows(x.rows)
	if x.rows = x.rows[:0]; err != nil {
		return err
	}
	if end {
		x.n, x.size = 0, 0
		return x.w.Flush()
	}
	return nil
}

func (x *columnar) close() error {
	if err := x.write(false); err != nil {
		return err
	}
	return x.w.Close()
}
