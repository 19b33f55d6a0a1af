package sqlitegraph

import "context"

// Exec runs a statement on the connection that writes, outside a transaction.
func (s *Store) Exec(text string) error {
	<-s.writing
	defer func() { s.writing <- struct{}{} }()
	if err := s.writer.connect(context.Background(), s.opts.ID); err != nil {
		return err
	}
	_, err := s.writer.exec(text)
	return err
}

// TrimAtOnce is how many records one transaction trims.
const TrimAtOnce = trimAtOnce
