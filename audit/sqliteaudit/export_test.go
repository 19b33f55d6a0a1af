package sqliteaudit

import "context"

// Exec runs a statement on the connection that writes, outside a transaction.
func (s *Sink) Exec(text string) error {
	<-s.writing
	defer func() { s.writing <- struct{}{} }()
	if err := s.writer.connect(context.Background()); err != nil {
		return err
	}
	_, err := s.writer.exec(text)
	return err
}

// SweepRows is how many records one transaction of Sweep removes.
const SweepRows = sweepRows

// Views returns the name that each table of records has for people.
func Views() map[string]string {
	out := map[string]string{}
	for s, t := range tables {
		out[string(s)] = t.view
	}
	return out
}

// Columns returns the columns of a stream's table, without those of the head.
func Columns(stream string) []string {
	var out []string
	for s, t := range tables {
		if string(s) == stream {
			for _, c := range t.columns {
				out = append(out, c.name)
			}
		}
	}
	return out
}

// First returns the first step of the schema.
func First() string {
	b, err := files.ReadFile("schema/0001_audit.sql")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(b)
}
